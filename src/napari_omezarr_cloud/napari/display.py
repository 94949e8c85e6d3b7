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

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.chunks.dask_view import reader_of
from napari_omezarr_cloud.chunks.engine import Hits
from napari_omezarr_cloud.errors import StoppedError
from napari_omezarr_cloud.napari.foresight import Foresight
from napari_omezarr_cloud.napari.look import Look, first_look, wish_list
from napari_omezarr_cloud.napari.notices import tell_warning
from napari_omezarr_cloud.napari.painting import Painter, painter_of
from napari_omezarr_cloud.napari.plate_place import well_words
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.slicing import can_hook, hook_slicing, unhook_slicing
from napari_omezarr_cloud.process.derived import DerivedLevel
from napari_omezarr_cloud.pyramid import Index, Level, PyramidView, Region
from napari_omezarr_cloud.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_omezarr_cloud.chunks import Wish
    from napari_omezarr_cloud.errors import CloudError

__all__ = ["Display", "adopt", "display_of", "expect", "release", "retry", "view_behind", "view_of"]

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
        self._is_holding = False
        self._shown = 0
        self._token = object()  # what the engine knows us by: it must not keep the layer alive
        self._awaited: dict[tuple[int, Index], Level] = {}
        self._arrived = 0
        self._has_wishes = False
        self._expected: tuple[str, PyramidView] | None = ("expected", view)
        self.is_stale = False
        self.refreshed_at = 0.0
        self.cost_s = 0.0
        self.look: Look | None = None
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
        self._await(wishes, () if wishes else self._ahead(look))
        if self._expected is not None and self._is_part(look):
            # Zoomed in before all has come: what was expected of the rest is not wanted any more.
            self._engine.leave(self._expected)
            self._expected = None
        self._is_holding = False
        former = self._former
        if former is not None and painter.has_any(look):
            former = self._former = None
        painted = (former or painter).paint(look, thumbnail)
        if former is None and look != self.look:
            found = painted.wanted - painted.missing
            self.hits.add(painted.wanted, found)
            self._engine.hits.add(painted.wanted, found)
        self.look = look
        self.wanted, self.missing = painted.wanted, painted.missing
        if former is not None:
            self.missing = self.wanted
        if wishes and self._engine.has_failures:
            refresher().wake()  # what failed before this layer was there is told as well
        return painted.look, painted.pixels, painted.thumbnail

    def _ahead(self, look: Look) -> Sequence[Wish]:
        """Return what may be looked at next, now that all of this look is here."""
        self._foresight.note(look)
        budget = settings().prefetch_bytes
        return self._foresight.wishes(self.view, look, self._engine.cache, budget)

    def _is_part(self, look: Look) -> bool:
        """Tell whether less than the whole is on screen; not so, as long as nothing is."""
        shape = self.view.grid(look.number).shape
        sides = [(look.region.shape[axis], shape[axis]) for axis in look.displayed]
        return any(1 < seen < whole for seen, whole in sides)

    def _await(self, wishes: Sequence[Wish], ahead: Sequence[Wish] = ()) -> None:
        """Ask for these, and for nothing else; those ahead are not painted when they come."""
        self._awaited = {(wish.level.key, wish.index): wish.level for wish in wishes}
        self._arrived = 0
        if wishes or ahead or self._has_wishes:
            self._engine.want(self._token, [*wishes, *ahead])
        self._has_wishes = bool(wishes or ahead)

    def hears(self, level: int, indices: Sequence[Index]) -> bool:
        """Tell whether these chunks are to be painted now, and note that the layer is stale."""
        awaited = self._awaited
        here = sum((level, index) in awaited for index in indices)
        self._arrived += here
        if here and (self.has_all or not self._is_holding):
            self.is_stale = True
            return True
        return False

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
            return self.remark
        failures = self.failures()
        stopped = sum(isinstance(each, StoppedError) for each in failures)
        state = "stopped" if stopped else "paused" if self._engine.is_paused else "loading"
        words = f"{state}: {self.wanted - self.missing} of {self.wanted} chunks"
        failed = len(failures) - stopped
        return f"{words}, {failed} unreadable" if failed else words

    @property
    def awaited(self) -> list[tuple[Level, Index]]:
        """Chunks that were not here when it was painted last, on the level shown and coarser."""
        return [(level, index) for (_, index), level in list(self._awaited.items())]

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
        found = self._painter.exact(look, region)
        if found is None:
            return None
        value = found.reshape(-1)
        return value if view.ndim > len(position) else value[0]

    def failures(self) -> list[CloudError]:
        """Return why chunks in view could not be read."""
        awaited = list(self._awaited.items())
        found = (self._engine.failure(level, index) for (_, index), level in awaited)
        return [error for error in found if error is not None]

    def new_failures(self) -> list[str]:
        """Return a sentence for each cause of failure that was not told before."""
        fresh = {}
        for error in self.failures():
            if error.why not in self._told and not isinstance(error, StoppedError):
                fresh[error.why] = str(error)
        self._told |= set(fresh)
        return list(fresh.values())

    def forgive(self) -> None:
        """Tell of a failure again if it comes again."""
        self._told.clear()

    def on_visible(self, event: Any = None) -> None:
        """Withdraw every wish of a layer that was hidden; napari paints it when it is shown."""
        layer = self._layer()
        if layer is not None and not layer.visible:
            self._await(())

    def close(self) -> None:
        """Withdraw every wish."""
        self._awaited = {}
        self.is_stale = self._is_holding = False
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
    layer.events.visible.connect(display.on_visible)
    engine().cache.pin(display.view.level(len(view.pyramid.levels) - 1).key)
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
        position = kwargs.get("position", args[0] if args else None)
        if live is not None and position is not None and status.get("coordinates"):
            is_world = kwargs.get("world", False)
            where = well_words(display.view, live.world_to_data(position) if is_world else position)
            status["coordinates"] += f"; {where}" if where else ""
        if display.progress and status.get("coordinates"):
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
    layer.events.visible.disconnect(display.on_visible)
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
