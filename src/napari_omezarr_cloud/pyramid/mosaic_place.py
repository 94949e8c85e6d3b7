"""Where a mosaic comes from: by that, another process opens it again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import ChangedError
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.level import Level
    from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels
    from napari_omezarr_cloud.pyramid.plate_opened import FieldChoice

__all__ = ["MosaicPlace", "level_again"]


class MosaicPlace:
    """A plate or well, and which of its fields are laid out.

    Levels that are sent together share one: where they arrive it is opened once.

    Parameters
    ----------
    location
        Of the plate or well.
    field, acquisition
        As for `open_image`.
    """

    def __init__(self, location: Location, field: FieldChoice, acquisition: int | None) -> None:
        self.location = location
        self._field, self._acquisition = field, acquisition

    def __reduce__(self) -> tuple[Any, ...]:
        # Not what was opened: another process has connections and credentials of its own.
        return MosaicPlace, (self.location, self._field, self._acquisition)

    def levels(self, label: str | None) -> tuple[Level, ...]:
        """Return the levels of the fields, or of their labels of this name; waits.

        Empty where the fields that are asked have no such labels.

        Raises
        ------
        CloudError
            If it cannot be opened.
        """
        if label is None:
            return self._opened.pyramid.levels
        found = [each.pyramid.levels for each in self._labels if each.name == label]
        return found[0] if found else ()

    @cached_property
    def _opened(self) -> OpenedImage:
        from napari_omezarr_cloud.pyramid.opening import open_image  # it imports what imports this

        found = open_image(self.location, field=self._field, acquisition=self._acquisition)
        return io_thread().wait(found)

    @cached_property
    def _labels(self) -> tuple[OpenedLabels, ...]:
        looking = self._opened.labels

        async def found() -> tuple[OpenedLabels, ...]:
            labels, _ = await looking
            return labels

        return io_thread().wait(found())


def level_again(
    place: MosaicPlace, label: str | None, number: int, shape: tuple[int, ...]
) -> Level:
    """Return a level that another process knew; waits.

    Parameters
    ----------
    place, label
        Of what, as for `MosaicPlace.levels`.
    number
        Of the level.
    shape
        What it has to be.

    Raises
    ------
    ChangedError
        If the mosaic is laid out otherwise by now.
    CloudError
        If it cannot be opened.
    """
    levels = place.levels(label)
    if number < len(levels) and levels[number].grid.shape == shape:
        return levels[number]
    raise ChangedError(
        "Could not go on in another process",
        where=str(place.location),
        key=label,
        why="it looks otherwise there: wells have changed since it was opened, or could not be "
        "read",
        hint="Open it again, or run it without workers.",
    )
