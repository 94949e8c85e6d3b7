"""Fields of wells, and their label images, as tiles: opened when one of their voxels is needed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.ngff.well import Well, parse_well
from napari_omezarr_cloud.pyramid.documents import ARRAY_KEY, GROUP_KEY, join, read_documents
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.levels_opening import open_pyramid
from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes, plane_axes
from napari_omezarr_cloud.pyramid.resampled import ResampledLevel
from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Axis, Group, Image
    from napari_omezarr_cloud.pyramid.documents import Documents
    from napari_omezarr_cloud.pyramid.level import Level, Pyramid
    from napari_omezarr_cloud.store import ByteStore

__all__ = ["FieldTile", "Holder", "LabelTile", "Model", "OpenedField"]

_SAME = 0.01
"""Voxels whose lengths differ by less are taken for equal."""
_MOST_RATIO = 64.0


@dataclass(frozen=True)
class Holder:
    """The group that tiles are in: a plate or a well."""

    store: ByteStore
    where: str
    """Its display form."""
    zarr_format: int
    documents: Documents
    """What is known of it already."""
    notes: MosaicNotes
    """Takes what is seen of tiles."""


@dataclass(frozen=True)
class OpenedField:
    """A tile with all its levels."""

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
        self.field_count: int | None = None
        """How many fields a well has, as far as the person has been told."""
        self.pyramid: Pyramid | None = None


class _ImageTile(ABC):
    """An image at a path that is found out when it is needed."""

    def __init__(self, holder: Holder, name: str, model: Model) -> None:
        self.name = name
        self._holder = holder
        self._model = model
        self._documents: Documents = {}
        self._group: Once[tuple[str, Group, Image] | None] = Once(self._open_group)
        self._whole: Once[OpenedField | None] = Once(self._open_whole)
        self._has_whole = False
        self._levels: dict[int, Once[tuple[tuple[str, ...], Level] | None]] = {}

    @abstractmethod
    async def path(self) -> str | None:
        """Return where the image is below the holder; None: there is none."""

    @abstractmethod
    def _guess(self) -> str: ...

    async def whole(self) -> OpenedField | None:
        """Return the image with all its levels; None: it is not there."""
        return await self._whole

    async def level(self, number: int) -> tuple[tuple[str, ...], Level] | None:
        """Return axes and the level to show on this level of the mosaic; None: it is not there."""
        if number not in self._levels:

            async def begin() -> tuple[tuple[str, ...], Level] | None:
                return await self._level(number)

            self._levels[number] = Once(begin)
        return await self._levels[number]

    async def _read(self, keys: Sequence[str]) -> None:
        known = {**self._holder.documents, **self._documents}
        self._documents.update(await read_documents(self._holder.store, keys, known))

    async def _read_ahead(self, number: int) -> None:
        """Ask at once for all that is needed if this tile is like the first."""
        holder, guess = self._holder, self._guess()
        keys = [join(guess, GROUP_KEY[holder.zarr_format])]
        if number < len(self._model.datasets):
            keys.append(join(guess, self._model.datasets[number], ARRAY_KEY[holder.zarr_format]))
        await self._read([*self._above(), *keys])

    def _above(self) -> Sequence[str]:
        """Documents that say where the image is."""
        return ()

    async def _open_group(self) -> tuple[str, Group, Image] | None:
        path = await self.path()
        if path is None:
            return None
        key = GROUP_KEY[self._holder.zarr_format]
        await self._read([join(path, key)])
        raw = self._documents[join(path, key)]
        if raw is None:
            self._holder.notes.add("Not there, and blank", self.name)
            return None
        group = parse_group({key: bytes(raw)}, where=f"{self._holder.where}/{path}")
        if group.kind == "group":
            self._holder.notes.add("Empty, and blank", self.name)
            return None
        return path, group, first_image(group)

    async def _open_whole(self) -> OpenedField | None:
        found = await self._group
        if found is None:
            return None
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
            await self._read_ahead(number)
        found = await self._group
        if found is None:
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


class FieldTile(_ImageTile):
    """A field of a well: one that is named, or that of this number and acquisition."""

    def __init__(
        self,
        holder: Holder,
        name: str,
        model: Model,
        *,
        well: str = "",
        field: str | int = 0,
        acquisition: int | None = None,
        documents: Documents | None = None,
    ) -> None:
        """Say where the field is.

        Parameters
        ----------
        holder, name, model
            As for all tiles.
        well
            Path of the well below the holder.
        field
            Path of the field below the well, or its number in the order listed.
        acquisition
            Id of the acquisition whose fields count; None: any.
        documents
            What is known of the well, shared by all tiles of it; None: nothing is.
        """
        super().__init__(holder, name, model)
        if documents is not None:
            self._documents = documents
        self._well_path = well
        self._field = field
        self._acquisition = acquisition
        self._well: Once[Well | None] = Once(self._open_well)

    async def well(self) -> Well | None:
        """Return what the well says of itself; None: it is not there."""
        return await self._well

    async def read_first(self) -> None:
        """Ask at once for the well and, guessing, its field and the field's levels."""
        zarr_format = self._holder.zarr_format
        array, guess = ARRAY_KEY[zarr_format], self._guess()
        keys = [join(guess, key) for key in (GROUP_KEY[zarr_format], f"0/{array}")]
        await self._read([*self._above(), *keys])

    async def path(self) -> str | None:
        """Return where the field is; None: the well is not there, or has no such field."""
        if isinstance(self._field, str):
            return join(self._well_path, self._field)
        well = await self._well
        if well is None:
            self._holder.notes.add("Not there, and blank", self.name)
            return None
        fields = well.fields(self._acquisition)
        if self._field >= len(fields):
            self._holder.notes.add("Without the field that is shown, and blank", self.name)
            return None
        told = self._model.field_count
        if told is not None and len(fields) > told:
            self._holder.notes.add("With more fields than the first well", self.name)
        return join(self._well_path, fields[self._field].path)

    def _guess(self) -> str:
        if isinstance(self._field, str):
            return join(self._well_path, self._field)
        paths = self._model.paths
        path = paths[self._field] if self._field < len(paths) else str(self._field)
        return join(self._well_path, path)

    def labels_listing(self) -> tuple[str, str]:
        """Return where the field is, as far as anybody can guess, and the key of its labels."""
        path = self._guess()
        return path, join(path, "labels", GROUP_KEY[self._holder.zarr_format])

    def _above(self) -> Sequence[str]:
        is_named = isinstance(self._field, str)
        return () if is_named else (join(self._well_path, GROUP_KEY[self._holder.zarr_format]),)

    async def _open_well(self) -> Well | None:
        key = GROUP_KEY[self._holder.zarr_format]
        await self._read(self._above())
        raw = self._documents[join(self._well_path, key)]
        if raw is None:
            return None
        group = parse_group({key: bytes(raw)}, where=f"{self._holder.where}/{self._well_path}")
        # A folder that was made for the well, and nothing more, is as good as none.
        return None if group.kind == "group" else parse_well(group)


class LabelTile(_ImageTile):
    """A label image of a field."""

    def __init__(self, field: FieldTile, holder: Holder, label: str, model: Model) -> None:
        super().__init__(holder, field.name, model)
        self._of = field
        self._label = label

    async def path(self) -> str | None:
        """Return where the labels are; None: their field is not there."""
        path = await self._of.path()
        return None if path is None else join(path, "labels", self._label)

    async def _read_ahead(self, number: int) -> None:
        """Ask for nothing yet: where the field is, is known with the field."""

    def _guess(self) -> str:
        return join(self._of._guess(), "labels", self._label)


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
