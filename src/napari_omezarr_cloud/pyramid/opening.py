"""Opening a link: one or two round trips, then by what is there.

Round 1 asks for everything that may matter, all at once (a 404 beside other requests costs no
time); round 2 for what round 1 named and did not bring. The image never waits for its labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import UnsupportedError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.refusals import refuse_other_kinds
from napari_omezarr_cloud.pyramid.documents import FIRST_ROUND, ROOT, top_documents
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels, Sibling
from napari_omezarr_cloud.pyramid.scene_opening import open_scene
from napari_omezarr_cloud.store import OpenedStore, open_store

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location

__all__ = ["OpenedImage", "OpenedLabels", "Sibling", "open_image", "open_what_is_there"]


async def open_image(location: Location) -> OpenedImage:
    """Open the image at a location; runs on the I/O loop.

    Raises
    ------
    NotFoundError, AccessRefusedError, UnreachableError, ServerError
        If its metadata cannot be had.
    MetadataError
        If they cannot be understood; ``NotOmeZarrError`` if it is something else,
        ``UnsupportedError`` if it is a plate, series or the like.
    """
    _refuse_single_files(location)
    opened = await open_store(location, FIRST_ROUND, witness=ROOT)
    return await open_what_is_there(opened)


async def open_what_is_there(opened: OpenedStore) -> OpenedImage:
    """Open what the documents of a group say it is.

    Parameters
    ----------
    opened
        The group's store, and what the first round brought. Its documents may be all that is
        read, so that a group inside another one costs what it costs by itself.
    """
    group = parse_group(top_documents(opened.documents), where=str(opened.location))
    match group.kind:
        case "image":
            return await open_image_group(opened, group)
        case "scene":
            return await open_scene(opened, group)
        # plate, well: open_plate(opened, group) of plate_opening.py
        # series, collection, labels, array, group: their own files as well
        case _:
            refuse_other_kinds(group)
            raise AssertionError(group.kind)


def _refuse_single_files(location: Location) -> None:
    if location.key.lower().endswith((".zip", ".ozx")):
        raise UnsupportedError(
            "Could not open the image",
            where=str(location),
            why="this is a single file (zip), which is not supported yet",
            hint="Unpack it, and open the folder.",
        )
