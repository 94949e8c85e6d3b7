"""Layers that show what is here at once, and the rest as it comes.

A `Display` stands behind each layer of ours: it paints from memory, tells the engine what is
wanted, and refreshes the layer when chunks arrive.
"""

from __future__ import annotations

import time
import weakref
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QTimer

from napari_omezarr_cloud.chunks import Peeked, chunk_count, engine
from napari_omezarr_cloud.chunks.dask_view import reader_of
from napari_omezarr_cloud.napari.look import Look, first_look, same_place, wish_list
from napari_omezarr_cloud.napari.notices import tell_warning
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.slicing import can_hook, hook_slicing, unhook_slicing
from napari_omezarr_cloud.pyramid import Index, PyramidView, Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_omezarr_cloud.errors import CloudError

__all__ = ["Display", "adopt", "display_of", "expect", "release", "retry", "view_behind", "view_of"]

Array = npt.NDArray[Any]


_MANY = 1 << 14
"""Chunks in one look beyond which those in memory are counted, not those in the look."""


class Display:
    """Behind one layer: what it shows, what it waits for."""

    def __init__(self, layer: Any, view: PyramidView) -> None:
        self.view = view
        self._layer = weakref.ref(layer)
        self._engine = engine()
        self._token = object()  # what the engine knows us by: it must not keep the layer alive
        self._awaited: frozenset[tuple[int, Index]] = frozenset()
        self._arrived = 0
        self._has_wishes = False
        self.is_stale = False
        self.refreshed_at = 0.0
        self.cost_s = 0.0
        self.look: Look | None = None
        self._told: set[str] = set()
        self.missing = 0
        """Chunks of the shown level that are stand-ins now."""
        self.wanted = 0
        """Chunks of the shown level in view."""

    def paint(self, look: Look, thumbnail: Look) -> tuple[Look, Array, Array]:
        """Return what is painted for a look, and ask for what is missing; any thread."""
        view = self.view
        wishes = wish_list(view, look, self._engine.cache)
        # Before peeking: a chunk that comes in between must be heard, or it is never painted.
        self._awaited = frozenset((wish.level.key, wish.index) for wish in wishes)
        self._arrived = 0
        if wishes or self._has_wishes:
            self._engine.want(self._token, wishes)  # before painting: requests need not wait for it
        self._has_wishes = bool(wishes)
        painted = self._stand_in(look) or look
        seen = self._peek(painted)
        pixels = view.reduce(seen.pixels)
        small = pixels if thumbnail == painted else view.reduce(self._peek(thumbnail).pixels)
        self.look = look
        self.wanted = chunk_count(view.expand(look.region), self._chunks(look))
        self.missing = seen.missing if painted is look else self.wanted - self._present(look)
        if wishes and self._engine.has_failures:
            refresher().wake()  # what failed before this layer was there is told as well
        return painted, pixels, small

    def _stand_in(self, look: Look) -> Look | None:
        """Return the coarser look to paint instead of one of which nothing is here.

        It is painted as it is, not blown up to the finer grid: the graphics card does that better.
        A volume is shown as a whole or not at all: mending it piece by piece costs a copy of all of
        it each time.
        """
        present = self._present(look)
        here = chunk_count(self.view.expand(look.region), self._chunks(look)) == present
        last = len(self.view.pyramid.levels) - 1
        if here or look.number == last or (present and len(look.displayed) == 2):
            return None
        for number in range(look.number + 1, last + 1):
            coarse = same_place(self.view, look, number)
            total = chunk_count(self.view.expand(coarse.region), self._chunks(coarse))
            if number == last or self._present(coarse) == total:
                return coarse
        return None

    def _chunks(self, look: Look) -> tuple[int, ...]:
        return self.view.level(look.number).grid.chunks

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

    def hears(self, level: int, indices: Sequence[Index]) -> bool:
        """Tell whether these chunks are awaited, and note that the layer is stale."""
        awaited = self._awaited
        here = sum((level, index) in awaited for index in indices)
        if here:
            self._arrived += here
            self.is_stale = True
        return here > 0

    @property
    def has_all(self) -> bool:
        """Whether nothing is awaited any more: the next picture is the last."""
        return self._arrived >= len(self._awaited)

    def refresh(self) -> None:
        """Paint again, now; on the GUI thread."""
        self.is_stale = False
        layer = self._layer()
        if layer is None:
            return
        started = time.perf_counter()
        layer.refresh(extent=False, thumbnail=self.missing == 0, highlight=False)
        self.refreshed_at = time.perf_counter()
        self.cost_s = self.refreshed_at - started

    @property
    def progress(self) -> str:
        """How far the picture is, in words; empty when it is complete."""
        if not self.missing:
            return ""
        failed = len(self.failures())
        words = f"loading: {self.wanted - self.missing} of {self.wanted} chunks"
        return f"{words}, {failed} unreadable" if failed else words

    def value_at(self, position: Sequence[float]) -> Any:
        """Return the value at a position in level-0 voxels, or None where it is not here yet.

        Never a stand-in's value: what picks and measures must not be told a neighbour's.
        """
        look = self.look
        if look is None:
            return None
        view, number = self.view, look.number
        shape = view.grid(number).shape
        across = view.transform(0).to(view.transform(number))
        place = []
        for axis in range(view.ndim):
            if axis >= len(position):  # the colours of RGB
                place.append((0, shape[axis]))
                continue
            at = int(np.floor(across.scale[axis] * position[axis] + across.translation[axis] + 0.5))
            if not 0 <= at < shape[axis]:
                return None
            place.append((at, at + 1))
        region = Region(tuple(a for a, _ in place), tuple(b for _, b in place))
        seen = self._engine.peek(view.pyramid, number, view.expand(region))
        if not seen.is_exact:
            return None
        value = view.reduce(seen.pixels).reshape(-1)
        return value if view.ndim > len(position) else value[0]

    def failures(self) -> list[CloudError]:
        """Return why chunks in view could not be read."""
        levels = {level.key: level for level in self.view.pyramid.levels}
        found = (self._engine.failure(levels[key], index) for key, index in self._awaited)
        return [error for error in found if error is not None]

    def new_failures(self) -> list[str]:
        """Return a sentence for each cause of failure that was not told before."""
        fresh = {}
        for error in self.failures():
            if error.why not in self._told:
                fresh[error.why] = str(error)
        self._told |= set(fresh)
        return list(fresh.values())

    def forgive(self) -> None:
        """Tell of a failure again if it comes again."""
        self._told.clear()

    def close(self) -> None:
        """Withdraw every wish."""
        self._awaited = frozenset()
        self.is_stale = False
        self._engine.leave(self._token)


_displays: weakref.WeakKeyDictionary[Any, Display] = weakref.WeakKeyDictionary()


def display_of(layer: Any) -> Display | None:
    """Return the display behind a layer, if it is one of ours."""
    return _displays.get(layer)


def view_of(layer: Any) -> PyramidView | None:
    """Return what a layer shows, by the arrays it carries: copies are recognised too."""
    return view_behind(layer.data) if getattr(layer, "multiscale", False) else None


def view_behind(levels: Sequence[Any]) -> PyramidView | None:
    """Return the view whose levels these arrays are; None for arrays of others."""
    reader = reader_of(levels[0])
    return None if reader is None else reader.view


def adopt(layer: Any) -> Display | None:
    """Put a display behind a layer that carries our arrays; None for any other layer."""
    known = _displays.get(layer)
    if known is not None:
        return known
    view = view_of(layer)
    if view is None:
        return None
    if not can_hook(layer):
        _tell_plain_slicing()
        return None
    display = Display(layer, view)
    hook_slicing(layer, display)
    _show_honest_values(layer, display)
    _displays[layer] = display
    engine().cache.pin(view.level(len(view.pyramid.levels) - 1).key)
    refresher().add(display)
    return display


@cache
def _tell_plain_slicing() -> None:
    """Say once why this napari waits for the network as it does without us."""
    tell_warning(
        "This version of napari slices in a way that is not known here, so pictures appear only "
        "when all their chunks have come. Please report it with napari's version."
    )


def _show_honest_values(layer: Any, display: Display) -> None:
    """Make hovering and picking use voxels that are here, and say where there are none yet."""
    own_value, own_ray_value = type(layer)._get_value, type(layer)._get_value_3d
    own_status = type(layer).get_status
    reference = weakref.ref(layer)

    def _get_value(position: Sequence[float]) -> Any:
        live = reference()
        if live is None or len(position) != live.ndim:
            return own_value(live, position)
        return live.data_level, display.value_at(position)

    def get_status(*args: Any, **kwargs: Any) -> Any:
        live = reference()
        status = own_status(live, *args, **kwargs)
        if display.missing and status.get("coordinates"):
            status["coordinates"] += f" ({display.progress})"
        return status

    def _get_value_3d(*args: Any, **kwargs: Any) -> Any:
        # A ray goes through the whole volume: as long as part of it stands in, nothing is picked.
        return None if display.missing else own_ray_value(reference(), *args, **kwargs)

    layer._get_value = _get_value
    layer._get_value_3d = _get_value_3d
    layer.get_status = get_status


def release(layer: Any) -> None:
    """Take the display from a layer that was removed, and free its memory if it was the last."""
    display = _displays.pop(layer, None)
    if display is None:
        return
    display.close()
    unhook_slicing(layer)
    for name in ("_get_value", "_get_value_3d", "get_status"):
        layer.__dict__.pop(name, None)
    pyramid = display.view.pyramid
    if all(other.view.pyramid is not pyramid for other in _displays.values()):
        engine().forget(pyramid)


def retry(layers: Iterable[Any]) -> None:
    """Forget what failed and paint these layers again, which asks for it once more."""
    engine().retry()
    for layer in layers:
        shown = display_of(layer)
        if shown is not None:
            shown.forgive()
            shown.refresh()


def expect(
    views: Iterable[PyramidView], canvas_px: tuple[int, int], planes: Mapping[str, int]
) -> None:
    """Ask for what the first look will need, before napari has begun to add the layers.

    Parameters
    ----------
    views
        What will be shown.
    canvas_px
        Height and width of the canvas, on which a new image is fitted.
    planes
        Where sliders will stand, by axis name, in voxels of level 0; the middle where not given.
    """
    here = engine()
    for view in views:
        look = first_look(view, canvas_px, planes)
        here.want(("expected", view), wish_list(view, look, here.cache))
        QTimer.singleShot(5000, lambda view=view: here.leave(("expected", view)))
