"""Colour pictures: one value per pixel from red, green and blue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.dtypes import floating
from napari_omezarr_cloud.process.halo import pixelwise
from napari_omezarr_cloud.process.operation import Operation
from napari_omezarr_cloud.process.settings import choice

if TYPE_CHECKING:
    from napari_omezarr_cloud.process.operation import Parameter

__all__ = ["OPERATIONS", "component", "grey", "stain"]

_Array = npt.NDArray[Any]

# Each pair of stains by the name of scikit-image's matrix that parts them.
_STAINS = {
    "haematoxylin + eosin + DAB": "hed_from_rgb",
    "haematoxylin + DAB": "hdx_from_rgb",
    "Feulgen + light green": "fgx_from_rgb",
    "Giemsa: methylene blue + eosin": "bex_from_rgb",
    "fast red + fast blue + DAB": "rbd_from_rgb",
    "methyl green + DAB": "gdx_from_rgb",
    "haematoxylin + AEC": "hax_from_rgb",
    "alcian blue + haematoxylin": "ahx_from_rgb",
    "haematoxylin + PAS": "hpx_from_rgb",
}

_COMPONENTS = ("red", "green", "blue", "hue", "saturation", "value", "lightness")


def grey(image: _Array) -> _Array:
    """Return the luminance of a colour picture, in its own range; a float array.

    Parameters
    ----------
    image
        Colours last; what follows red, green and blue (alpha) is not looked at.
    """
    from skimage import color

    return np.asarray(color.rgb2gray(_rgb(image)))


def stain(image: _Array, stains: str, number: str) -> _Array:
    """Return how much of a stain there is, 0 for none; a float array.

    Colour deconvolution (Ruifrok and Johnston, 2001), for light that went through tissue.

    Parameters
    ----------
    image
        Colours last; white is the largest value of integers, 1 of floats.
    stains
        A key of the choices: which stains were used.
    number
        ``"first"``, ``"second"`` or ``"third"`` of them; a third of two is what is left.
    """
    from skimage import color

    separated = color.separate_stains(_share(image), getattr(color, _STAINS[stains]))
    return np.asarray(separated[..., ("first", "second", "third").index(number)])


def component(image: _Array, component: str) -> _Array:
    """Return one component of a colour picture; a float array.

    Parameters
    ----------
    image
        Colours last.
    component
        ``"red"``, ``"green"`` and ``"blue"`` are in the image's own range; ``"hue"``,
        ``"saturation"`` and ``"value"`` from 0 to 1; ``"lightness"`` (of CIE L*a*b*) to 100.
    """
    from skimage import color

    index = _COMPONENTS.index(component)
    if index < 3:
        return _rgb(image)[..., index]
    if component == "lightness":
        return np.asarray(color.rgb2lab(_share(image))[..., 0])
    return np.asarray(color.rgb2hsv(_share(image))[..., index - 3])


def _rgb(image: _Array) -> _Array:
    """Return red, green and blue as floats, in their own range."""
    return np.asarray(image[..., :3], dtype=floating([image.dtype]))


def _share(image: _Array) -> _Array:
    """Return red, green and blue as floats from 0 to 1; what is not known is black."""
    rgb = _rgb(image)
    if image.dtype.kind in "iu":
        rgb = rgb / np.iinfo(image.dtype).max
    return np.asarray(np.clip(np.nan_to_num(rgb), 0, 1))


def _one_value(
    name: str, title: str, function: str, help: str, *parameters: Parameter
) -> Operation:
    return Operation(
        name=name,
        title=title,
        group="Colour",
        function=f"{__name__}:{function}",
        kind="local",
        output="image",
        parameters=parameters,
        halo_rule=pixelwise,
        dtype_rule=floating,
        colours="together",
        help=help,
    )


OPERATIONS = (
    _one_value(
        "rgb_to_grey",
        "Colour to grey",
        "grey",
        "Brightness of a colour picture, as the eye weighs it. Floating point, in its own range.",
    ),
    _one_value(
        "separate_stains",
        "Separate stains",
        "stain",
        "How much of a stain there is in tissue (colour deconvolution). Floating point, from 0.",
        choice("stains", tuple(_STAINS), "Stains", "What the tissue was stained with."),
        choice("number", ("first", "second", "third"), "Show", "Which stain; or what is left."),
    ),
    _one_value(
        "colour_component",
        "Colour component",
        "component",
        "Red, green, blue, hue, saturation, value (0 to 1) or lightness (0 to 100). Floats.",
        choice("component", _COMPONENTS, "Show", "Which one.", default="saturation"),
    ),
)
