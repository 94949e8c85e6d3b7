"""How images are shown on this computer only, where their own files may not be changed.

One small file an image, named after its link without secrets, in the person's data folder. Each is
replaced as a whole, so that any number of programs may read and write them.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.location import Access
from napari_omezarr_cloud.settings import replace_json

if TYPE_CHECKING:
    from pathlib import Path

    from napari_omezarr_cloud.location import Location

__all__ = ["KeptRendering", "drop_kept", "keep", "kept_for"]

_WHAT = "The rendering settings were not kept on this computer"


@dataclass(frozen=True)
class KeptRendering:
    """Rendering settings that are kept on this computer for one image."""

    omero: Any
    """As OME-Zarr's ``omero``."""
    since: float = 0.0
    """When they were kept, in seconds since 1970."""

    def __str__(self) -> str:
        """Return where the look comes from, in a sentence for the person."""
        when = time.strftime("%d %B %Y, %H:%M", time.localtime(self.since))
        return f"Shown with settings kept on this computer ({when}), not the image's own."


def kept_for(location: Location) -> KeptRendering | None:
    """Return what is kept for an image; None: nothing, or nothing that can be read."""
    try:
        said = json.loads(_file(location).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("image") != _name(location):
        return None
    since = said.get("since")
    if not isinstance(since, int | float) or not 0 <= since < 2**33:
        since = 0.0  # changed by hand
    return KeptRendering(said.get("omero"), since)


def keep(location: Location, omero: Any) -> None:
    """Keep rendering settings for an image; those that were kept before go.

    Parameters
    ----------
    location
        Of the image; how to get in and the query are no part of what is written.
    omero
        JSON value, as OME-Zarr's ``omero``.

    Raises
    ------
    CloudError
        If they cannot be written.
    """
    file = _file(location)
    said = {"version": 1, "image": _name(location), "since": time.time(), "omero": omero}
    try:
        replace_json(file, said)
    except OSError as error:
        raise _failed(error, file) from error


def drop_kept(location: Location) -> bool:
    """Forget what is kept for an image; tell whether anything was.

    Raises
    ------
    CloudError
        If it cannot be deleted.
    """
    file = _file(location)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _failed(error, file) from error
    return True


def _failed(error: OSError, file: Path) -> CloudError:
    why = (error.strerror or type(error).__name__).lower()
    return CloudError(_WHAT, where=str(file), why=why, hint="Is there room, and is it yours?")


def _name(location: Location) -> str:
    return str(replace(location, access=Access()))


def _file(location: Location) -> Path:
    digest = hashlib.sha256(_name(location).encode()).hexdigest()[:32]
    return user_data_path("napari-omezarr-cloud") / "rendering" / f"{digest}.json"
