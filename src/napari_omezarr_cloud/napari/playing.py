"""Playing a slider of one window as fast as its frames come: none is skipped, none shown stale."""

from __future__ import annotations

import itertools
import time
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_omezarr_cloud.chunks import Tier, Wish, engine
from napari_omezarr_cloud.errors import StoppedError
from napari_omezarr_cloud.napari.compat import renew_status
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.frames import chunk_box, fitting
from napari_omezarr_cloud.napari.play_hook import PlayHook, can_hook_play, sliders_of
from napari_omezarr_cloud.napari.slicing import course_along
from napari_omezarr_cloud.process.computation import is_patched
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari_omezarr_cloud.napari.display import Display
    from napari_omezarr_cloud.napari.frames import Playing
    from napari_omezarr_cloud.napari.look import Look
    from napari_omezarr_cloud.pyramid import Index

__all__ = ["conduct", "shown_displays"]

_MOST_AHEAD = 24
"""Frames that are loaded while one is shown: enough for some seconds at a usual pace."""
_CACHE_SHARE = 8
"""Frames ahead take at most this part of the memory: none is to be evicted before it is shown."""
_PATIENCE_S = 0.5
"""Waiting that is shorter is not told."""
_NEXT = (float(Tier.VISIBLE), 2.0)
"""After what is missing of the frame on screen."""


def conduct(viewer: Any) -> None:
    """Make play in a window wait for what our layers show, as long as the window lives.

    Where napari plays in a way that is not known here, it goes on by the clock.
    """
    sliders = sliders_of(viewer)
    if can_hook_play(sliders):
        PlayHook(sliders, _Conductor(viewer, sliders))


def shown_displays(viewer: Any) -> list[tuple[Any, Display]]:
    """Return the visible layers of ours in a window, and what is behind them."""
    found = ((layer, display_of(layer)) for layer in viewer.layers if layer.visible)
    return [(layer, shown) for layer, shown in found if shown is not None]


@dataclass(frozen=True)
class _Strip:
    """The next frames of one layer."""

    layer: Any
    display: Display
    looks: Sequence[Look | None]
    """Of each frame; None where nothing of the layer is drawn."""

    @property
    def is_painted(self) -> bool:
        """Whether the layer shows all that can be shown of the frame on screen."""
        return bool(self.layer.loaded) and self.display.has_settled

    def lacking(self) -> list[Wish]:
        """Return what the next frame cannot be painted without."""
        look = self.looks[0]
        return [] if look is None else self.display.wishes(look, overview=False)


class _Conductor(QObject):
    """Lets a frame be shown when all of it is in memory, and loads those that come after it."""

    def __init__(self, viewer: Any, sliders: Any) -> None:
        super().__init__(sliders)
        self._viewer = weakref.ref(viewer)
        self._sliders = weakref.ref(sliders)
        self._engine = engine()
        self._token = token = object()
        self._wished: Hashable = None
        self._ahead: dict[Hashable, list[Wish]] = {}
        self._waits_since: float | None = None
        self._has_told = False
        sliders.destroyed.connect(lambda *_, here=self._engine: here.leave(token))

    @property
    def holds(self) -> bool:
        """Whether there is any layer of ours to wait for."""
        viewer = self._viewer()
        return viewer is not None and bool(shown_displays(viewer))

    def may_show(self, frame: int, playing: Playing) -> bool:
        """Tell whether the frame on screen is painted, and all of this one is here."""
        viewer = self._viewer()
        if viewer is None:
            return False
        frames = list(itertools.islice(playing.frames_from(frame), 1 + _MOST_AHEAD))
        strips = [
            _Strip(
                layer, shown, course_along(layer, shown, viewer.dims, playing.axis, frames).looks
            )
            for layer, shown in shown_displays(viewer)
        ]
        if self._is_too_large(strips):
            viewer.status = "Playing does not wait: a frame needs more than half of the memory."
            return True
        lacking = [wish for strip in strips for wish in strip.lacking() if self._may_come(wish)]
        idle = [w for w in lacking if not self._engine.is_under_way(w.level, w.index)]
        is_new = self._wished != self._key(strips)
        if idle and not is_new and any(map(self._is_stopped, idle)):
            self._stop(viewer)
            return False
        if is_new or idle:
            self._want(strips)
        unpainted = [strip.display.missing for strip in strips if not strip.is_painted]
        if unpainted:
            self._wait(viewer, playing.axis, viewer.dims.current_step[playing.axis], sum(unpainted))
            return False
        if lacking:
            self._wait(viewer, playing.axis, frame, len(lacking))
            return False
        self._go_on()
        if len(frames) > 1:
            # At once, not when it is asked for: that is a beat later.
            self._want([replace(strip, looks=strip.looks[1:]) for strip in strips])
        return True

    def end(self) -> None:
        """Withdraw every wish, and say no more that play waits."""
        self._wished = None
        self._ahead = {}
        self._engine.leave(self._token)
        self._go_on()

    def _may_come(self, wish: Wish) -> bool:
        """Tell whether it makes sense to wait: what failed is shown as what it is, a hole."""
        error = self._engine.failure(wish.level, wish.index)
        return error is None or isinstance(error, StoppedError)

    def _is_stopped(self, wish: Wish) -> bool:
        return isinstance(self._engine.failure(wish.level, wish.index), StoppedError)

    def _is_too_large(self, strips: Sequence[_Strip]) -> bool:
        """Tell whether the next frame may never be in memory as a whole."""
        first = [(strip.display, strip.looks[0]) for strip in strips]
        boxes = dict(chunk_box(look, each.view) for each, look in first if look is not None)
        return sum(boxes.values()) > self._engine.cache.max_bytes // 2

    def _key(self, strips: Sequence[_Strip]) -> Hashable:
        """Return what tells the wishes for these frames from those for others."""
        return self._budget, *(
            (each.display, each.display.view, *each.looks[:2]) for each in strips
        )

    @property
    def _budget(self) -> int:
        return min(settings().prefetch_bytes, self._engine.cache.max_bytes // _CACHE_SHARE)

    def _want(self, strips: Sequence[_Strip]) -> None:
        """Ask for the first of these frames, and ahead of time for as many others as may be."""
        self._wished = self._key(strips)
        wishes: dict[tuple[int, Index], Wish] = {}
        ahead: dict[Hashable, list[Wish]] = {}
        for number, looks in enumerate(self._fitting(strips)):
            tier = (float(Tier.PREFETCH), float(number)) if number else _NEXT
            for display, look in looks:
                if number:
                    key = (display, display.view, look)
                    missing = self._ahead.get(key)
                    if missing is None:
                        missing = self._wishes_ahead(display, look)
                    ahead[key] = missing
                else:
                    missing = display.wishes(look)
                for wish in missing:
                    chunk = (wish.level.key, wish.index)
                    if chunk not in wishes and chunk not in self._engine.cache:
                        wishes[chunk] = Wish(wish.level, wish.index, (*tier, *wish.rank[1:]))
        self._ahead = ahead
        self._engine.want(self._token, list(wishes.values()))

    def _fitting(self, strips: Sequence[_Strip]) -> list[list[tuple[Display, Look]]]:
        """Return what of these frames is to be loaded, frame by frame; of the first all."""
        frames = [
            [(strip.display, look) for strip, look in zip(strips, looks, strict=True) if look]
            for looks in zip(*(strip.looks for strip in strips), strict=True)
        ]
        if not self._budget:
            return frames[:1]
        parts = [dict(chunk_box(look, each.view) for each, look in frame) for frame in frames]
        return frames[: fitting(parts, self._budget)]

    def _wishes_ahead(self, display: Display, look: Look) -> list[Wish]:
        """Return what is missing of a frame that has come in sight, and keep what is here of it."""
        level = display.view.level(look.number)
        if is_patched(level):
            return []  # it is not kept for other places than the next
        indices = level.grid.touching(display.view.expand(look.region))
        self._engine.cache.touch(level.key, indices)
        return display.wishes(look)

    def _wait(self, viewer: Any, axis: int, frame: int, chunks: int) -> None:
        """Say what play waits for, if that takes longer than a moment."""
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        if now - self._waits_since > _PATIENCE_S:
            where = f"{viewer.dims.axis_labels[axis]} = {frame}"
            how = "paused in the Network dock" if self._engine.is_paused else "loading"
            viewer.status = f"Playing waits for {where}: {how}, {chunks:,} chunks to come"
            self._has_told = True

    def _go_on(self) -> None:
        self._waits_since = None
        viewer = self._viewer()
        if self._has_told and viewer is not None:
            self._has_told = False
            renew_status(viewer)

    def _stop(self, viewer: Any) -> None:
        """Stop playing: the person has stopped loading."""
        sliders = self._sliders()
        if sliders is not None:
            sliders.stop()
        self._has_told = False
        viewer.status = "Playing stopped, as loading was. Retry in the Network dock loads again."
