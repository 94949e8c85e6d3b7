"""Opening an OME-Zarr image over a store, in two round trips; its labels one later.

Round 1 asks for everything that may matter, all at once (a 404 beside other requests costs no
time); round 2 for what round 1 named and did not bring. The image never waits for its labels.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError, UnsupportedError
from napari_omezarr_cloud.ngff import (
    Dataset,
    Group,
    Image,
    ImageLabel,
    order_by_size,
    parse_group,
    parse_images,
    parse_json,
    parse_labels_listing,
    resolve_axes,
    shown_with,
)
from napari_omezarr_cloud.ngff.values import listed
from napari_omezarr_cloud.pyramid.array_metadata import ArrayDescription, parse_array
from napari_omezarr_cloud.pyramid.level import Pyramid
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.pyramid.world import in_world
from napari_omezarr_cloud.store import Bytes, ByteStore, OpenedStore, Traffic, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["OpenedImage", "OpenedLabels", "open_image"]

Documents = dict[str, Bytes | None]

_ROOT = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_LABELS = ("labels/zarr.json", "labels/.zattrs")
_GUESSED_LEVELS = ("0", "s0")
"""First levels as most writers name them (ome-zarr-py since 0.9 says "s0")."""

_GROUP_KEY = {2: ".zattrs", 3: "zarr.json"}
_ARRAY_KEY = {2: ".zarray", 3: "zarr.json"}


@dataclass(frozen=True, eq=False)
class OpenedLabels:
    """A label image beside an image."""

    name: str
    image: Image
    pyramid: Pyramid
    label: ImageLabel | None


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image and what is known of its surroundings."""

    location: Location
    image: Image
    pyramid: Pyramid
    store: ByteStore
    traffic: Traffic
    notes: tuple[str, ...]
    labels: asyncio.Task[tuple[tuple[OpenedLabels, ...], tuple[str, ...]]]
    """Labels and notes about those that could not be read; still under way at first."""
    name: str = ""


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
    guesses = [f"{name}/{key}" for name in _GUESSED_LEVELS for key in _ARRAY_KEY.values()]
    opened = await open_store(location, [*_ROOT, *_LABELS, *guesses], witness=_ROOT)
    where = str(opened.location)
    group = parse_group(_top(opened.documents), where=where)
    image = _first_image(group)
    labels = asyncio.ensure_future(_open_all_labels(opened, where, group.zarr_format, image))
    try:
        image, pyramid = await _open_pyramid(
            opened.store, "", group, image, opened.documents, where, opened.location.name
        )
    except BaseException:
        labels.cancel()
        raise
    return OpenedImage(
        opened.location,
        image,
        pyramid,
        opened.store,
        opened.traffic,
        (*opened.notes, *image.notes),
        labels,
        name=image.name if image.name not in (None, "", "/") else opened.location.name,
    )


def _refuse_single_files(location: Location) -> None:
    if location.key.lower().endswith((".zip", ".ozx")):
        raise UnsupportedError(
            "Could not open the image",
            where=str(location),
            why="this is a single file (zip), which is not supported yet",
            hint="Unpack it, and open the folder.",
        )


def _top(documents: Documents) -> dict[str, bytes | None]:
    return {key: None if raw is None else bytes(raw) for key, raw in documents.items()}


def _first_image(group: Group) -> Image:
    images = parse_images(group)
    if len(images) > 1:
        note = f"{len(images)} multiscales are described here; the first one is shown."
        return replace(images[0], notes=(*images[0].notes, note))
    return images[0]


async def _open_pyramid(
    store: ByteStore,
    prefix: str,
    group: Group,
    image: Image,
    known: Mapping[str, Bytes | None],
    where: str,
    name: str,
    *,
    beside: tuple[Image, str] | None = None,
) -> tuple[Image, Pyramid]:
    """Read what is missing of the levels' metadata and build the pyramid.

    ``beside`` is the image that a label image belongs to, and the latter's path from there.
    """
    array_key = _ARRAY_KEY[group.zarr_format]
    keys = [_join(prefix, dataset.path, array_key) for dataset in image.datasets]
    raws = await _read(store, keys, known)
    found: list[tuple[Dataset, ArrayDescription]] = []
    absent: list[str] = []
    for dataset, key in zip(image.datasets, keys, strict=True):
        raw = raws[key]
        if raw is None:
            absent.append(dataset.path)
        else:
            document = parse_json(bytes(raw), where=where, key=key)
            found.append((dataset, parse_array(document, where=where, key=key)))
    if not found:
        raise MetadataError(
            "Could not open the image",
            where=where,
            key=keys[0],
            why=f"none of the arrays that datasets names is there ({listed(map(repr, absent))})",
            hint="The upload may be unfinished.",
        )
    notes = [f"Level {path!r} is listed and not there; it is left out." for path in absent]
    ndim = len(found[0][1].grid.shape)
    image = resolve_axes(replace(image, datasets=tuple(d for d, _ in found)), ndim)
    found = list(zip(image.datasets, (a for _, a in found), strict=True))
    image, found = _fine_to_coarse(image, _alike(found, notes))
    if beside is not None:
        image = shown_with(image, *beside)
    axes, transforms, affine = in_world(
        image.axes, _transforms(found), image.affine, image.shown_axes
    )
    levels = [
        StoredLevel(store, _join(prefix, dataset.path), array, transform)
        for (dataset, array), transform in zip(found, transforms, strict=True)
    ]
    notes = [*image.notes, *notes]
    pyramid = Pyramid(axes, tuple(levels), name, tuple(notes), where, affine=affine)
    return replace(image, notes=tuple(notes)), pyramid


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


async def _read(
    store: ByteStore, keys: Sequence[str], known: Mapping[str, Bytes | None]
) -> Documents:
    """Return documents, asking (at once) only for those not known."""
    missing = [key for key in keys if key not in known]
    got = await asyncio.gather(*(store.get(key) for key in missing))
    return {
        **{key: known[key] for key in keys if key in known},
        **dict(zip(missing, got, strict=True)),
    }


def _alike(
    found: list[tuple[Dataset, ArrayDescription]], notes: list[str]
) -> list[tuple[Dataset, ArrayDescription]]:
    """Leave out levels that cannot belong to one pyramid, with a note."""
    first = found[0][1].grid
    alike = []
    for dataset, array in found:
        grid = array.grid
        if grid.ndim != first.ndim or grid.dtype != first.dtype:
            notes.append(
                f"Level {dataset.path!r} is {grid.dtype} with {grid.ndim} axes, the first is "
                f"{first.dtype} with {first.ndim}; it is left out."
            )
        elif 0 in grid.shape:
            notes.append(f"Level {dataset.path!r} is empty (shape {grid.shape}); it is left out.")
        else:
            alike.append((dataset, array))
    if not alike:
        raise MetadataError("Could not open the image", why="all its levels are empty")
    return alike


def _fine_to_coarse(
    image: Image, found: list[tuple[Dataset, ArrayDescription]]
) -> tuple[Image, list[tuple[Dataset, ArrayDescription]]]:
    image = replace(image, datasets=tuple(d for d, _ in found))
    arrays = {dataset.path: array for dataset, array in found}
    image = order_by_size(image, [array.grid.shape for _, array in found])
    return image, [(dataset, arrays[dataset.path]) for dataset in image.datasets]


def _transforms(found: Sequence[tuple[Dataset, ArrayDescription]]) -> list[Transform]:
    """Return where each level lies; what is not stated follows from the ratio of the shapes."""
    stated = next((i for i, (dataset, _) in enumerate(found) if dataset.scale is not None), None)
    base = found[stated or 0][1].grid.shape
    base_scale = (1.0,) * len(base)
    if stated is not None:
        base_scale = found[stated][0].scale or base_scale
    transforms = []
    for dataset, array in found:
        scale = dataset.scale or tuple(
            s * b / n for s, b, n in zip(base_scale, base, array.grid.shape, strict=True)
        )
        transforms.append(Transform(scale, dataset.translation or (0.0,) * len(scale)))
    return transforms


async def _open_all_labels(
    opened: OpenedStore, where: str, zarr_format: int, image: Image
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    """Open every listed label image; one that cannot be read becomes a note."""
    try:
        documents = await _read(opened.store, _LABELS, opened.documents)
        names, notes = parse_labels_listing(_top(documents), where=where)
    except CloudError as error:
        return (), (f"The list of labels could not be read. {error}",)
    results = await asyncio.gather(
        *(_open_labels(opened.store, name, where, zarr_format, image) for name in names),
        return_exceptions=True,
    )
    good = [result for result in results if isinstance(result, OpenedLabels)]
    for name, result in zip(names, results, strict=True):
        if isinstance(result, CloudError):
            notes = (*notes, f"The labels {name!r} could not be opened. {result}")
        elif isinstance(result, BaseException):
            raise result
    return tuple(good), tuple(notes)


async def _open_labels(
    store: ByteStore, name: str, where: str, zarr_format: int, beside: Image
) -> OpenedLabels:
    prefix = f"labels/{name}"
    guesses = [f"{level}/{_ARRAY_KEY[zarr_format]}" for level in _GUESSED_LEVELS]
    keys = [_join(prefix, key) for key in [_GROUP_KEY[zarr_format], *guesses]]
    documents = await _read(store, keys, {})
    below = {key.removeprefix(prefix + "/"): raw for key, raw in documents.items()}
    group = parse_group(_top(below), where=f"{where}/{prefix}")
    image = _first_image(group)
    image, pyramid = await _open_pyramid(
        store, prefix, group, image, documents, where, name, beside=(beside, prefix)
    )
    if pyramid.dtype.kind not in "biu":
        raise UnsupportedError(
            "Could not show labels",
            where=f"{where}/{prefix}",
            why=f"their dtype is {pyramid.dtype}; labels are whole numbers",
        )
    return OpenedLabels(name, image, pyramid, image.label)
