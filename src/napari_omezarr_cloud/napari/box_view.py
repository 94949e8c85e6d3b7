"""Showing a box of the volumes on screen as finely as it fits, and all of them again."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.errors import CloudError, RegionError
from napari_omezarr_cloud.napari.box_plan import plan_box, volumes_on_screen
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.extract_plan import chosen_layers
from napari_omezarr_cloud.napari.loading_dialog import LoadingDialog
from napari_omezarr_cloud.napari.notices import plain, tell_error
from napari_omezarr_cloud.napari.rectangle import rectangle_spans
from napari_omezarr_cloud.napari.volume import show_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.box_plan import BoxPart, BoxPlan

__all__ = [
    "BoxLoading",
    "chosen_plan",
    "show_box_now",
    "show_full_resolution",
    "show_whole_volume",
    "shows_box",
]

_LOOK_MS = 80


def show_full_resolution(viewer: Any, box: Sequence[tuple[float, float]] | None = None) -> str:
    """Show a box of the visible volumes as finely as it fits, in place of the whole; in 3-D.

    The layers stay the same, with their colours, contrast and sliders: they show less, and finer.
    What was there stays on screen until the finer pixels have come, level by level. Another call
    moves the box; `show_whole_volume` ends it, and so does the 2-D view.

    Parameters
    ----------
    viewer
        A napari viewer with a window.
    box
        From where to where in the world (µm, for images with units), for each of the three axes on
        screen in the order of the screen: ``[(z0, z1), (y0, y1), (x0, x1)]``. None: what is in
        view.

    Returns
    -------
    str
        Which level it is, how large, and how much is to be loaded.

    Raises
    ------
    OperationError
        If the view is 2-D, or shows no volume of an OME-Zarr.
    RegionError
        If nothing of a volume is in the box, or in view, or the box has no three sides.
    """
    if box is not None and len(box) != 3:
        why, hint = f"it has {len(box)} sides", "Give three: [(z0, z1), (y0, y1), (x0, x1)]."
        raise RegionError("Could not show the box", why=why, hint=hint)
    spans = None if box is None else dict(zip(viewer.dims.displayed, box, strict=False))
    plan = plan_box(viewer, spans)
    _show(viewer, plan)
    return _sentences("In view" if box is None else "The box", plan)


def show_whole_volume(viewer: Any) -> None:
    """Show all of the volumes again, at the finest level that fits.

    Parameters
    ----------
    viewer
        A napari viewer.
    """
    show_boxes(viewer, {layer: None for layer in viewer.layers if display_of(layer) is not None})


def shows_box(viewer: Any) -> bool:
    """Tell whether a box of some volume on screen is shown, and not all of it."""
    return any(shown.box is not None for _, shown in volumes_on_screen(viewer))


def chosen_plan(viewer: Any) -> tuple[str, BoxPlan]:
    """Plan what the person means: the rectangle of a selected shapes layer, else what is in view.

    Returns
    -------
    what : str
        Which of the two it is, in words.
    plan : BoxPlan

    Raises
    ------
    OperationError, RegionError
        As `plan_box`, and if there is no rectangle where one was selected.
    """
    shapes = chosen_layers(viewer).shapes
    if shapes is None or viewer.dims.ndisplay != 3:
        return "In view", plan_box(viewer)
    spans = rectangle_spans(viewer, shapes)
    return f"The rectangle of “{shapes.name}”", plan_box(viewer, spans)


def _sentences(what: str, plan: BoxPlan) -> str:
    return " ".join([f"{what}: {plan.costs}.", *plan.notes])


def show_box_now(viewer: Any) -> BoxLoading | None:
    """Show the box that is in view, or was drawn, and tell about it; returns at once.

    A dialog that can cancel shows how far it is, if it takes long.

    Returns
    -------
    BoxLoading or None
        What is under way; None where nothing could be shown.
    """
    try:
        what, plan = chosen_plan(viewer)
    except CloudError as error:
        tell_error(error)
        return None
    loading = BoxLoading(viewer, plan)
    if loading.chunks:
        words = "Loading the box; what has come is shown meanwhile. Cancel shows the whole volume."
        LoadingDialog(viewer, loading, "Full resolution", words)
    loading.start()
    show_info(plain(f"{_sentences(what, plan)} “Show whole volume” brings back the rest."))
    return loading


def _show(viewer: Any, plan: BoxPlan) -> None:
    boxes = {part.layer(): part.box for part in plan.parts}
    # A volume that the box misses lies elsewhere, and is not cut.
    rest = {layer: None for layer, _ in volumes_on_screen(viewer) if layer not in boxes}
    show_boxes(viewer, {**rest, **boxes})


_under_way: set[BoxLoading] = set()


class BoxLoading(QObject):
    """Boxes that are shown and still being loaded; lives until all has come or failed.

    Parameters
    ----------
    viewer
        With the layers; not kept alive.
    plan
        What to show.
    """

    ended = Signal()
    """Nothing more comes: all is here, something failed, or it was cancelled or replaced."""

    def __init__(self, viewer: Any, plan: BoxPlan) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._plan = plan
        self.chunks = plan.missing
        """Chunks to load."""
        self._clock = QTimer(self)
        self._clock.setInterval(_LOOK_MS)
        self._clock.timeout.connect(self._look)

    def start(self) -> None:
        """Show the boxes; the finer pixels replace the coarse ones as they come."""
        viewer = self._viewer()
        if viewer is None:
            return
        for other in [each for each in _under_way if each._viewer() is viewer]:
            other._end()
        _under_way.add(self)
        _show(viewer, self._plan)
        self._clock.start()

    def cancel(self) -> None:
        """Give up, and show the whole volume again."""
        viewer = self._viewer()
        self._end()
        if viewer is not None:
            show_whole_volume(viewer)

    @property
    def loaded(self) -> int:
        """Chunks that have come."""
        parts = [(part, display_of(part.layer())) for part in self._plan.parts]
        left = sum(shown.wanted - shown.here for part, shown in parts if shown and _is_at(part))
        return max(0, self.chunks - left)

    @property
    def failures(self) -> list[CloudError]:
        """Why chunks could not be read."""
        found = [display_of(part.layer()) for part in self._plan.parts]
        return [error for shown in found if shown is not None for error in shown.failures()]

    def _look(self) -> None:
        if all(_is_over(part) for part in self._plan.parts):
            self._end()

    def _end(self) -> None:
        if self in _under_way:
            _under_way.discard(self)
            self._clock.stop()
            self.ended.emit()


def _is_at(part: BoxPart) -> bool:
    """Tell whether a layer was asked for its box since; where napari slices in a thread, soon."""
    layer = part.layer()
    shown = display_of(layer)
    if shown is None or shown.look is None:
        return False
    own = part.seen.region
    return shown.look.number == part.seen.level.number and (
        shown.look.region.along(part.seen.displayed, own) == shown.look.region
    )


def _is_over(part: BoxPart) -> bool:
    layer = part.layer()
    shown = display_of(layer)
    if layer is None or shown is None or not layer.visible:
        return True
    if shown.box != part.box or layer.data_level != part.seen.level.number:
        return True  # something else is shown by now
    return _is_at(part) and (not shown.missing or (shown.has_all and bool(shown.failures())))
