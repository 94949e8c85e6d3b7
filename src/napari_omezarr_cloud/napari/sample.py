"""Sample data: images made on this machine, kept in the user's cache, opened like any other."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.background import wait_for
from napari_omezarr_cloud.napari.opening import open_layers
from napari_omezarr_cloud.napari.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.napari.layer_data import LayerData

__all__ = ["open_cell_volume", "open_microscopy"]

_FOLDER = "samples-1"
"""A new number when the images change: old ones are then made again."""


def open_microscopy() -> list[LayerData]:
    """Return the layers of a colour picture of stained tissue, which scikit-image ships.

    Raises
    ------
    OperationError
        If it cannot be written to the cache, or was cancelled.
    """
    return _open("ihc.ome.zarr", _write_ihc, rgb=True)


def open_cell_volume() -> list[LayerData]:
    """Return the layers of spheroids in 3-D over time: two channels and labels.

    Raises
    ------
    OperationError
        If it cannot be written to the cache, or was cancelled.
    """
    return _open("spheroids.ome.zarr", _write_spheroids)


def _write_ihc(folder: Path) -> Path:
    from napari_omezarr_cloud.sample import write_microscopy

    return write_microscopy(folder)["ihc"]


def _write_spheroids(folder: Path) -> Path:
    from napari_omezarr_cloud.sample import write_cell_volume

    return write_cell_volume(folder / "spheroids.ome.zarr", timepoints=3, width=1024)


def _open(name: str, write: Callable[[Path], Path], *, rgb: bool | None = None) -> list[LayerData]:
    image = user_cache_path("napari-omezarr-cloud") / _FOLDER / name
    try:
        if not image.is_dir():
            wait_for(_in_thread(_make, image, write), f"Making the sample image {image.name}")
        return open_layers(str(image), rgb=rgb)
    except CancelledError as error:
        why = "it was cancelled"
        raise OperationError("The sample image was not opened", why=why) from error
    except (OSError, KeyError) as error:
        why = f"{type(error).__name__}: {error}"
        where = str(image.parent)
        raise OperationError("Could not make the sample image", where=where, why=why) from error


def _make(image: Path, write: Callable[[Path], Path]) -> None:
    """Write an image beside its place, then move it there: half an image is never found there."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=image.parent, prefix="unfinished-") as folder:
        written = write(Path(folder))
        try:
            os.replace(written, image)
        except OSError:
            if not image.is_dir():  # another napari was faster
                raise


def _in_thread(function: Callable[..., Any], *args: Any) -> Future[None]:
    """Run a function that cannot be interrupted; cancelling stops waiting for it, not the work."""
    shown: Future[None] = Future()

    def tell(work: Future[Any]) -> None:
        if not shown.set_running_or_notify_cancel():
            return  # finished unseen; the image is there the next time
        error = work.exception()
        if error is None:
            shown.set_result(None)
        else:
            shown.set_exception(error)

    in_thread(function, *args).add_done_callback(tell)
    return shown
