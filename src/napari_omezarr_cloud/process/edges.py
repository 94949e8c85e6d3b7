"""Edges and ridges."""

from __future__ import annotations

from functools import partial
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating, mask_dtype, to_float
from napari_omezarr_cloud.process.halo import gaussian_reach, isotropic, neighbours, reach_of
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.settings import choice, length, number, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_omezarr_cloud.process.operation import Dims, HaloRule

__all__ = [
    "OPERATIONS",
    "canny",
    "farid",
    "frangi",
    "gaussian_gradient",
    "hessian_eigenvalues",
    "hessian_reach",
    "laplace",
    "meijering",
    "prewitt",
    "roberts",
    "sato",
    "scharr",
    "sobel",
]

_Array = npt.NDArray[Any]
Ridges = Literal["bright", "dark"]


def sobel(image: _Array) -> _Array:
    """Return the magnitude of the Sobel gradient as a float array, per pixel of ``image``.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``; the same step in any direction counts the same, whatever the spacing.
    """
    return _filtered(image, "sobel")


def scharr(image: _Array) -> _Array:
    """Return the magnitude of the Scharr gradient as a float array; see `sobel`."""
    return _filtered(image, "scharr")


def prewitt(image: _Array) -> _Array:
    """Return the magnitude of the Prewitt gradient as a float array; see `sobel`."""
    return _filtered(image, "prewitt")


def farid(image: _Array) -> _Array:
    """Return the magnitude of the Farid gradient as a float array; see `sobel`."""
    return _filtered(image, "farid")


def roberts(image: _Array) -> _Array:
    """Return the magnitude of Roberts' cross as a float array; ``image`` is ``yx``."""
    return _filtered(image, "roberts")


def laplace(image: _Array) -> _Array:
    """Return the sum of the differences to the direct neighbours as a float array."""
    return _filtered(image, "laplace")


def _filtered(image: _Array, name: str) -> _Array:
    from skimage import filters

    # scikit-image would rescale integers to 0..1 here, and has no preserve_range for it.
    return np.asarray(getattr(filters, name)(to_float(image)))


def gaussian_gradient(image: _Array, sigma: Sequence[float], spacing: Sequence[float]) -> _Array:
    """Return the magnitude of the gradient of the blurred image as a float array.

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    sigma
        Of the blur, in pixels, one per axis.
    spacing
        Size of a pixel per axis; the result is in grey values per unit of it.
    """
    from scipy import ndimage

    values = to_float(image)
    total = np.zeros(values.shape, values.dtype)
    for axis, size in enumerate(spacing):
        order = [int(axis == other) for other in range(values.ndim)]
        slope = ndimage.gaussian_filter(values, sigma, order=order, mode="nearest")
        total += (slope / size) ** 2
    return np.sqrt(total)


def canny(image: _Array, sigma: Sequence[float], low: float, high: float) -> npt.NDArray[np.bool_]:
    """Return the mask of edges, one pixel wide (Canny, 1986).

    Parameters
    ----------
    image
        ``yx``.
    sigma
        Of the blur, in pixels, one per axis.
    low, high
        Per cent of the pixels whose gradient is too weak for an edge that continues one, and for
        one that begins.
    """
    from skimage import feature

    return np.asarray(
        feature.canny(
            to_float(image),
            sigma=isotropic(sigma),
            low_threshold=min(low, high) / 100,
            high_threshold=high / 100,
            use_quantiles=True,
            mode="nearest",
        ),
        dtype=np.bool_,
    )


def hessian_eigenvalues(image: _Array, sigma: Sequence[float]) -> _Array:
    """Return the eigenvalues of the Hessian of the blurred image, largest first.

    They are in grey values: second derivatives per sigma of each axis, which makes scales and
    flat voxels comparable (Lindeberg, 1998). With sigma equal along all axes they are
    scikit-image's, times sigma squared.

    Parameters
    ----------
    image
        Float, ``yx`` or ``zyx``.
    sigma
        Of the blur, in pixels, one per axis.
    """
    from skimage.feature import hessian_matrix, hessian_matrix_eigvals

    elements = hessian_matrix(image, sigma, mode="reflect", use_gaussian_derivatives=True)
    pairs = combinations_with_replacement(sigma, 2)
    scaled = [element * (a * b) for element, (a, b) in zip(elements, pairs, strict=True)]
    # One NaN would stop the search for all eigenvalues; near it nothing is known, so nothing shown.
    unknown = ~np.isfinite(np.sum(scaled, axis=0))
    for element in scaled:
        element[unknown] = 0
    return np.asarray(hessian_matrix_eigvals(scaled), dtype=image.dtype)


def hessian_reach(
    values: Mapping[str, Any], ndim: int, *, parameters: Sequence[str]
) -> tuple[int, ...]:
    """Return how far `hessian_eigenvalues` looks: two blurs of sigma / sqrt(2), one on the other.

    scikit-image cuts them at 8 sigma, or at 100, where there is nothing left to cut.
    """
    largest = [max(values[name][axis] for name in parameters) for axis in range(ndim)]
    return tuple(2 * (int(8 * sigma / 2**0.5 + 0.5) + 1) for sigma in largest)


def sato(
    image: _Array,
    sigma_min: Sequence[float],
    sigma_max: Sequence[float],
    steps: int,
    ridges: Ridges,
) -> _Array:
    """Return how much a pixel looks like part of a line, in grey values (Sato et al., 1998).

    Parameters
    ----------
    image
        ``yx`` or ``zyx``.
    sigma_min, sigma_max
        Thinnest and thickest line: sigmas in pixels, one per axis.
    steps
        How many sigmas from one to the other are tried; the strongest response counts.
    ridges
        Whether the lines are ``"bright"`` or ``"dark"``.
    """
    values = _dark_ridges(image, ridges)
    strongest = np.zeros_like(values)
    for sigma in _scales(sigma_min, sigma_max, steps):
        across = np.maximum(hessian_eigenvalues(values, sigma)[:-1], 0)
        response = np.prod(across, axis=0) ** (1 / len(across))
        np.maximum(strongest, response, out=strongest)
    return strongest


def meijering(
    image: _Array,
    sigma_min: Sequence[float],
    sigma_max: Sequence[float],
    steps: int,
    ridges: Ridges,
) -> _Array:
    """Return how much a pixel looks like part of a neurite, 0 to 1 (Meijering et al., 2004).

    Every scale is divided by its strongest response. Parameters as for `sato`.
    """
    values = _dark_ridges(image, ridges)
    strongest = np.zeros_like(values)
    ndim = image.ndim
    mixing = np.full((ndim, ndim), 1 / (ndim + 1), values.dtype)
    np.fill_diagonal(mixing, 1)
    for sigma in _scales(sigma_min, sigma_max, steps):
        mixed = np.tensordot(mixing, hessian_eigenvalues(values, sigma), 1)
        largest = np.take_along_axis(mixed, np.abs(mixed).argmax(axis=0)[np.newaxis], 0)[0]
        response = np.maximum(largest, 0)
        top = response.max()
        np.maximum(strongest, response / top if top > 0 else response, out=strongest)
    return strongest


def frangi(
    image: _Array,
    sigma_min: Sequence[float],
    sigma_max: Sequence[float],
    steps: int,
    ridges: Ridges,
) -> _Array:
    """Return how much a pixel looks like part of a vessel, 0 to 1 (Frangi et al., 1998).

    Structure is measured against the strongest of the image, as scikit-image does where it is
    given no ``gamma``. Parameters as for `sato`.
    """
    values = _dark_ridges(image, ridges)
    strongest = np.zeros_like(values)
    gamma = 0.0
    for sigma in _scales(sigma_min, sigma_max, steps):
        eigenvalues = hessian_eigenvalues(values, sigma) / max(isotropic(sigma) ** 2, 1e-10)
        order = np.abs(eigenvalues).argsort(axis=0)
        least, *across = np.take_along_axis(eigenvalues, order, 0)
        across = [np.maximum(each, 1e-10) for each in across]
        blob = np.abs(least) / np.prod(across, axis=0) ** (1 / len(across))
        structure = np.sqrt((eigenvalues**2).sum(axis=0))
        gamma = gamma or float(structure.max()) / 2 or 1.0
        # With alpha and beta of 0.5, 2 alpha² is 0.5.
        response = np.exp(-(blob**2) / 0.5) * (1 - np.exp(-(structure**2) / (2 * gamma**2)))
        if len(across) == 2:
            response *= 1 - np.exp(-((across[0] / across[1]) ** 2) / 0.5)
        np.maximum(strongest, response, out=strongest)
    return strongest


def _dark_ridges(image: _Array, ridges: Ridges) -> _Array:
    values = to_float(image)
    return -values if ridges == "bright" else values


def _scales(
    lowest: Sequence[float], highest: Sequence[float], steps: int
) -> Iterator[tuple[float, ...]]:
    for share in np.linspace(0, 1, steps):
        pairs = zip(lowest, highest, strict=True)
        yield tuple(float(low + share * (high - low)) for low, high in pairs)


_RIDGES = (
    length("sigma_min", 1.0, "Thinnest", "Sigma of the thinnest line: about half its width."),
    length("sigma_max", 3.0, "Thickest", "Sigma of the thickest line: about half its width."),
    whole("steps", 3, "Steps", "How many widths from thinnest to thickest.", minimum=1, maximum=10),
    choice("ridges", ("bright", "dark"), "Lines are", "Brighter or darker than around them."),
)


def _gradient(
    name: str,
    title: str,
    help: str,
    halo_rule: HaloRule = neighbours,
    dims: Dims = "any",
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Edges and ridges",
        function=f"{__name__}:{name}",
        kind="local",
        output="image",
        halo_rule=halo_rule,
        dims=dims,
        dtype_rule=floating,
        help=help,
    )


OPERATIONS = (
    _gradient(
        "sobel",
        "Sobel edges",
        "Shows where brightness changes. Floating point, in grey values per pixel.",
    ),
    _gradient(
        "scharr",
        "Scharr edges",
        "As Sobel, more alike in all directions. Floating point, in grey values per pixel.",
    ),
    _gradient(
        "prewitt",
        "Prewitt edges",
        "As Sobel, with even weights. Floating point, in grey values per pixel.",
    ),
    _gradient(
        "farid",
        "Farid edges",
        "As Sobel, from 5 pixels, least dependent on direction. Floating point, per pixel.",
        partial(reach_of, pixels=2),
    ),
    _gradient(
        "roberts",
        "Roberts edges",
        "Differences across the diagonals of 2 x 2 pixels. Floating point, plane by plane.",
        dims="plane",
    ),
    _gradient(
        "laplace",
        "Laplace",
        "Differences to the direct neighbours, both signs. Floating point, around 0.",
    ),
    Operation(
        name="gaussian_gradient",
        title="Gaussian gradient",
        group="Edges and ridges",
        function=f"{__name__}:gaussian_gradient",
        kind="local",
        output="image",
        parameters=(length("sigma", 2.0, "Sigma", "Edges of structures finer than this vanish."),),
        halo_rule=partial(gaussian_reach, parameter="sigma"),
        takes_spacing=True,
        dtype_rule=floating,
        help="Shows edges of a chosen size. Floating point, in grey values per µm.",
    ),
    Operation(
        name="canny",
        title="Canny edges",
        group="Edges and ridges",
        function=f"{__name__}:canny",
        kind="unbounded",
        output="mask",
        parameters=(
            length("sigma", 2.0, "Sigma", "Edges of structures finer than this vanish."),
            number(
                "low",
                80.0,
                "Weak below",
                "Per cent of the pixels that are too weak to continue an edge.",
                minimum=0.0,
                maximum=100.0,
                step=1.0,
                unit="%",
            ),
            number(
                "high",
                90.0,
                "Strong above",
                "Per cent of the pixels that are too weak to begin an edge.",
                minimum=0.0,
                maximum=100.0,
                step=1.0,
                unit="%",
            ),
        ),
        dims="plane",
        dtype_rule=mask_dtype,
        colours="none",
        help="Draws edges one pixel wide, where strong ones lead. A mask, plane by plane.",
    ),
    Operation(
        name="sato",
        title="Sato ridges",
        group="Edges and ridges",
        function=f"{__name__}:sato",
        kind="local",
        output="image",
        parameters=_RIDGES,
        halo_rule=partial(hessian_reach, parameters=("sigma_min", "sigma_max")),
        dtype_rule=floating,
        holds_gil=True,
        help="Shows lines and tubes. Floating point, in grey values; 0 where there is none.",
    ),
    Operation(
        name="meijering",
        title="Meijering ridges",
        group="Edges and ridges",
        function=f"{__name__}:meijering",
        kind="unbounded",
        output="image",
        parameters=_RIDGES,
        dtype_rule=floating,
        holds_gil=True,
        help="Shows neurites, measured against the strongest. Floating point, 0 to 1.",
    ),
    Operation(
        name="frangi",
        title="Frangi ridges",
        group="Edges and ridges",
        function=f"{__name__}:frangi",
        kind="unbounded",
        output="image",
        parameters=_RIDGES,
        dtype_rule=floating,
        holds_gil=True,
        help="Shows vessels, measured against the strongest. Floating point, 0 to 1.",
    ),
)
