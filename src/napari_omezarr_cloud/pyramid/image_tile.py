"""Images as tiles of a mosaic: found out and opened when one of their voxels is needed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError, MetadataError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.documents import parse_json
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid.consolidated import NOTHING, Consolidated
from napari_omezarr_cloud.pyramid.documents import ARRAY_KEY, GROUP_KEY, join, read_documents
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.guessed import GuessedLevel
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes, plane_axes
from napari_omezarr_cloud.pyramid.resampled import ResampledLevel
from napari_omezarr_cloud.store.caching import KEEPING
from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Axis, Group, Image
    from napari_omezarr_cloud.pyramid.alike import Alike
    from napari_omezarr_cloud.pyramid.documents import Documents
    from napari_omezarr_cloud.pyramid.level import Level, Pyramid
    from napari_omezarr_cloud.pyramid.mosaic_place import MosaicPlace
    from napari_omezarr_cloud.store import Bytes, ByteStore

__all__ = ["Holder", "ImageTile", "Model", "OpenedField"]

_SAME = 0.01
"""Voxels whose lengths differ by less are taken for equal."""
_MOST_RATIO = 64.0


@dataclass
class Holder:
    """The group that tiles are in: a plate or a well."""

    store: ByteStore
    where: str
    """Its display form."""
    place: MosaicPlace
    zarr_format: int
    documents: Documents
    """What is known of it already."""
    notes: MosaicNotes
    """Takes what is seen of tiles."""
    consolidated: Consolidated = field(default=NOTHING)
    """Copies of documents that may stand for the files."""


@dataclass(frozen=True)
class OpenedField:
    """A tile with levels: all of them, or the finest alone."""

    path: str
    """Below the holder."""
    group: Group
    image: Image
    pyramid: Pyramid


class Model:
    """What is the same for all tiles of a mosaic, known once the first of them is open."""

    def __init__(self) -> None:
        self.paths: tuple[str, ...] = ()
        """Of the fields below their well, in their order, as far as anybody can guess."""
        self.datasets: tuple[str, ...] = ()
        """Paths of the levels below the field."""
        self.axes: tuple[Axis, ...] = ()
        """As stated."""
        self.arrays: tuple[Bytes | None, ...] = ()
        """The document of each level's array; None where it was not read."""
        self.field_count: int | None = None
        """How many fields a well has, as far as the person has been told."""
        self.is_single = False
        """Whether wells have one field each, so that one that is there is the one."""
        self.alike: Alike | None = None
        """Whether other tiles' arrays are described as these; None: each tile is asked."""
        self.pyramid: Pyramid | None = None

    def take(self, first: OpenedField, known: Documents) -> None:
        """Be like a tile; ``known`` holds the documents of its arrays."""
        key = ARRAY_KEY[first.group.zarr_format]
        self.pyramid = first.pyramid
        self.datasets = tuple(dataset.path for dataset in first.image.datasets)
        self.axes = first_image(first.group).axes
        self.arrays = tuple(known.get(join(first.path, path, key)) for path in self.datasets)


class ImageTile(ABC):
    """An image at a path that is found out when it is needed."""

    def __init__(self, holder: Holder, name: str, model: Model) -> None:
        self.name = name
        self._holder = holder
        self._model = model
        self._documents: Documents = {}
        self._why_blank = ""
        self._group: Once[tuple[str, Group, Image] | None] = Once(self._open_group)
        self._whole: Once[OpenedField | None] = Once(self._open_whole)
        self._has_whole = False
        self._levels: dict[int, Once[tuple[tuple[str, ...], Level] | None]] = {}
        self._testimony: Once[bool | None] | None = None
        self._borrowed = ""
        """Key of an array's document that was taken from the model."""
        self._own: Once[bool] = Once(self._read_borrowed)

    @abstractmethod
    async def path(self) -> str | None:
        """Return where the image is below the holder; None: there is none."""

    @abstractmethod
    async def read_ahead(self, number: int | None) -> None:
        """Ask at once for what is needed if this tile is like the first; also of a level."""

    @property
    def documents(self) -> Documents:
        """What was read for this tile."""
        return self._documents

    async def whole(self) -> OpenedField | None:
        """Return the image with all its levels; None: it is not there."""
        return await self._whole

    async def finest(self) -> OpenedField | None:
        """Return the image with its first level, or with all if that is not there."""
        found = None if self._whole.value else await self._group
        if found is None:
            return await self._whole
        path, group, image = found
        try:
            one = replace(image, datasets=image.datasets[:1])
            opened, pyramid = await self._open_pyramid(path, group, one)
        except MetadataError:
            return await self._whole
        return OpenedField(path, group, opened, pyramid)

    async def level(self, number: int) -> tuple[tuple[str, ...], Level] | None:
        """Return axes and the level to show on this level of the mosaic; None: it is not there."""
        if number not in self._levels:
            self._levels[number] = Once(partial(self._level, number))
        return await self._levels[number]

    async def is_other(self) -> bool:
        """Tell whether its array is another than it was taken for; `level` returns the right one.

        Asks for the array's own description, where the first tile's stood for it.
        """
        return bool(self._borrowed) and await self._own

    async def prepare(self, number: int) -> None:
        """Read the documents that a level takes, if this tile is like the first."""
        alike = self._model.alike
        # What is kept offline must be whole for whoever opens it then.
        if alike is None or number + 1 != len(self._model.datasets) or KEEPING.get() is not None:
            await self.read_ahead(number)
            return
        if self._testimony is None and alike.needs_witnesses:
            self._testimony = alike.witness(partial(self._testify, number))
        if self._testimony is not None:
            await self._testimony
            return
        await self.read_ahead(None)
        if await alike.verdict():
            await self._borrow(number)

    async def _testify(self, number: int) -> bool | None:
        try:
            await self.read_ahead(number)
            key = await self._key_like_models(number)
        except CloudError:
            return None
        if key is None:
            return None if await self._group is None else False
        return _same_chunks(self._documents.get(key), self._model.arrays[number])

    async def _borrow(self, number: int) -> None:
        """Take the model's description of an array for this one's, until it proves wrong."""
        key = await self._key_like_models(number)
        if key is not None and key not in self._documents and self._model.arrays[number]:
            self._borrowed = key
            self._documents[key] = self._model.arrays[number]

    async def _key_like_models(self, number: int) -> str | None:
        """Return the key of the level's array, if the tile is described as the model is."""
        found, model = await self._group, self._model
        if found is None or model.pyramid is None:
            return None
        path, group, image = found
        wanted = _voxel_um(model.pyramid.axes, model.pyramid.levels[number].transform.scale)
        nearest = _nearest_dataset(image, wanted)
        if nearest is None or image.datasets[nearest].path != model.datasets[number]:
            return None
        same = image.axes == model.axes
        return join(path, model.datasets[number], ARRAY_KEY[group.zarr_format]) if same else None

    async def _read_borrowed(self) -> bool:
        key = self._borrowed
        read = await read_documents(self._holder.store, [key], {})
        taken = self._documents[key]
        self._documents.update(read)
        self._levels.clear()
        if self._model.alike is not None and not _same_chunks(read[key], taken):
            self._model.alike.refute()
        return not _same_array(read[key], taken)

    async def _read(self, keys: Sequence[str]) -> None:
        """Have these documents: what the plate was opened with, copies of it, then the files."""
        holder = self._holder
        for key in keys:
            if key in self._documents:
                continue
            if key in holder.documents:
                self._documents[key] = holder.documents[key]
            elif (copy := holder.consolidated.get(key)) is not None:
                self._documents[key] = copy
        self._documents.update(await read_documents(holder.store, keys, self._documents))

    async def _open_group(self) -> tuple[str, Group, Image] | None:
        path = await self.path()
        if path is None:
            return None
        key = GROUP_KEY[self._holder.zarr_format]
        await self._read([join(path, key)])
        raw = self._documents[join(path, key)]
        if raw is None:
            self._why_blank = "Not there, and blank"
            return None
        group = parse_group({key: bytes(raw)}, where=f"{self._holder.where}/{path}")
        if group.kind == "group":
            self._why_blank = "Empty, and blank"
            return None
        return path, group, first_image(group)

    async def _open_whole(self) -> OpenedField | None:
        found = await self._group
        if found is None:
            return None
        if self._borrowed:
            await self._own
        path, group, image = found
        image, pyramid = await self._open_pyramid(path, group, image)
        self._has_whole = True
        return OpenedField(path, group, image, pyramid)

    async def _open_pyramid(self, path: str, group: Group, image: Image) -> tuple[Image, Pyramid]:
        keys = [join(path, d.path, ARRAY_KEY[group.zarr_format]) for d in image.datasets]
        await self._read(keys)
        return await open_pyramid(
            self._holder.store, path, group, image, self._documents, self._holder.where, self.name
        )

    async def _level(self, number: int) -> tuple[tuple[str, ...], Level] | None:
        model = self._model.pyramid
        if model is None:
            raise AssertionError("the first tile is opened before any other")
        if not self._has_whole:
            await self.prepare(number)
        found = await self._group
        if found is None:
            if self._why_blank:
                self._holder.notes.add(self._why_blank, self.name)
            return None
        path, group, image = found
        wanted = _voxel_um(model.axes, model.levels[number].transform.scale)
        alone = None if self._has_whole else _nearest_dataset(image, wanted)
        if alone is not None:
            try:
                one = replace(image, datasets=(image.datasets[alone],))
                _, pyramid = await self._open_pyramid(path, group, one)
                return self._placed(pyramid, 0, wanted)
            except MetadataError:
                pass  # another level may be there
        whole = await self._whole
        if whole is None:
            return None
        lengths = [
            _voxel_um(whole.pyramid.axes, level.transform.scale) for level in whole.pyramid.levels
        ]
        if all(dataset.scale is None for dataset in whole.image.datasets):
            # Without any, a voxel is as large as one of the first tile.
            finest = _voxel_um(model.axes, model.levels[0].transform.scale)
            wanted = tuple(w / f * n for w, f, n in zip(wanted, finest, lengths[0], strict=True))
        nearest = min(range(len(lengths)), key=lambda n: _distance(lengths[n], wanted))
        return self._placed(whole.pyramid, nearest, wanted)

    def _placed(
        self, pyramid: Pyramid, nearest: int, wanted: tuple[float, ...]
    ) -> tuple[tuple[str, ...], Level]:
        level: Level = pyramid.levels[nearest]
        if self._borrowed and self._own.value is None:
            level = GuessedLevel(level, self.is_other)
        own = _voxel_um(pyramid.axes, level.transform.scale)
        ratios = {
            axis: want / length
            for axis, want, length in zip(plane_axes(pyramid), wanted, own, strict=True)
            if not 1 - _SAME < want / length < 1 + _SAME
        }
        if any(not 1 / _MOST_RATIO < ratio < _MOST_RATIO for ratio in ratios.values()):
            self._holder.notes.add("Voxels of a wholly other size, shown as if alike", self.name)
        elif ratios:
            level = ResampledLevel(level, ratios)
        return tuple(axis.name for axis in pyramid.axes), level


def _same_chunks(one: Bytes | None, other: Bytes | None) -> bool:
    """Tell whether the chunks of two arrays are read alike; what is not stored may differ."""
    first, second = _content(one), _content(other)
    return first is not None and {**first, "fill_value": 0} == {**(second or {}), "fill_value": 0}


def _same_array(one: Bytes | None, other: Bytes | None) -> bool:
    """Tell whether two documents describe arrays alike: all but their attributes."""
    first = _content(one)
    return first is not None and first == _content(other)


def _content(raw: Bytes | None) -> dict[str, Any] | None:
    if raw is None:
        return None
    try:
        content = parse_json(bytes(raw), where="", key="")
    except MetadataError:
        return None
    content.pop("attributes", None)
    return content


def _nearest_dataset(image: Image, wanted: tuple[float, ...]) -> int | None:
    """Return the level whose voxels are nearest in size; None where metadata do not tell."""
    lengths = []
    for dataset in image.datasets:
        if dataset.scale is None or len(dataset.scale) != len(image.axes):
            return None
        lengths.append(_voxel_um(image.axes, dataset.scale))
    return min(range(len(lengths)), key=lambda n: _distance(lengths[n], wanted))


def _voxel_um(axes: Sequence[Axis], scale: Sequence[float]) -> tuple[float, ...]:
    """Return the size of a voxel along y and x, in µm where the unit is known."""
    names = [axis.name for axis in axes]
    at = [names.index(n) if n in names else len(names) - 2 + i for i, n in enumerate("yx")]
    return tuple(scale[i] * (micrometres(axes[i].unit) or 1.0) for i in at)


def _distance(own: Sequence[float], wanted: Sequence[float]) -> float:
    return sum(abs(math.log(a / b)) for a, b in zip(own, wanted, strict=True))
