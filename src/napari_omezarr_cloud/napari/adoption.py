"""Layers get a display behind them, and lose it: what is ours is adopted when it is added."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.napari.display import Display, display_of, displays, view_of
from napari_omezarr_cloud.napari.honest_values import show_honest_values, show_values_of_napari
from napari_omezarr_cloud.napari.look import first_look, wish_list
from napari_omezarr_cloud.napari.notices import tell_warning
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.slicing import (
    can_hook,
    hook_slicing,
    is_loaded_by_another,
    unhook_slicing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = ["adopt", "expect", "release", "retry"]


def adopt(layer: Any) -> Display | None:
    """Put a display behind a layer that carries our arrays; None for any other layer."""
    known = displays.get(layer)
    if known is not None:
        return known
    view = view_of(layer)
    if view is None:
        return None
    if not can_hook(layer):
        _tell_plain_slicing()
        return None
    if is_loaded_by_another(layer):
        return None
    display = Display(layer, view)
    hook_slicing(layer, display)
    show_honest_values(layer, display)
    displays[layer] = display
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


def release(layer: Any) -> None:
    """Take the display from a layer that was removed, and free its memory if it was the last."""
    display = displays.pop(layer, None)
    if display is None:
        return
    display.close()
    layer.events.visible.disconnect(display.on_visible)
    unhook_slicing(layer)
    show_values_of_napari(layer)
    pyramid = display.view.pyramid
    if all(other.view.pyramid is not pyramid for other in displays.values()):
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
