"""Groups and folders without OME metadata, opened: a pyramid of plain arrays, or what is in them.

What they hold is known from consolidated metadata, else from a listing where the store can list,
else by asking for the names that most writers use.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError, MetadataError, NotFoundError
from napari_omezarr_cloud.ngff import Dataset, Group, Image, check_path, parse_group, parse_json
from napari_omezarr_cloud.ngff.axes import guess_plain_axes
from napari_omezarr_cloud.ngff.plain import (
    PLAIN,
    consolidated_images,
    images_among,
    is_pyramid,
    level_names,
    plain_image,
    shape_of,
)
from napari_omezarr_cloud.ngff.refusals import refuse_other_kinds
from napari_omezarr_cloud.ngff.series import Entry
from napari_omezarr_cloud.ngff.values import listed
from napari_omezarr_cloud.pyramid.documents import (
    ARRAY_KEY,
    GROUP_KEY,
    GUESSED_LEVELS,
    ROOT,
    can_list,
    join,
    read_documents,
    top_documents,
)
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.pyramid.labels_opening import labels_alone
from napari_omezarr_cloud.pyramid.several import OpenInner, open_first, with_others
from napari_omezarr_cloud.store import OpenedStore, open_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["group_of_guesses", "open_folder", "open_plain_group"]

_MOST_LISTED = 300
_DEEPEST = 4
_ENDINGS = (".zarr", ".ozx", ".zarr.zip")
_PROBED = (
    *(str(n) for n in range(8)),
    *(f"s{n}" for n in range(8)),
    *("data", "image", "images", "img", "raw", "volume", "labels"),
)
"""What a web server is asked for, which does not tell what is in a group."""


def group_of_guesses(opened: OpenedStore, *, is_one: bool = False) -> Group | None:
    """Return a folder without metadata of its own as a group, if something was found in it.

    An array is looked for; ``is_one`` says that something else is there.
    """
    for zarr_format, key in ARRAY_KEY.items():
        if is_one or any(opened.documents.get(f"{name}/{key}") for name in GUESSED_LEVELS):
            return Group(
                where=str(opened.location),
                zarr_format=3 if zarr_format == 3 else 2,
                key=GROUP_KEY[zarr_format],
                version=None,
                kind="group",
                attributes={},
                notes=("The folder has no metadata of its own, and was taken for a Zarr group.",),
            )
    return None


async def open_folder(
    opened: OpenedStore, nothing: NotFoundError, open_inner: OpenInner
) -> OpenedImage:
    """Open the first of the images in a folder that is no Zarr group itself.

    Parameters
    ----------
    opened
        The folder's store.
    nothing
        What to raise if there are none: says what was looked for.
    open_inner
        Opens one of the images.

    Raises
    ------
    NotFoundError
        If there are no images, or the store does not tell.
    CloudError
        What is wrong with the first image.
    """
    if not can_list(opened.location):
        nothing.hint = (
            "Check the link; it should lead to the folder that holds .zattrs or zarr.json. (If it "
            "leads to a folder of images: web servers do not tell what is in it, so open one of "
            "them.)"
        )
        raise nothing
    try:
        there = await opened.store.list("")
    except CloudError as error:
        nothing.hint = f"What is in it may not be listed ({error.why}); open an image in it."
        raise nothing from error
    notes: list[str] = []
    names = sorted(entry.name for entry in there if _is_safe(entry.name, opened))
    entries = tuple(Entry(name) for name in names if name.lower().endswith(_ENDINGS))
    if not entries:
        folders = sorted({entry.name for entry in there if entry.is_prefix} & set(names))
        if len(folders) > _MOST_LISTED:
            notes.append(f"Only the first {_MOST_LISTED} of {len(folders)} folders were looked at.")
        found = await asyncio.gather(*(_node(opened, name) for name in folders[:_MOST_LISTED]))
        entries = tuple(Entry(node[0]) for node in found if node is not None)
    if not entries:
        raise nothing
    return await open_first(opened, entries, open_inner, notes=notes)


def _is_safe(name: str, opened: OpenedStore) -> bool:
    try:
        return check_path(name, where=str(opened.location), key="") == name
    except MetadataError:
        return False


async def open_plain_group(
    opened: OpenedStore,
    group: Group,
    open_inner: OpenInner,
    axes: Sequence[str] | None = None,
) -> OpenedImage:
    """Open what a group without OME metadata holds: its pyramid, else the first image or array.

    Parameters
    ----------
    opened
        The group's store, and what the first round brought.
    group
        Of kind ``"group"``.
    open_inner
        Opens one of the images in it.
    axes
        What the person calls the axes of its pyramid; None: as named, else a guess.

    Raises
    ------
    NotOmeZarrError
        If nothing is known to be in it; says what was tried.
    """
    notes: list[str] = []
    entries = await _entries(opened, group, notes)
    labels = labels_alone(opened)
    if labels and all(f"{entry.path}/".startswith("labels/") for entry in entries):
        notes.append("There is no image here, only labels.")
        return await open_first(opened, labels, open_inner, what="label images", notes=notes)
    if not entries:
        refuse_other_kinds(group)
    found = await _pyramid(opened, group, entries)
    if found is not None:
        image, names, more = found
        others = [entry for entry in entries if entry.path not in names]
        if axes is None:
            notes += more
        whole = await open_image_group(opened, group, image, axes=axes, notes=notes)
        return with_others(opened, whole, f"levels {listed(names)}", others, open_inner)
    return await open_first(
        opened, entries, open_inner, what="images or arrays", notes=(*group.notes, *notes)
    )


async def _entries(opened: OpenedStore, group: Group, notes: list[str]) -> tuple[Entry, ...]:
    entries = consolidated_images(group)
    if not entries and group.zarr_format == 2:
        raw = await opened.store.get(".zmetadata")
        if raw is not None:
            documents = {**top_documents(opened.documents), ".zmetadata": bytes(raw)}
            entries = consolidated_images(parse_group(documents, where=group.where))
    if not entries:
        entries = await _listed(opened, group, notes)
    return entries or await _probed(opened, group)


async def _probed(opened: OpenedStore, group: Group) -> tuple[Entry, ...]:
    """Ask for the usual names, all at once."""
    keys = {ARRAY_KEY[group.zarr_format], GROUP_KEY[group.zarr_format]}
    wanted = [f"{name}/{key}" for name in _PROBED for key in sorted(keys)]
    try:
        documents = await read_documents(opened.store, wanted, opened.documents)
    except CloudError:
        documents = opened.documents
    opened.documents.update(documents)  # so that they are not asked for again
    names = {key.rpartition("/")[0] for key, raw in documents.items() if raw}
    return tuple(Entry(name) for name in _PROBED if name in names)


async def _pyramid(
    opened: OpenedStore, group: Group, entries: Sequence[Entry]
) -> tuple[Image, tuple[str, ...], list[str]] | None:
    """Return an image of the arrays that look like its levels, their names, and what was guessed.

    None where there are none.
    """
    names = level_names([entry.path for entry in entries])
    if len(names) < 2:
        return None
    array_key = ARRAY_KEY[group.zarr_format]
    keys = [join(name, array_key) for name in names]
    try:
        raws = await read_documents(opened.store, keys, opened.documents)
        opened.documents.update(raws)
        documents = [
            parse_json(bytes(raw), where=group.where, key=key)
            for key in keys
            if (raw := raws[key]) is not None
        ]
    except CloudError:
        return None
    shapes = [shape_of(document) for document in documents]
    if len(documents) < len(names) or None in shapes or not is_pyramid(shapes):
        return None
    first = shapes[0] or ()
    image = plain_image(group, documents[0])
    notes = [
        f"The arrays {listed(names)} have no OME-Zarr metadata; as each is smaller than the one "
        "before, they were taken for the levels of one image, and their scale from their shapes."
    ]
    if len(image.axes) != len(first):
        image = replace(image, axes=guess_plain_axes(first))
        guessed = ", ".join(axis.name for axis in image.axes)
        notes.append(
            f"The axes were taken for {guessed}; if that is wrong, open it with axes='zyx' or as "
            "they are (Open URL: Advanced, Axes)."
        )
    whole = Image(PLAIN, None, image.axes, tuple(map(Dataset, names)), notes=image.notes)
    return whole, names, notes


async def _listed(opened: OpenedStore, group: Group, notes: list[str]) -> tuple[Entry, ...]:
    """Walk down the folders of a store that can list, level by level."""
    if not can_list(opened.location):
        return ()
    nodes: list[tuple[str, bool, Any]] = []
    waiting, seen = [""], 0
    for _ in range(_DEEPEST):
        found = [path for path in await _folders(opened, waiting) if seen < _MOST_LISTED]
        if seen + len(found) > _MOST_LISTED:
            found = found[: _MOST_LISTED - seen]
            notes.append(f"Only the first {_MOST_LISTED} folders were looked into.")
        seen += len(found)
        below = await asyncio.gather(*(_node(opened, path) for path in found))
        nodes += [node for node in below if node is not None]
        waiting = [
            path for path, is_array, held in filter(None, below) if not is_array and not held
        ]
        if not waiting:
            break
    return images_among(nodes, group)


async def _folders(opened: OpenedStore, paths: list[str]) -> list[str]:
    async def below(path: str) -> list[str]:
        try:
            entries = await opened.store.list(path)
        except CloudError:
            return []  # not everybody may list
        prefix = f"{path}/" if path else ""
        return sorted(prefix + entry.name for entry in entries if entry.is_prefix)

    return [name for names in await asyncio.gather(*map(below, paths)) for name in names]


async def _node(opened: OpenedStore, path: str) -> tuple[str, bool, dict[str, Any]] | None:
    try:
        inside = await open_inside(opened, path, ROOT)
        group = parse_group(top_documents(inside.documents), where=str(inside.location))
    except CloudError:
        return None
    is_ours = group.kind not in ("group", "array")
    return path, group.kind == "array", dict(group.attributes) if is_ours else {}
