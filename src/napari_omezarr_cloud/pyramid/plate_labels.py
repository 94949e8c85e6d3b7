"""Labels of a plate's or well's fields: as one label image each, in the places of their fields.

Which fields have labels cannot be told without asking each. The first field is asked, and where it
has none a few others, all over the plate. Where those have none either, a well is asked when
somebody looks at it closely.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, MetadataError
from napari_omezarr_cloud.pyramid.documents import GROUP_KEY, join, read_documents
from napari_omezarr_cloud.pyramid.field_tile import AnyField, FieldTile, LabelTile
from napari_omezarr_cloud.pyramid.image_tile import Holder, Model, OpenedField
from napari_omezarr_cloud.pyramid.labels_opening import open_all_labels
from napari_omezarr_cloud.pyramid.mosaic import MosaicNotes, lay_out
from napari_omezarr_cloud.store import OpenedStore
from napari_omezarr_cloud.store.gate import AHEAD, RANK
from napari_omezarr_cloud.store.inside import InsideStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.opened import OpenedLabels

__all__ = ["PlateLabels"]

_ASKED = 5
"""Fields that are asked whether they have labels, where the first has none."""

Cell = tuple[int, int]


class PlateLabels:
    """The label images of a mosaic of fields, as they are found.

    Parameters
    ----------
    opened
        The store of the plate or well.
    holder
        Of the tiles.
    first
        The field that the mosaic is modelled on.
    mosaic
        The fields.
    tile_in
        (row, column) of a cell of the mosaic → what lies there.
    counts
        Rows and columns of cells.
    """

    def __init__(
        self,
        opened: OpenedStore,
        holder: Holder,
        first: OpenedField,
        mosaic: Pyramid,
        tile_in: Callable[[Cell], AnyField | None],
        counts: Cell,
    ) -> None:
        self._opened, self._first, self._mosaic = opened, first, mosaic
        self._tile_in, self._counts = tile_in, counts
        # Whoever looks for labels where there are none need not be told of each.
        self._holder = replace(holder, notes=MosaicNotes())
        self._marks = holder.notes
        self._seen = {join(first.path, "labels", GROUP_KEY[first.group.zarr_format])}
        self._looking: set[asyncio.Task[None]] = set()
        self._has_any = False
        self.late: tuple[OpenedLabels, ...] = ()
        """What was found of fields that were asked later."""

    @property
    def is_looking(self) -> bool:
        """Whether a well is being asked."""
        return bool(self._looking)

    async def find(
        self, fields: Sequence[FieldTile]
    ) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
        """Return the label images of the first field that has any, laid out for all fields.

        Parameters
        ----------
        fields
            Of which a few are asked where the first has none.

        Returns
        -------
        labels, notes
        """
        found, notes = await self._labels_of(self._first)
        at = self._first
        if not found:
            found, also, at = await self._of_others(fields)
            notes = (*notes, *also)
        labels, odd = self._laid(found, at)
        return labels, (*notes, *odd)

    def look_at(self, field: FieldTile) -> None:
        """Ask a field whether it has labels, unless some are known; returns at once."""
        if self._has_any or field.labels_key in self._seen:
            return
        self._seen.add(field.labels_key)
        token = RANK.set(lambda: (AHEAD,))
        try:
            task = asyncio.create_task(self._look_at(field))
        finally:
            RANK.reset(token)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look_at(self, field: FieldTile) -> None:
        found, _, at = await self._of_others([field])
        if found and not self._has_any:
            self.late, _ = self._laid(found, at)

    async def _of_others(
        self, fields: Sequence[FieldTile]
    ) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...], OpenedField]:
        picked = (n * len(fields) // (_ASKED + 1) for n in range(1, _ASKED + 1))
        some = [fields[n] for n in sorted(set(picked))]
        some = [each for each in some if each.guess() != self._first.path]
        notes: tuple[str, ...] = ()
        try:
            keys = [each.labels_key for each in some]
            listed = await read_documents(self._opened.store, keys, self._opened.documents)
            self._seen |= set(keys)
            for each in some:
                at = await each.whole() if listed[each.labels_key] is not None else None
                if at is not None:
                    found, notes = await self._labels_of(at)
                    if found:
                        return found, notes, at
        except CloudError:
            pass  # told with the pixels of that well; there may be no labels at all
        return (), notes, self._first

    def _laid(
        self, found: Sequence[OpenedLabels], at: OpenedField
    ) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
        """Lay out label images that a field has, of all fields."""
        laid, notes = [], []
        for each in found:
            model = Model()
            model.pyramid = each.pyramid
            model.datasets = tuple(dataset.path for dataset in each.image.datasets)
            beneath = cache(partial(self._tile, each.name, model))
            try:
                pyramid = lay_out(
                    beneath,
                    each.pyramid,
                    self._counts,
                    place=self._holder.place,
                    label=each.name,
                    beside=at.pyramid,
                    over=self._mosaic,
                )
            except MetadataError as error:
                notes.append(f"The labels {each.name!r} could not be laid out. {error}")
                continue
            kept = (*pyramid.kept, self._marks)  # tells whose labels they are
            laid.append(replace(each, pyramid=replace(pyramid, kept=kept)))
        self._has_any = self._has_any or bool(laid)
        return tuple(laid), tuple(notes)

    def _tile(self, label: str, model: Model, cell: Cell) -> LabelTile | None:
        field = self._tile_in(cell)
        return None if field is None else LabelTile(field, self._holder, label, model)

    async def _labels_of(self, at: OpenedField) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
        opened = self._opened
        field = OpenedStore(
            opened.location.child(at.path),
            InsideStore(opened.store, at.path),
            opened.traffic,
            {
                key.removeprefix(at.path + "/"): raw
                for key, raw in opened.documents.items()
                if key.startswith(at.path + "/")
            },
        )
        return await open_all_labels(field, str(field.location), at.group.zarr_format, at.image)
