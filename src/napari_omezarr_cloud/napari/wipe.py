"""Drawing only one side of a layer: the one place that reaches into napari's canvas for it.

napari cannot cut a layer across the canvas, vispy can: a filter on what draws the layer discards
the pixels of one side. It goes by the pixel's place on the canvas, so it needs no transforms, is
exact in 2-D and 3-D, orthographic or in perspective, and moving it reads and uploads nothing.
(vispy's `PlanesClipper` would want its coordinates divided by w in perspective.)
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

from vispy.visuals.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtWidgets import QWidget

__all__ = ["LayerCut", "Side", "canvas_of"]

Side = Literal["left", "right"]

_DISCARD = """
void wipe() {
    if ((gl_FragCoord.x - $at) * $side < 0.0)
        discard;
}
"""


class LayerCut:
    """Draws layers on one side only of a vertical line across the canvas, until `end`.

    Parameters
    ----------
    viewer
        Not kept alive.
    sides
        Which layer is drawn on which side. The layers are not kept alive.
    at
        Where the line is, as a fraction of the canvas's width.

    Raises
    ------
    AttributeError, KeyError, TypeError
        If this napari or vispy draws its layers in another way.
    """

    def __init__(self, viewer: Any, sides: Mapping[Any, Side], at: float) -> None:
        self._canvas = weakref.ref(viewer.window._qt_viewer.canvas)
        self._sides = [(weakref.ref(layer), side) for layer, side in sides.items()]
        self._at = at
        self._filters: list[tuple[Any, _Cut]] = []
        canvas = self._live_canvas()
        try:
            self._fit(canvas, _width_px(canvas.events.draw.source))
        except (AttributeError, KeyError, TypeError):
            self._detach()
            raise
        # First: napari's and vispy's own callbacks draw.
        canvas.events.draw.connect(self._on_draw, position="first")
        canvas.native.update()

    @property
    def at(self) -> float:
        """Where the line is, as a fraction of the canvas's width."""
        return self._at

    def move(self, at: float) -> None:
        """Put the line elsewhere; the canvas is drawn again at the next turn of the event loop."""
        self._at = at
        canvas = self._canvas()
        if canvas is not None:
            canvas.native.update()

    def end(self) -> None:
        """Draw the layers whole again."""
        self._detach()
        canvas = self._canvas()
        if canvas is not None:
            canvas.events.draw.disconnect(self._on_draw)
            canvas.native.update()

    def _detach(self) -> None:
        for visual, cut in self._filters:
            visual.detach(cut)
        self._filters.clear()

    def _live_canvas(self) -> Any:
        canvas = self._canvas()
        if canvas is None:
            raise AttributeError("the viewer has no canvas")
        return canvas

    def _on_draw(self, event: Any) -> None:
        canvas = self._canvas()
        if canvas is not None:
            # The width each time: a resized window, a screen of another density, a screenshot.
            self._fit(canvas, _width_px(event.source))

    def _fit(self, canvas: Any, width_px: float) -> None:
        """Cut what draws the layers now: napari changes it between 2-D, 3-D and tiled images."""
        known = {id(visual) for visual, _ in self._filters}
        for reference, side in self._sides:
            layer = reference()
            shown = None if layer is None else canvas.layer_to_visual.get(layer)
            for visual in () if shown is None else _parts(shown.node):
                if id(visual) not in known:
                    cut = _Cut(side)
                    visual.attach(cut)
                    self._filters.append((visual, cut))
        for _, cut in self._filters:
            cut.place(self._at * width_px)


class _Cut(Filter):
    """A filter that discards the pixels of one side."""

    def __init__(self, side: Side) -> None:
        super().__init__(fcode=_DISCARD, fhook="pre", fpos=1)
        self.fshader["side"] = -1.0 if side == "left" else 1.0
        self.place(0.0)

    def place(self, x_px: float) -> None:
        self.fshader["at"] = float(x_px)


def canvas_of(viewer: Any) -> QWidget | None:
    """Return the widget on which a viewer draws; None where it has none, or another napari."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    return getattr(canvas, "native", None)


def _parts(node: Any) -> list[Any]:
    """Return the visuals that draw a layer: one, or the tiles of an image too large for one."""
    return list(getattr(node, "adopted_children", None) or [node])


def _width_px(scene_canvas: Any) -> float:
    return float(scene_canvas.physical_size[0])
