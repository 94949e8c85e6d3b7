"""What a look at a view paints: from memory alone, with stand-ins for what is not here yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import Peeked, Tier, Wish, chunk_count
from napari_omezarr_cloud.napari.look import (
    Look,
    is_asked_for_whole,
    same_place,
    steps_to,
    wish_list,
)
from napari_omezarr_cloud.process.computation import is_patched
from napari_omezarr_cloud.pyramid import PyramidView, Region

if TYPE_CHECKING:
    from napari_omezarr_cloud.chunks import Engine
    from napari_omezarr_cloud.pyramid import Level

__all__ = ["Painted", "Painter", "painter_of"]

Array = npt.NDArray[Any]

_MANY = 1 << 14
"""Chunks in one look beyond which those in memory are counted, not those in the look."""

_MAX_PATCH_OVERVIEW = 1 << 21
"""Voxels of a coarsest level that are computed as one array, to stand in for finer patches."""


@dataclass(frozen=True)
class Painted:
    """A picture of a look, or of a coarser one at the same place."""

    look: Look
    pixels: Array
    """In the axes of the view."""
    thumbnail: Array
    wanted: int
    """Chunks of the level in view."""
    missing: int
    """Of these, how many are stand-ins."""
    is_whole: bool
    """Whether every chunk of the level that was painted is here."""


class Painter:
    """Paints a view from its chunks in memory."""

    def __init__(self, view: PyramidView, engine: Engine) -> None:
        self.view = view
        self._engine = engine

    def wishes(self, look: Look, *, overview: bool = True) -> list[Wish]:
        """Return what is missing for a look, most urgent first; without stand-ins if one likes."""
        wishes = wish_list(self.view, look, self._engine.cache)
        if overview:
            return wishes
        wanted = self.view.level(look.number).key
        return [wish for wish in wishes if wish.level.key == wanted]

    def has_any(self, look: Look) -> bool:
        """Tell whether anything of a look could be painted, be it a stand-in; of a volume, all."""
        last = len(self.view.pyramid.levels) - 1
        if len(look.displayed) < 3:
            ends = {look.number, last}
            return any(self._present(same_place(self.view, look, number)) for number in ends)
        coarser = range(look.number + 1, last + 1)
        places = (same_place(self.view, look, number) for number in coarser)
        return self._is_whole(look) or any(self._is_whole(place) for place in places)

    def may_come(self, look: Look) -> bool:
        """Tell whether any level of a look may still come whole: nothing of it has failed."""
        return any(self._may_be_whole(each) for each in (*steps_to(self.view, look), look))

    def count(self, look: Look) -> tuple[int, int]:
        """Return how many chunks of its level are in a look, and how many of these are missing."""
        wanted = self._total(look)
        return wanted, wanted - self._present(look)

    def paint(self, look: Look, thumbnail: Look) -> Painted:
        """Return what can be painted of a look now; never waits."""
        painted = self._stand_in(look) or look
        seen = self._peek(painted)
        pixels = self.view.reduce(seen.pixels)
        small = pixels
        if thumbnail != painted:
            small = self.view.reduce(self._peek(thumbnail).pixels)
        wanted = self._total(look)
        missing = seen.missing if painted is look else wanted - self._present(look)
        return Painted(painted, pixels, small, wanted, missing, seen.is_exact)

    def exact(self, look: Look, region: Region) -> Array | None:
        """Return voxels of a look's level if they are here, else None; never a stand-in's."""
        view = self.view
        seen = self._engine.peek(view.pyramid, look.number, view.expand(region))
        return view.reduce(seen.pixels) if seen.is_exact else None

    def _stand_in(self, look: Look) -> Look | None:
        """Return the coarser look to paint instead of one of which nothing is here.

        It is painted as it is, not blown up to the finer grid: the graphics card does that better.
        A volume is shown as a whole or not at all: mending it piece by piece costs a copy of all of
        it each time.
        """
        present = self._present(look)
        last = len(self.view.pyramid.levels) - 1
        is_here = present == self._total(look)
        if is_here or look.number == last or (present and len(look.displayed) == 2):
            return None
        for number in range(look.number + 1, last + 1):
            coarse = same_place(self.view, look, number)
            if number == last or self._is_whole(coarse):
                return coarse
        return None

    def _may_be_whole(self, look: Look) -> bool:
        if not is_asked_for_whole(self.view, look, self._engine.cache):
            return False
        if not self._engine.has_failures:
            return True
        level = self.view.level(look.number)
        chunks = level.grid.touching(self.view.expand(look.region))
        return all(self._engine.failure(level, index) is None for index in chunks)

    def _is_whole(self, look: Look) -> bool:
        return self._present(look) == self._total(look)

    def _total(self, look: Look) -> int:
        """Return how many chunks there are in a look."""
        return chunk_count(self.view.expand(look.region), self.view.level(look.number).grid.chunks)

    def _present(self, look: Look) -> int:
        """Return how many chunks of a look are in memory."""
        level, region = self.view.level(look.number), self.view.expand(look.region)
        cache = self._engine.cache
        if chunk_count(region, level.grid.chunks) > _MANY:
            here = (level.grid.region_of(index) for index in cache.indices(level.key))
            return sum(not box.intersect(region).is_empty for box in here)
        return sum((level.key, index) in cache for index in level.grid.touching(region))

    def _peek(self, look: Look) -> Peeked:
        view = self.view
        stride = view.expand_stride(look.stride)
        return self._engine.peek(view.pyramid, look.number, view.expand(look.region), stride)


class PatchPainter(Painter):
    """Paints what can only be computed as one array: the visible region, as a patch of its level.

    Until it is here, the patch of a moment ago stands in where it lies, and before that one of the
    whole coarsest level, if that is small.
    """

    def __init__(self, view: PyramidView, engine: Engine) -> None:
        super().__init__(view, engine)
        self._last: Look | None = None

    def wishes(self, look: Look, *, overview: bool = True) -> list[Wish]:
        """Return the patches that are missing: the overview, then the region itself."""
        if not self._is_patched(look):
            return super().wishes(look, overview=overview)
        looks = [look]
        if overview:
            coarse = self._overview(look)
            looks = [coarse, look] if coarse is not None and coarse != look else [look]
        return [
            Wish(self._patch(each), self._index, (float(Tier.VISIBLE), float(order)))
            for order, each in enumerate(looks)
            if self._pixels(each) is None
        ]

    def has_any(self, look: Look) -> bool:
        """Tell whether a patch is here that can be painted for a look."""
        if not self._is_patched(look):
            return super().has_any(look)
        return self._pixels(look) is not None or self._substitute(look) is not None

    def may_come(self, look: Look) -> bool:
        """Tell whether a patch may still come that can be painted for a look."""
        if not self._is_patched(look):
            return super().may_come(look)
        looks = [each for each in (self._overview(look), look) if each is not None]
        return any(self._engine.failure(self._patch(each), self._index) is None for each in looks)

    def count(self, look: Look) -> tuple[int, int]:
        """Return 1, and whether the patch of a look is missing."""
        if not self._is_patched(look):
            return super().count(look)
        return 1, int(self._pixels(look) is None)

    def paint(self, look: Look, thumbnail: Look) -> Painted:
        """Return the patch of a look, or what stands in for it."""
        if not self._is_patched(look):
            return super().paint(look, thumbnail)
        pixels, painted, missing = self._pixels(look), look, 0
        if pixels is None:
            missing = 1
            painted = self._substitute(look) or same_place(self.view, look, self._coarsest)
            pixels = self._pixels(painted)
        else:
            self._last = look
        is_whole = pixels is not None
        if pixels is None:
            pixels = np.zeros(painted.region.shape, self.view.dtype)
        return Painted(painted, pixels, pixels, 1, missing, is_whole)

    def exact(self, look: Look, region: Region) -> Array | None:
        """Return voxels of the patch of a look, if it is here and covers them."""
        if not self._is_patched(look):
            return super().exact(look, region)
        pixels = self._pixels(look)
        if pixels is None or region != region.intersect(look.region):
            return None
        part: Array = pixels[region.relative_to(look.region)]
        return part

    @property
    def _coarsest(self) -> int:
        return len(self.view.pyramid.levels) - 1

    @property
    def _index(self) -> tuple[int, ...]:
        return (0,) * self.view.pyramid.ndim

    def _is_patched(self, look: Look) -> bool:
        return is_patched(self.view.level(look.number))

    def _patch(self, look: Look) -> Level:
        level = self.view.level(look.number)
        assert is_patched(level)  # noqa: S101 (for the type checker)
        return level.patch(self.view.expand(look.region))

    def _pixels(self, look: Look) -> Array | None:
        """Return the patch of a look, if it is here."""
        if not self._is_patched(look):
            return None
        chunk = self._engine.cache.get(self._patch(look).key, self._index)
        return self.view.reduce(chunk) if isinstance(chunk, np.ndarray) else None

    def _overview(self, look: Look) -> Look | None:
        """Return the look at the whole coarsest level on the same planes, if that is small."""
        coarse = same_place(self.view, look, self._coarsest)
        start, stop = list(coarse.region.start), list(coarse.region.stop)
        for axis in look.displayed:
            start[axis], stop[axis] = 0, self.view.grid(self._coarsest).shape[axis]
        region = Region(tuple(start), tuple(stop))
        if region.size > _MAX_PATCH_OVERVIEW or not self._is_patched(coarse):
            return None
        return Look(self._coarsest, region, look.displayed, coarse.stride)

    def _substitute(self, look: Look) -> Look | None:
        """Return a look whose patch is here and lies on the same planes."""
        for other in (self._last, self._overview(look)):
            if other is None or other.displayed != look.displayed:
                continue
            there = same_place(self.view, look, other.number).region
            sliders = [a for a in range(self.view.ndim) if a not in look.displayed]
            is_same = all(there.start[a] == other.region.start[a] for a in sliders)
            if is_same and self._pixels(other) is not None:
                return other
        return None


def painter_of(view: PyramidView, engine: Engine) -> Painter:
    """Return what paints a view."""
    needs_patches = any(is_patched(level) for level in view.pyramid.levels)
    return PatchPainter(view, engine) if needs_patches else Painter(view, engine)
