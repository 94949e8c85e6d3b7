"""The microscopy pictures that come inside the scikit-image wheel, as pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .pyramids import channel, coarsen, create_arrays, plan_levels, write_metadata

if TYPE_CHECKING:
    import os

RGB = [
    channel("Red", "FF0000", 0, 255, 255),
    channel("Green", "00FF00", 0, 255, 255),
    channel("Blue", "0000FF", 0, 255, 255),
]
# Pictures whose file is in the wheel, their pixel size in µm where scikit-image states it.
PICTURES: dict[str, tuple[str, float | None, list[dict[str, Any]]]] = {
    "cell": ("cell.png", 0.107, [channel("phase", "FFFFFF", 20, 180, 255)]),
    "ihc": ("ihc.png", None, RGB),
    "retina": ("retina.jpg", None, RGB),
}


def write_microscopy(root: str | os.PathLike[str]) -> dict[str, Path]:
    """Write real microscopy pictures as OME-Zarr 0.5 images, without a network.

    They are files of the scikit-image wheel: ``cell``, a cell in a quantitative phase image
    (y, x; 0.107 µm a pixel), ``ihc``, stained colon tissue, and ``retina``, an eye's
    background (both c, y, x in red, green, blue, with no pixel size known). All uint8.

    Parameters
    ----------
    root
        Existing folder in which ``<name>.ome.zarr`` are made.

    Returns
    -------
    dict of str to Path
        Name to folder, of those that the installed scikit-image ships.

    Raises
    ------
    zarr.errors.ContainsGroupError
        If one of the folders holds an image already.
    """
    import skimage.data

    shipped = Path(skimage.data.__file__).parent
    written = {}
    for name, (file, spacing, channels) in PICTURES.items():
        if (shipped / file).is_file():
            written[name] = Path(root) / f"{name}.ome.zarr"
            _write_picture(written[name], shipped / file, spacing, channels)
    return written


def _write_picture(
    folder: Path, file: Path, spacing: float | None, channels: list[dict[str, Any]]
) -> None:
    from skimage.io import imread

    picture = imread(file)
    axes = "yx" if picture.ndim == 2 else "cyx"
    picture = picture if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
    height, width = picture.shape[-2:]
    levels = plan_levels((height, width), (spacing or 1.0,) * 2, smallest=256)
    # All colours of a pixel lie in one chunk: they are always shown together.
    leading = picture.shape[:-2]
    arrays = create_arrays(folder, axes, levels, leading, "uint8", (*leading, 256, 256))
    for level, array in zip(levels, arrays, strict=True):
        picture = coarsen(picture, level.factors)
        array[...] = picture
    omero = {"channels": [dict(one) for one in channels], "rdefs": {"model": "color"}}
    write_metadata(folder, axes, levels, has_units=spacing is not None, omero=omero)
