"""Run one operation on arrays that are here: arrays → array, and nothing else happens.

It never waits, never changes what it was given and knows neither layers nor levels, so that the
same call serves a view, a derived chunk and a dask block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import CloudError, FunctionNotFoundError, OperationError
from napari_omezarr_cloud.process.dtypes import working_dtype
from napari_omezarr_cloud.process.functions import remembered
from napari_omezarr_cloud.process.operation import Input, Operation, validate
from napari_omezarr_cloud.process.outcome import image_in

__all__ = ["run", "statistic"]

_Array: TypeAlias = npt.NDArray[Any]
_Call: TypeAlias = Callable[..., _Array]


def run(
    op: Operation,
    arrays: Sequence[_Array],
    values: Mapping[str, Any],
    *,
    spacing: Sequence[float] | None = None,
    rgb: bool = False,
) -> _Array:
    """Return the result of an operation, a new array.

    Parameters
    ----------
    op
        What to run.
    arrays
        One per ``op.inputs``, all of one shape: spatial axes only, ``yx`` or ``zyx``; for a
        projection the axis that is folded comes first. Any byte order.
    values
        Parameters by name; what is missing takes its default, and a statistic that is ``None``
        is measured on these arrays.
    spacing
        Size of a pixel per spatial axis in the unit of the lengths (µm, or level-0 pixels);
        ``None`` is 1. Lengths become pixels with it. A projection needs none.
    rgb
        A trailing axis of 3 or 4 colour channels; each is treated alone, and integers come back
        rounded to their own dtype, so that the result is still a colour picture.

    Returns
    -------
    ndarray
        Shape of the inputs (a projection: without the first axis), of the dtype that
        ``op.output_dtype`` says.

    Raises
    ------
    OperationError
        If the arrays or values do not suit the operation, or the function refuses them.
    """
    checked = validate(op, values)
    images = _prepared(op, arrays, rgb=rgb)
    sizes = _pixel_sizes(op, images[0].ndim - rgb, spacing)
    with _refusals_of(op, images):
        checked |= _measured(op, images, checked)
        sizes_seen = sizes[-2:] if op.dims == "plane" else sizes
        keywords = op.in_pixels(checked, sizes_seen) | dict(op.fixed)
        if op.takes_spacing:
            keywords["spacing"] = sizes_seen
        function = resolve(op.function)

        def call(*inputs: _Array) -> _Array:
            return _image_in(op, function(*inputs, **keywords), inputs[0].shape)

        by_plane = op.dims == "plane" and len(sizes) == 3
        on_space = _along_first(call) if by_plane else call
        each = rgb and op.colours == "each"
        result = _along_last(on_space)(*images) if each else on_space(*images)
        if op.is_described:
            dtype = op.output_dtype([image.dtype for image in images], rgb=each)
        else:
            dtype = working_dtype(result.dtype)
        result = _as_dtype(result, dtype)
    # A function may return its input where there is nothing to do; the caller may write to ours.
    return result.copy() if any(np.may_share_memory(result, a) for a in arrays) else result


def statistic(
    op: Operation, arrays: Sequence[_Array], values: Mapping[str, Any], *, rgb: bool = False
) -> dict[str, float]:
    """Return what must be measured before the operation can run block by block.

    Parameters
    ----------
    op
        An operation whose parameters may have a ``statistic``, such as a threshold.
    arrays
        As for `run`, usually a whole coarse level.
    values
        As for `run`; only what is ``None`` in them is measured.

    Returns
    -------
    dict
        Parameter name → number; empty where there is nothing to measure. Merge it into the
        values to fix it.

    Raises
    ------
    OperationError
        If the arrays do not suit, or hold nothing that can be measured.
    """
    checked = validate(op, values)
    images = _prepared(op, arrays, rgb=rgb)
    with _refusals_of(op, images):
        return _measured(op, images, checked)


def _measured(
    op: Operation, images: Sequence[_Array], checked: Mapping[str, Any]
) -> dict[str, float]:
    wanted = [p for p in op.parameters if p.statistic and checked[p.name] is None]
    return {p.name: float(resolve(str(p.statistic))(*images)) for p in wanted}


def _prepared(op: Operation, arrays: Sequence[_Array], *, rgb: bool) -> list[_Array]:
    """Check number, shape and kind; return arrays the functions can work on."""
    if len(arrays) != len(op.inputs):
        raise OperationError(
            f"{op.title} needs {len(op.inputs)} input(s)",
            why=f"it takes {' and '.join(i.name for i in op.inputs)}, and was given {len(arrays)}",
        )
    if op.colours == "together" and not rgb:
        raise OperationError(
            f"{op.title} needs a colour picture",
            why="this one has one value per pixel",
            hint="Open the image with its colours as one layer (rgb).",
        )
    if rgb and op.colours == "none":
        raise OperationError(
            f"{op.title} cannot run on a colour picture",
            why="it works on one value per pixel",
            hint="Take one channel, or make it grey first.",
        )
    images = [np.asarray(array) for array in arrays]
    images = [_as_kind(op, each, image) for each, image in zip(op.inputs, images, strict=True)]
    _check_shapes(op, images, rgb=rgb)
    return images


def _as_kind(op: Operation, wanted: Input, array: _Array) -> _Array:
    """Return an array as an input of this kind reaches the function."""
    array = array.astype(working_dtype(array.dtype), copy=False)
    if wanted.kind == "mask" and array.dtype.kind != "b":
        return np.asarray(array != 0)
    if wanted.kind == "labels" and array.dtype.kind == "b":
        return array.astype(np.int32)
    if wanted.kind == "labels" and array.dtype.kind == "f":
        raise OperationError(
            f"{op.title} needs labels as its {wanted.name}",
            why=f"these are {array.dtype} grey values",
            hint="Make labels first, for instance with Label connected regions.",
        )
    return array


def _check_shapes(op: Operation, images: Sequence[_Array], *, rgb: bool) -> None:
    shape = images[0].shape
    for each, image in zip(op.inputs[1:], images[1:], strict=True):
        if image.shape != shape:
            raise OperationError(
                f"{op.title} needs inputs of one size",
                why=f"{op.inputs[0].name} has shape {shape}, {each.name} has {image.shape}",
                hint="Choose layers of the same image.",
            )
    folded = int(op.kind == "projection")
    if len(shape) - rgb - folded not in (2, 3) or (rgb and shape[-1] not in (3, 4)):
        needed = ("axis, " if folded else "") + "y, x or z, y, x" + (", colour" if rgb else "")
        raise OperationError(
            f"{op.title} cannot run on an array of shape {shape}",
            why=f"it works on planes and volumes (axes {needed})",
        )
    if 0 in shape:
        raise OperationError(
            f"{op.title} has nothing to run on",
            why=f"the region is empty (shape {shape})",
            hint="Move the image into view.",
        )


def _pixel_sizes(op: Operation, ndim: int, spacing: Sequence[float] | None) -> tuple[float, ...]:
    if op.kind == "projection":
        return (1.0,) * (ndim - 1)
    if spacing is None:
        return (1.0,) * ndim
    sizes = tuple(float(size) for size in spacing)
    if len(sizes) != ndim or not all(math.isfinite(size) and size > 0 for size in sizes):
        raise OperationError(
            f"{op.title} cannot use the pixel size {sizes}",
            why=f"it needs {ndim} numbers above 0, one per axis",
        )
    return sizes


def _along_first(call: _Call) -> _Call:
    """Make a function of planes one of volumes."""
    return lambda *inputs: np.stack([call(*planes) for planes in zip(*inputs, strict=True)])


def _along_last(call: _Call) -> _Call:
    """Make a function of grey images one of colour pictures."""

    def each_channel(*inputs: _Array) -> _Array:
        first = (np.moveaxis(image, -1, 0) for image in inputs)
        return np.stack([call(*channels) for channels in zip(*first, strict=True)], axis=-1)

    return each_channel


def _image_in(op: Operation, result: Any, shape: tuple[int, ...]) -> _Array:
    """Return the image in what a function gave for arrays of this shape."""
    if op.output == "table":
        return np.asarray(result)
    if op.kind == "projection":
        shape = shape[1:]
    return image_in(result, shape[:-1] if op.colours == "together" else shape, op.title)


def _as_dtype(result: _Array, dtype: np.dtype[Any]) -> _Array:
    if result.dtype.kind == "f" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(dtype, copy=False)


def resolve(path: str) -> Callable[..., Any]:
    """Return what ``"package.module:function"`` names: one that is kept, or can be imported.

    Raises
    ------
    FunctionNotFoundError
        If there is none in this process.
    """
    known = remembered(path)
    if known is not None:
        return known
    module, _, name = path.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise FunctionNotFoundError(f"There is no function {path}", why=str(exc)) from exc
    return function


@contextmanager
def _refusals_of(op: Operation, images: Sequence[_Array]) -> Iterator[None]:
    """Turn what the function raises into our error, which says what it was given."""
    try:
        yield
    except CloudError:
        raise
    except Exception as exc:  # whatever the function raises: a user's own may raise anything
        given = " and ".join(f"{image.dtype} of shape {image.shape}" for image in images)
        raise OperationError(
            f"{op.title} failed on {given}",
            why=_cause(exc),
            hint="Try a smaller region." if isinstance(exc, MemoryError) else "",
        ) from exc


def _cause(exc: Exception) -> str:
    """Return the function's own words; of a missing key, Python gives the key alone."""
    text = str(exc).rstrip(".")
    if not text:
        return type(exc).__name__
    return f"{type(exc).__name__}: {text}" if isinstance(exc, KeyError) else text
