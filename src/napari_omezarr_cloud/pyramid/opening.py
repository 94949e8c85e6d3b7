"""Opening a link: one or two round trips, then by what is there.

Round 1 asks for everything that may matter, all at once (a 404 beside other requests costs no
time); round 2 for what round 1 named and did not bring. The image never waits for its labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    MetadataError,
    NotFoundError,
)
from napari_omezarr_cloud.location import as_other_file
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.collection import as_image
from napari_omezarr_cloud.ngff.refusals import refuse_other_kinds
from napari_omezarr_cloud.pyramid.collection_opening import collection_file, open_collection
from napari_omezarr_cloud.pyramid.documents import FIRST_ROUND, ROOT, WRITE_NOTES, top_documents
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.pyramid.labels_opening import labels_alone, open_labels_listing
from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels, Sibling
from napari_omezarr_cloud.pyramid.plain_group_opening import (
    group_of_guesses,
    open_folder,
    open_plain_group,
)
from napari_omezarr_cloud.pyramid.plain_opening import open_array
from napari_omezarr_cloud.pyramid.plate_opening import open_plate
from napari_omezarr_cloud.pyramid.scene_opening import open_scene
from napari_omezarr_cloud.pyramid.series_opening import open_series
from napari_omezarr_cloud.pyramid.unfinished import with_note_on_download
from napari_omezarr_cloud.pyramid.well_opening import open_well
from napari_omezarr_cloud.store import OpenedStore, open_store
from napari_omezarr_cloud.store.failures import PageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice

__all__ = ["OpenedImage", "OpenedLabels", "Sibling", "open_image", "open_what_is_there"]


_DEEPEST = 3


async def open_image(
    location: Location,
    *,
    axes: Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
) -> OpenedImage:
    """Open what a location leads to; runs on the I/O loop.

    Parameters
    ----------
    location
        Of an image, or of something that holds some: the first of those is opened, with the others
        as its ``series``.
    axes
        Names of the array's axes in their order; None: as the metadata state them.
    field, acquisition
        Of a plate or well: which field of each well, counted from 0, of which acquisition (its
        id). None: the first field of a plate's wells, all fields of a well. "all": all of each.

    Raises
    ------
    NotFoundError, AccessRefusedError, UnreachableError, ServerError
        If its metadata cannot be had.
    MetadataError
        If they cannot be understood; ``NotOmeZarrError`` if it is something else.
    """
    try:
        opened = await collection_file(location)
        if opened is None:
            opened = await open_store(location, FIRST_ROUND, witness=ROOT)
    except (NotFoundError, AccessRefusedError, MetadataError, PageError) as error:
        other = as_other_file(location)
        if other is None:
            raise
        raise other from error
    if not any(opened.documents.values()) and (other := as_other_file(location)):
        raise other
    found = await open_what_is_there(opened, axes=axes, field=field, acquisition=acquisition)
    return with_note_on_download(found)


async def open_what_is_there(
    opened: OpenedStore,
    *,
    axes: Sequence[str] | None = None,
    field: FieldChoice = None,
    acquisition: int | None = None,
    depth: int = 0,
    above: str = "",
) -> OpenedImage:
    """Open what the documents of a group say it is.

    Parameters
    ----------
    opened
        The group's store, and what the first round brought. Its documents may be all that is
        read, so that a group inside another one costs what it costs by itself.
    axes, field, acquisition
        As for `open_image`.
    depth
        How many groups it is inside of that were opened on the way.
    above
        What the group is that it is directly inside of; empty where that is not known. An array in
        a plain group is no level of an image.
    """

    async def open_in_folder(inside: OpenedStore) -> OpenedImage:
        return await open_what_is_there(inside, axes=axes, depth=depth + 1)

    async def open_inner(inside: OpenedStore) -> OpenedImage:
        return await open_what_is_there(inside, axes=axes, depth=depth + 1, above=group.kind)

    try:
        group = parse_group(top_documents(opened.documents), where=str(opened.location))
    except NotFoundError as nothing:
        guessed = group_of_guesses(opened, is_one=bool(labels_alone(opened)))
        if depth == 0:
            await _refuse_unfinished(opened, nothing)
        if guessed is None and depth == 0:
            return await open_folder(opened, nothing, open_in_folder)
        if guessed is None:
            raise
        group = guessed
    if depth > _DEEPEST:
        raise MetadataError(
            "Could not open the image",
            where=group.where,
            key=group.key,
            why=f"it lies in more than {_DEEPEST} series or collections, each inside the next",
            hint="Open one of the images in it.",
        )
    if group.kind == "collection":
        group = as_image(group) or group
    match group.kind:
        case "image":
            return await open_image_group(opened, group, axes=axes, is_alone=above == "group")
        case "scene":
            return await open_scene(opened, group)
        case "plate":
            return await open_plate(opened, group, field=field, acquisition=acquisition)
        case "well":
            return await open_well(opened, group, field=field, acquisition=acquisition)
        case "series":
            folder = _above_ome(opened.location, depth)
            if folder is not None:
                return await open_image(folder, axes=axes)
            return await open_series(opened, group, open_inner)
        case "collection":
            return await open_collection(opened, group, open_inner)
        case "labels":
            return await open_labels_listing(opened, group, open_inner)
        case "array":
            return await open_array(opened, group, axes, is_level=above != "group")
        case "group":
            return await open_plain_group(opened, group, open_inner, axes)
        case _:
            refuse_other_kinds(group)
            raise AssertionError(group.kind)


def _above_ome(location: Location, depth: int) -> Location | None:
    """Return the folder of a series, where a link leads to the ``OME`` in it that lists them."""
    is_ome = location.key.rstrip("/").rpartition("/")[2] == "OME"
    return location.parent() if is_ome and depth == 0 else None


async def _refuse_unfinished(opened: OpenedStore, nothing: NotFoundError) -> None:
    """Say so where a write began and did not end: its voxels are no image yet."""
    try:
        notes = await opened.store.get(f"{WRITE_NOTES}/plan.json")
    except CloudError:
        return
    if notes is not None:
        nothing.why = "writing an image there began and has not ended"
        nothing.hint = "Save to it again with the same settings: that goes on where it was."
        raise nothing
