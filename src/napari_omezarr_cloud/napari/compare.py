"""A result against what it was made from: one after the other, or side by side at a divider.

Who makes a result says so with `remember`; what is not known is looked up by the names in the
layer's metadata, and at last taken to be the layer below. `toggle` changes visibility only;
a wipe cuts both layers at a line on the canvas (`wipe`), or blinks where napari does not let it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer

from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.notices import tell_warning
from napari_omezarr_cloud.napari.visible import has_pixels
from napari_omezarr_cloud.napari.widgets.wipe_divider import WipeDivider
from napari_omezarr_cloud.napari.wipe import LayerCut, Side, canvas_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "is_wiping",
    "remember",
    "remembered_source",
    "source_of",
    "start_wipe",
    "stop_wipe",
    "switch_wipe",
    "toggle",
]

_BLINK_MS = 500
_OPAQUE = ("translucent", "translucent_no_depth", "opaque")
_MIDDLE = 0.5

_sources: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
_flips: weakref.WeakKeyDictionary[Any, _Flip] = weakref.WeakKeyDictionary()
_wipes: weakref.WeakKeyDictionary[Any, _Wipe] = weakref.WeakKeyDictionary()


def remember(result: Any, source: Any) -> None:
    """Note which layer a result was made from; neither is kept alive."""
    _sources[result] = weakref.ref(source)


def remembered_source(result: Any) -> Any | None:
    """Return the layer that `remember` noted; None: none, or it is gone."""
    known = _sources.get(result)
    return None if known is None else known()


def source_of(viewer: Any, layer: Any) -> Any | None:
    """Return the layer a result was made from, if it is a result and there is one.

    The one that was remembered; else of the name in its metadata (copies of results, layers of a
    saved project); else, if it is a result at all, the nearest image or labels layer below.
    """
    source = remembered_source(layer)
    if source is not None and source in viewer.layers:
        return source
    names = _made_from(layer)
    if layer not in _sources and not names:
        return None
    others = [other for other in viewer.layers if other is not layer and has_pixels(other)]
    named = [other for other in others if names and other.name == names[0]]
    at = viewer.layers.index(layer)
    below = [other for other in others if viewer.layers.index(other) < at]
    return next(iter([*named, *reversed(below)]), None)


def toggle(viewer: Any, layer: Any = None) -> bool:
    """Show the source instead of a result, or the other way round; the next time, go back.

    The first call shows whichever of the two is not seen and hides the other; the second restores
    what was visible before. Other layers are left alone, but for pictures that lie over the source.
    Labels made from an image are shown over it: what is switched is the labels.

    Parameters
    ----------
    viewer
        A viewer; on the GUI thread.
    layer
        A result, or the source of one. Without it the selected layer, or two selected layers.

    Returns
    -------
    bool
        Whether there was something to switch; otherwise a notification says what to select.
    """
    pair = _pair(viewer, layer)
    if pair is None:
        return False
    stop_wipe(viewer)
    now = pair.visible
    flip = _flips.pop(pair.result, None)
    if flip is not None and flip.source() is pair.source and flip.now == now:
        pair.show(flip.before)
        _show(flip.hidden)
    else:
        shows_result = not pair.result.visible
        wanted = (not shows_result or pair.is_overlay, shows_result)
        hidden = () if shows_result else _hide(pair.between)
        pair.show(wanted)
        _flips[pair.result] = _Flip(weakref.ref(pair.source), now, wanted, hidden)
    shown = ("result", pair.result) if pair.result.visible else ("source", pair.source)
    viewer.status = f"Showing the {shown[0]}: {shown[1].name}"
    return True


def start_wipe(viewer: Any, layer: Any = None, on_end: Callable[[], None] | None = None) -> bool:
    """Draw the source left and the result right of a divider, until `stop_wipe` or Esc.

    Both layers are shown meanwhile. It also ends when one of them is removed.

    Parameters
    ----------
    viewer
        A viewer; on the GUI thread.
    layer
        A result, or the source of one. Without it the selected layer, or two selected layers.
    on_end
        Called when it has ended, however it did.

    Returns
    -------
    bool
        Whether it began; otherwise a notification says why not.
    """
    pair = _pair(viewer, layer)
    if pair is None:
        return False
    if viewer.canvas.grid.enabled:
        tell_warning("Layers can be compared when they lie over each other: leave the grid view.")
        return False
    stop_wipe(viewer)
    _wipes[viewer] = _Wipe(viewer, pair, on_end)
    return True


def stop_wipe(viewer: Any) -> None:
    """End the wipe in a viewer, if there is one; both layers are as visible as they were."""
    wipe = _wipes.get(viewer)
    if wipe is not None:
        wipe.end()


def is_wiping(viewer: Any) -> bool:
    """Tell whether a wipe is under way in a viewer."""
    return viewer in _wipes


def switch_wipe(viewer: Any) -> None:
    """Begin a wipe of the selected layer, or end the one that is under way."""
    if is_wiping(viewer):
        stop_wipe(viewer)
    else:
        start_wipe(viewer)


@dataclass(frozen=True)
class _Pair:
    """Two layers to compare."""

    result: Any
    source: Any
    between: tuple[Any, ...] = ()
    """What would hide the source: visible pictures between the two that let nothing through."""

    @property
    def is_overlay(self) -> bool:
        """Whether the result says nothing without the source below it: objects in an image."""
        from napari.layers import Labels

        return isinstance(self.result, Labels) and not isinstance(self.source, Labels)

    @property
    def visible(self) -> tuple[bool, bool]:
        """Whether source and result are shown."""
        return bool(self.source.visible), bool(self.result.visible)

    def show(self, visible: tuple[bool, bool]) -> None:
        """Show or hide source and result."""
        self.source.visible, self.result.visible = visible


@dataclass(frozen=True)
class _Flip:
    """What one `toggle` did, so that the next one can undo it; visibility of source and result."""

    source: weakref.ref[Any]
    before: tuple[bool, bool]
    now: tuple[bool, bool]
    hidden: tuple[weakref.ref[Any], ...]
    """What was hidden because it lay over the source."""


class _Wipe(QObject):
    """One wipe under way."""

    def __init__(self, viewer: Any, pair: _Pair, on_end: Callable[[], None] | None) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._layers = [weakref.ref(pair.source), weakref.ref(pair.result)]
        self._before = pair.visible
        self._on_end = on_end
        self._is_overlay = pair.is_overlay
        self._hidden = _hide(pair.between)
        pair.show((True, True))
        self._divider: WipeDivider | None = None
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._blink)
        self._cut = self._begin(viewer, pair)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.canvas.grid.events.enabled.connect(self.end)
        self._watched = self._watch_escape(viewer)

    def _begin(self, viewer: Any, pair: _Pair) -> LayerCut | None:
        canvas = canvas_of(viewer)
        sides: dict[Any, Side] = {pair.result: "right"}
        if not pair.is_overlay:
            sides[pair.source] = "left"
        try:
            if canvas is None:
                raise AttributeError("no canvas")
            cut = LayerCut(viewer, sides, _MIDDLE)
        except (AttributeError, KeyError, TypeError):
            self._clock.start(_BLINK_MS)
            tell_warning(
                "This version of napari draws in a way that is not known here, so source and "
                "result blink instead. Please report it with napari's version."
            )
            return None
        self._divider = WipeDivider(canvas, pair.source.name, pair.result.name, _MIDDLE)
        self._divider.moved.connect(cut.move)
        viewer.status = "Drag the line; Esc ends the comparison"
        return cut

    def _watch_escape(self, viewer: Any) -> list[weakref.ref[QObject]]:
        # A key binding would not do: labels and shapes bind Esc themselves, and come first.
        canvas = canvas_of(viewer)
        watched = [] if canvas is None else [canvas, canvas.window()]
        for widget in watched:
            if widget is not None:
                widget.installEventFilter(self)
        return [weakref.ref(widget) for widget in watched if widget is not None]

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """End at Esc."""
        is_key = event is not None and event.type() == QEvent.Type.KeyPress
        if is_key and event.key() == Qt.Key.Key_Escape:  # type: ignore[union-attr]
            self.end()
            return True
        return False

    def _blink(self) -> None:
        source, result = (reference() for reference in self._layers)
        if source is not None and result is not None:
            result.visible = not result.visible
            source.visible = self._is_overlay or not result.visible

    def _on_removed(self, event: Any) -> None:
        if any(event.value is reference() for reference in self._layers):
            self.end()

    def end(self, event: Any = None) -> None:
        """Leave everything as it was before."""
        viewer = self._viewer()
        if viewer is None or _wipes.get(viewer) is not self:
            return
        del _wipes[viewer]
        is_blinking = self._clock.isActive()
        self._clock.stop()
        viewer.layers.events.removed.disconnect(self._on_removed)
        viewer.canvas.grid.events.enabled.disconnect(self.end)
        for reference in self._watched:
            widget = reference()
            if widget is not None:
                widget.removeEventFilter(self)
        if self._divider is not None:
            self._divider.remove()
        if self._cut is not None:
            self._cut.end()
        for layer, before in zip((r() for r in self._layers), self._before, strict=True):
            # Whoever hid a layer meanwhile wants it hidden.
            if layer is not None and (layer.visible or is_blinking):
                layer.visible = before
        _show(self._hidden)
        if self._on_end is not None:
            self._on_end()


def _pair(viewer: Any, layer: Any | None) -> _Pair | None:
    """Return what to compare; else say which layer to select."""
    pair = _chosen(viewer) if layer is None else _pair_of(viewer, layer)
    if pair is None:
        results = [x.name for x in reversed(viewer.layers) if source_of(viewer, x) is not None]
        example = f" There is “{results[0]}”." if results else ""
        tell_warning(
            "Select a result, to compare it with what it was made from; or any two layers."
            + example
        )
        return None
    return replace(pair, between=tuple(_between(viewer, pair)))


def _between(viewer: Any, pair: _Pair) -> Iterator[Any]:
    """Yield visible pictures between the source and a result above it that hide the source."""
    from napari.layers import Image

    layers = list(viewer.layers)
    first, last = layers.index(pair.source), layers.index(pair.result)
    for layer in layers[first + 1 : last]:
        if isinstance(layer, Image) and layer.visible and str(layer.blending) in _OPAQUE:
            yield layer


def _hide(layers: Iterable[Any]) -> tuple[weakref.ref[Any], ...]:
    hidden = tuple(weakref.ref(layer) for layer in layers)
    for layer in layers:
        layer.visible = False
    return hidden


def _show(hidden: Iterable[weakref.ref[Any]]) -> None:
    for reference in hidden:
        layer = reference()
        if layer is not None:
            layer.visible = True


def _chosen(viewer: Any) -> _Pair | None:
    chosen = [x for x in viewer.layers if x in viewer.layers.selection and has_pixels(x)]
    if len(chosen) == 2:
        lower, upper = chosen
        is_turned = source_of(viewer, lower) is upper
        return _Pair(lower, upper) if is_turned else _Pair(upper, lower)
    return _pair_of(viewer, chosen[0]) if len(chosen) == 1 else None


def _pair_of(viewer: Any, layer: Any) -> _Pair | None:
    source = source_of(viewer, layer)
    if source is not None:
        return _Pair(layer, source)
    results = (other for other in reversed(viewer.layers) if source_of(viewer, other) is layer)
    result = next(results, None)
    return None if result is None else _Pair(result, layer)


def _made_from(layer: Any) -> Sequence[str]:
    about = layer.metadata.get(METADATA_KEY) if isinstance(layer.metadata, dict) else None
    names = about.get("made_from") if isinstance(about, dict) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
