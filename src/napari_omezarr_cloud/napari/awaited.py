"""What a layer waits for, chunk by chunk and level by level. Pure, and safe in any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.chunks import Wish
    from napari_omezarr_cloud.pyramid import Index, Level

__all__ = ["Awaited"]


class Awaited:
    """The chunks of a wish-list, and which of them have not been told of yet."""

    def __init__(self, wishes: Sequence[Wish] = ()) -> None:
        self._levels = {(wish.level.key, wish.index): wish.level for wish in wishes}
        self._left: dict[int, set[Index]] = {}
        for wish in wishes:
            self._left.setdefault(wish.level.key, set()).add(wish.index)

    @property
    def chunks(self) -> list[tuple[Level, Index]]:
        """All of them, also those that have come meanwhile."""
        return [(level, index) for (_, index), level in self._levels.items()]

    @property
    def has_all(self) -> bool:
        """Whether all have come or failed."""
        return not any(self._left.values())

    def is_through(self, level: int) -> bool:
        """Tell whether all chunks of a level have come or failed."""
        return not self._left.get(level)

    def hear(self, level: int, indices: Sequence[Index]) -> bool:
        """Take notice of chunks that have come or failed; tell whether any was waited for."""
        if level not in self._left:
            return False
        self._left[level].difference_update(indices)
        return any((level, index) in self._levels for index in indices)

    def leave_out(self, is_settled: Callable[[Level, Index], bool]) -> None:
        """Do not wait for those that came, or had failed, before anybody listened."""
        for level, index in self.chunks:
            if is_settled(level, index):
                self._left[level.key].discard(index)
