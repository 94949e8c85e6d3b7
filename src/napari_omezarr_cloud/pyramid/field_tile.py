"""Fields of wells, and their label images, as tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.ngff import parse_group
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.ngff.well import Well, parse_well
from napari_omezarr_cloud.pyramid.documents import ARRAY_KEY, GROUP_KEY, join
from napari_omezarr_cloud.pyramid.image_tile import Holder, ImageTile, Model
from napari_omezarr_cloud.pyramid.mosaic import Tile
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.pyramid.world import in_world
from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.ngff import Image
    from napari_omezarr_cloud.pyramid.documents import Documents
    from napari_omezarr_cloud.pyramid.field_places import Position

__all__ = ["AnyField", "FieldTile", "LabelTile"]


class FieldTile(ImageTile):
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

    async def position(self) -> Position:
        """Return where the field begins, as it states; None: it does not, or cannot be read."""
        try:
            found = await self._group
        except CloudError:
            return None  # told with its pixels
        return None if found is None else _position(found[2])

    async def first_level(self) -> str | None:
        """Return the path of the field's first level below it; None: the field is not there."""
        found = await self._group
        return None if found is None else found[2].datasets[0].path

    async def read_first(self, level: str = "0") -> None:
        """Ask at once for the well and, guessing, its field and the field's first level."""
        zarr_format = self._holder.zarr_format
        array, guess = ARRAY_KEY[zarr_format], self.guess()
        keys = [join(guess, key) for key in (GROUP_KEY[zarr_format], f"{level}/{array}")]
        await self._read([*self._listing(), *keys])

    async def path(self) -> str | None:
        """Return where the field is; None: the well is not there, or has no such field."""
        if isinstance(self._field, str):
            return join(self._well_path, self._field)
        if self._model.is_single and (guess := await self._if_there(self.guess())):
            return guess
        well = await self._well
        if well is None:
            self._why_blank = "Not there, and blank"
            return None
        fields = well.fields(self._acquisition)
        if self._field >= len(fields):
            self._why_blank = "Without the field that is shown, and blank"
            return None
        told = self._model.field_count
        if told is not None and len(fields) > told:
            self._holder.notes.add("With more fields than the first well", self.name)
        return join(self._well_path, fields[self._field].path)

    async def _if_there(self, path: str) -> str | None:
        key = join(path, GROUP_KEY[self._holder.zarr_format])
        await self._read([key])
        return path if self._documents[key] is not None else None

    def guess(self) -> str:
        """Return where the field is, as far as anybody can guess."""
        if isinstance(self._field, str):
            return join(self._well_path, self._field)
        paths = self._model.paths
        path = paths[self._field] if self._field < len(paths) else str(self._field)
        return join(self._well_path, path)

    @property
    def labels_key(self) -> str:
        """The key of the list of its labels, as far as anybody can guess."""
        return join(self.guess(), "labels", GROUP_KEY[self._holder.zarr_format])

    async def read_ahead(self, number: int | None) -> None:
        """Ask at once for all that is needed if this tile is like the first."""
        zarr_format, guess = self._holder.zarr_format, self.guess()
        keys = [join(guess, GROUP_KEY[zarr_format])]
        if number is not None and number < len(self._model.datasets):
            keys.append(join(guess, self._model.datasets[number], ARRAY_KEY[zarr_format]))
        await self._read([*(() if self._model.is_single else self._listing()), *keys])

    def _listing(self) -> Sequence[str]:
        """Return the document that says where the field is, unless its path is known."""
        is_named = isinstance(self._field, str)
        return () if is_named else (join(self._well_path, GROUP_KEY[self._holder.zarr_format]),)

    async def _open_well(self) -> Well | None:
        key = GROUP_KEY[self._holder.zarr_format]
        await self._read(self._listing())
        raw = self._documents[join(self._well_path, key)]
        if raw is None:
            return None
        group = parse_group({key: bytes(raw)}, where=f"{self._holder.where}/{self._well_path}")
        # A folder that was made for the well, and nothing more, is as good as none.
        return None if group.kind == "group" else parse_well(group)


class AnyField(Tile, Protocol):
    """A field, or what will be known to be one."""

    async def path(self) -> str | None:
        """Return where it is below the holder; None: it is not there."""
        ...


class LabelTile(ImageTile):
    """A label image of a field."""

    def __init__(self, field: AnyField, holder: Holder, label: str, model: Model) -> None:
        super().__init__(holder, field.name, model)
        self._of = field
        self._label = label

    async def path(self) -> str | None:
        """Return where the labels are; None: their field is not there."""
        path = await self._of.path()
        return None if path is None else join(path, "labels", self._label)

    async def read_ahead(self, number: int | None) -> None:
        """Ask for nothing yet: where the field is, is known with the field."""


def _position(image: Image) -> Position:
    """Return where the first voxel of an image lies along y and x, in µm where it says so."""
    dataset, ndim = image.datasets[0], len(image.axes)
    if (dataset.translation is None and image.affine is None) or ndim < 2:
        return None
    place = Transform(dataset.scale or (1.0,) * ndim, dataset.translation or (0.0,) * ndim)
    if len(place.scale) != ndim or len(place.translation) != ndim:
        return None
    axes, (place,), _ = in_world(image.axes, [place], image.affine, image.shown_axes)
    names = [axis.name for axis in axes]
    at = [names.index("y"), names.index("x")] if {"y", "x"} <= set(names) else [ndim - 2, ndim - 1]
    y, x = (place.translation[i] * (micrometres(axes[i].unit) or 1.0) for i in at)
    return y, x
