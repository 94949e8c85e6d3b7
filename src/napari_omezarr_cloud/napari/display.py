"""Layers that show what is here at once, and the rest as it comes.

A `Display` stands behind each layer of ours: it paints from memory, tells the engine what is
wanted, and refreshes the layer when chunks arrive.
"""

from __future__ import annotations

import re
import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.dask_view import reader_of
from napari_omezarr_cloud.chunks.engine import Hits
from napari_omezarr_cloud.errors import StoppedError
from napari_omezarr_cloud.napari.awaited import Awaited
from napari_omezarr_cloud.napari.foresight import Foresight, shards_ahead
from napari_omezarr_cloud.napari.look import Look, voxel_at
from napari_omezarr_cloud.napari.painting import Painted, Painter, painter_of
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.chunks import Lookup, Wish
    from napari_omezarr_cloud.errors import CloudError
    from napari_omezarr_cloud.pyramid import Index, Level, PyramidView, Region

__all__ = ["Display", "display_of", "displays", "view_behind", "view_of"]

Array = npt.NDArray[Any]


_HOLD_MS = 250
"""How long the picture of the former parameters stays while the new one is computed as a whole."""


class Display:
    """Behind one layer: what it shows, what it waits for."""

    def __init__(self, layer: Any, view: PyramidView) -> None:
        self._layer = weakref.ref(layer)
        self._engine = engine()
        self._painter = painter_of(view.preview, self._engine)
        self._former: Painter | None = None
        self._kept: tuple[Look, Painted] | None = None
        self._shows_kept = False
        self._is_holding = False
        self._shown = 0
        self._token = object()  # what the engine knows us by: it must not keep the layer alive
        self._awaited = Awaited()
        self._has_wishes = False
        self._expected: tuple[str, PyramidView] | None = ("expected", view)
        self.is_stale = False
        self.refreshed_at = 0.0
        self.look: Look | None = None
        self.box: Region | None = None
        """The voxels of level 0 that are shown in 3-D; None: all."""
        self._foresight = Foresight()
        self._told: set[str] = set()
        self.hits = Hits()
        """Of its looks: how many chunks were wanted, and how many were in memory."""
        self.missing = 0
        """Chunks of the shown level that are stand-ins now."""
        self.wanted = 0
        """Chunks of the shown level in view."""

    @property
    def view(self) -> PyramidView:
        """What is painted."""
        return self._painter.view

    def show(self, view: PyramidView) -> None:
        """Paint another view on the same grid from now on: a parameter was changed.

        What was painted stays until the new picture is complete, or for a quarter of a second; no
        result of the old view is painted after that.
        """
        if self._former is None or not self.missing:
            self._former = self._painter
        self._painter = painter_of(view.preview, self._engine)
        self._kept = None
        layer = self._layer()
        if layer is None or not layer.visible:
            return  # napari paints it when it is shown
        look = self.look
        wishes = self._painter.wishes(look, overview=False) if look is not None else []
        self._await(wishes)
        self._is_holding = bool(wishes)
        if not wishes:
            self.refresh()
            return
        self.missing = len(wishes)
        self._shown += 1
        number = self._shown
        QTimer.singleShot(_HOLD_MS, lambda: self._stop_holding(number))

    def _stop_holding(self, number: int) -> None:
        """Go on piece by piece, unless another view is awaited by now."""
        if self._is_holding and number == self._shown:
            self._is_holding = False
            self.refresh()

    def paint(self, look: Look, thumbnail: Look) -> tuple[Look, Array, Array]:
        """Return what is painted for a look, and ask for what is missing; any thread."""
        painter = self._painter
        wishes = painter.wishes(look)
        # Before peeking: a chunk that comes in between must be heard, or it is never painted.
        # And before painting: requests need not wait for it.
        self._await(wishes, *(() if wishes else self._ahead(look)))
        if self._expected is not None and self._is_part(look):
            # Zoomed in before all has come: what was expected of the rest is not wanted any more.
            self._engine.leave(self._expected)
            self._expected = None
        self._is_holding = False
        former = self._former
        if former is not None and painter.has_any(look):
            former = self._former = None
        kept = self._picture_to_keep(painter, look) if former is None else None
        painted = kept or (former or painter).paint(look, thumbnail)
        if former is None and look != self.look:
            found = painted.wanted - painted.missing
            self.hits.add(painted.wanted, found)
            self._engine.hits.add(painted.wanted, found)
        self.look, self._shows_kept = look, kept is not None
        self.wanted, self.missing = painted.wanted, painted.missing
        if former is not None:
            self.missing = self.wanted
        elif kept is None:
            is_volume = len(look.displayed) == 3
            self._kept = (look, painted) if is_volume and painted.is_whole else None
        if wishes and self._engine.has_failures:
            refresher().wake()  # what failed before this layer was there is told as well
        if self.missing and not wishes and painter.wishes(look):
            # A full memory lost a chunk in between: nobody asked for it, so nobody would tell.
            self.is_stale = True
            refresher().wake()
        return painted.look, painted.pixels, painted.thumbnail

    def rest(self) -> None:
        """Withdraw every wish while nothing of the layer is drawn; any thread."""
        self._await(())
        self.is_stale = self._is_holding = False
        self.wanted = self.missing = 0

    def _picture_to_keep(self, painter: Painter, look: Look) -> Painted | None:
        """Return the volume that was painted for another look, if it still stands in for this one.

        It does until any level of this look is whole, or none can be any more: after a failure the
        picture of another time point must not pass for this one.
        """
        if self._kept is None or len(look.displayed) < 3:
            return None
        before, painted = self._kept
        if before == look or before.displayed != look.displayed:
            return None
        if painter.has_any(look) or not painter.may_come(look):
            return None
        wanted, missing = painter.count(look)
        return replace(painted, wanted=wanted, missing=missing)

    def _ahead(self, look: Look) -> tuple[Sequence[Wish], Sequence[Lookup]]:
        """Return what may be looked at next, now that all of this look is here."""
        self._foresight.note(look)
        budget = settings().prefetch_bytes
        ahead = self._foresight.wishes(self.view, look, self._engine.cache, budget)
        return ahead, shards_ahead(self.view, look) if budget else ()

    def _is_part(self, look: Look) -> bool:
        """Tell whether less than the whole is on screen; not so, as long as nothing is."""
        shape = self.view.grid(look.number).shape
        sides = [(look.region.shape[axis], shape[axis]) for axis in look.displayed]
        return any(1 < seen < whole for seen, whole in sides)

    def _await(
        self,
        wishes: Sequence[Wish],
        ahead: Sequence[Wish] = (),
        lookups: Sequence[Lookup] = (),
    ) -> None:
        """Ask for these, and for nothing else; those ahead are not painted when they come."""
        self._awaited = Awaited(wishes)
        self._awaited.leave_out(self._is_settled)
        if wishes or ahead or lookups or self._has_wishes:
            self._engine.want(self._token, [*wishes, *ahead], lookups)
        self._has_wishes = bool(wishes or ahead or lookups)

    def hears(self, level: int, indices: Sequence[Index]) -> bool:
        """Tell whether these chunks are to be painted now, and note that the layer is stale."""
        awaited = self._awaited
        if not awaited.hear(level, indices):
            return False
        if self._is_holding and not awaited.has_all:
            return False
        if self._shows_volume and not self.is_through(level):
            return False  # it is painted when a level is whole, and each time costs all of it
        self.is_stale = True
        return True

    def is_through(self, level: int) -> bool:
        """Tell whether nothing more is awaited of a level."""
        return self._awaited.is_through(level)

    @property
    def _shows_volume(self) -> bool:
        return self.look is not None and len(self.look.displayed) == 3

    def _is_settled(self, level: Level, index: Index) -> bool:
        is_here = (level.key, index) in self._engine.cache
        return is_here or self._engine.failure(level, index) is not None

    @property
    def has_all(self) -> bool:
        """Whether nothing is awaited any more: the next picture is the last."""
        return self._awaited.has_all

    def refresh(self) -> None:
        """Paint again, now; on the GUI thread."""
        self.is_stale = False
        layer = self._layer()
        if layer is None:
            return
        layer.refresh(extent=False, thumbnail=self.missing == 0, highlight=False)
        self.refreshed_at = time.perf_counter()

    @property
    def progress(self) -> str:
        """How far the picture is, in words; empty when it is complete."""
        if not self.missing:
            return self.remark
        if not self._awaited.chunks:
            more = "more do not fit into the memory for pixels"
            return f"{self.here} of {self.wanted} chunks; {more}"
        failures = self.failures()
        stopped = sum(isinstance(each, StoppedError) for each in failures)
        state = "stopped" if stopped else "paused" if self._engine.is_paused else "loading"
        words = f"{state}: {self.here} of {self.wanted} chunks"
        failed = len(failures) - stopped
        words = f"{words}, {failed} unreadable" if failed else words
        return f"the former volume is still shown; {words}" if self._shows_kept else words

    def count(self, look: Look) -> tuple[int, int]:
        """Return how many chunks of its level a look has, and how many of them are not here."""
        return self._painter.count(look)

    @property
    def here(self) -> int:
        """How many of the chunks in view are here, painted or not: a volume waits for all."""
        if self.look is None:
            return 0
        shown = self.view.level(self.look.number).key
        cache = self._engine.cache
        come = sum(lv.key == shown and (shown, i) in cache for lv, i in self._awaited.chunks)
        return self.wanted - self.missing + come

    @property
    def has_settled(self) -> bool:
        """Whether all is painted that can be: what is missing could not be read."""
        if not self.missing:
            return True
        failures = (self._engine.failure(level, index) for level, index in self._awaited.chunks)
        return not self.is_stale and all(error is not None for error in failures)

    def wishes(self, look: Look, *, overview: bool = True) -> list[Wish]:
        """Return what is missing for a look, most urgent first; without stand-ins if one likes."""
        return self._painter.wishes(look, overview=overview)

    @property
    def awaited(self) -> list[tuple[Level, Index]]:
        """Chunks that were not here when it was painted last, on the level shown and coarser."""
        return self._awaited.chunks

    @property
    def remark(self) -> str:
        """What is to be known of the level that is shown: that it shows no operation."""
        if self.look is None:
            return ""
        level = self.view.level(self.look.number)
        return level.compute.note if isinstance(level, DerivedLevel) else ""

    def value_at(self, position: Sequence[float]) -> Any:
        """Return the value at a position in level-0 voxels, or None where it is not here yet.

        Never a stand-in's value: what picks and measures must not be told a neighbour's.
        """
        look = self.look
        if look is None or self.remark:
            return None
        region = voxel_at(self.view, look.number, position)
        if region is None:
            return None
        found = self._painter.exact(look, region)
        if found is None:
            return None
        value = found.reshape(-1)
        return value if self.view.ndim > len(position) else value[0]

    def failures(self) -> list[CloudError]:
        """Return why chunks in view could not be read."""
        found = (self._engine.failure(level, index) for level, index in self._awaited.chunks)
        return [error for error in found if error is not None]

    def new_failures(self) -> list[CloudError]:
        """Return an error for each cause of failure that was not told before."""
        fresh = {}
        for error in self.failures():
            cause = re.sub(r"\d+", "", error.why)  # each broken chunk has other checksums
            if cause not in self._told and not isinstance(error, StoppedError):
                fresh[cause] = error
        self._told |= set(fresh)
        return list(fresh.values())

    def forgive(self) -> None:
        """Tell of a failure again if it comes again."""
        self._told.clear()

    def on_visible(self, event: Any = None) -> None:
        """Withdraw every wish of a layer that was hidden; napari paints it when it is shown."""
        layer = self._layer()
        if layer is not None and not layer.visible:
            self.rest()
            self._kept = None  # it is no longer what was shown a moment ago

    def close(self) -> None:
        """Withdraw every wish."""
        self._awaited = Awaited()
        self._kept = None
        self.is_stale = self._is_holding = False
        self._engine.leave(self._token)


displays: weakref.WeakKeyDictionary[Any, Display] = weakref.WeakKeyDictionary()
"""Behind which layer which one is."""


def display_of(layer: Any) -> Display | None:
    """Return the display behind a layer, if it is one of ours."""
    return displays.get(layer)


def view_of(layer: Any) -> PyramidView | None:
    """Return what a layer shows, by the arrays it carries: copies are recognised too."""
    return view_behind(layer.data) if getattr(layer, "multiscale", False) else None


def view_behind(levels: Sequence[Any]) -> PyramidView | None:
    """Return the view whose levels these arrays are; None for arrays of others."""
    reader = reader_of(levels[0])
    return None if reader is None else reader.view
