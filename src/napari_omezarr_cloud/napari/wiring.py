"""Viewers and our layers: who is watched, what happens when a layer comes and goes."""

from __future__ import annotations

import weakref
from functools import cache
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_omezarr_cloud.errors import AccessRefusedError
from napari_omezarr_cloud.napari.adoption import adopt, release
from napari_omezarr_cloud.napari.commands import bind_keys, place_access_dialog
from napari_omezarr_cloud.napari.compat import aim, renew_status, show_scale_bar
from napari_omezarr_cloud.napari.contrast import correct_guess
from napari_omezarr_cloud.napari.display import display_of
from napari_omezarr_cloud.napari.first_fit import keep_fitted
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData
from napari_omezarr_cloud.napari.linked_level import lock_linked_level
from napari_omezarr_cloud.napari.loaded_marks import mark_sliders
from napari_omezarr_cloud.napari.notices import offer, tell_warning
from napari_omezarr_cloud.napari.plate_clicks import listen, plate_behind
from napari_omezarr_cloud.napari.plate_notes import tell_found
from napari_omezarr_cloud.napari.playing import conduct
from napari_omezarr_cloud.napari.refresh import refresher
from napari_omezarr_cloud.napari.volume import choose_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_omezarr_cloud.errors import CloudError

__all__ = [
    "HIDDEN_UNTIL_ADOPTED",
    "HIDDEN_UNTIL_PLACED",
    "add_layers",
    "add_one_by_one",
    "attach",
    "attach_all",
    "go_to_planes",
    "is_open",
    "show_placed",
]


class _Hidden(int):
    """A False that only we give: who finds it knows that the person did not ask to hide."""


class _Unplaced(_Hidden):
    """Of a layer that would be asked for as a whole before the camera is in its place."""


HIDDEN_UNTIL_ADOPTED = _Hidden(0)
HIDDEN_UNTIL_PLACED = _Unplaced(0)

_FRAME_MS = 35

_watches: weakref.WeakKeyDictionary[Any, _Watch] = weakref.WeakKeyDictionary()


def attach_all() -> bool:
    """Watch every live viewer with a window; tell whether there is one."""
    from napari import Viewer

    viewers = list(Viewer._instances)
    for viewer in viewers:
        attach(viewer)
    return bool(viewers)


def is_open(viewer: Any) -> bool:
    """Tell whether a viewer's window has not been closed."""
    from napari import Viewer

    return viewer in Viewer._instances


def attach(viewer: Any) -> None:
    """Adopt our layers in a viewer from now on, and those it has."""
    if viewer in _watches:
        return
    _tell_failures()
    watch = _Watch(viewer)
    # Bound methods are held weakly by napari's events: the watch must live as long as the viewer.
    _watches[viewer] = watch
    viewer.layers.events.inserted.connect(watch.on_inserted)
    viewer.layers.events.inserted.connect(watch.on_fitted, position="last")
    viewer.layers.events.removed.connect(watch.on_removed)
    viewer.dims.events.ndisplay.connect(watch.on_displayed)
    viewer.dims.events.order.connect(watch.on_displayed)
    refresher().settled.connect(watch.on_settled)
    bind_keys(viewer)
    conduct(viewer)
    mark_sliders(viewer)
    for layer in list(viewer.layers):
        _welcome(layer)


@cache
def _tell_failures() -> None:
    """Tell of chunks that cannot be read: once for all viewers, as napari's notifications are."""
    refresher().failed.connect(_tell_failure)


def _tell_failure(error: CloudError) -> None:
    if not isinstance(error, AccessRefusedError):
        tell_warning(str(error))
        return
    offer(str(error), "Access to this place…", place_access_dialog)


class _Watch(QObject):
    """What we do when something happens in a viewer."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)

    def on_inserted(self, event: Any) -> None:
        viewer = self._viewer()
        if viewer is not None and len(viewer.layers) == 1:
            start_dims(viewer, event.value)
        _welcome(event.value)
        if viewer is not None and display_of(event.value) is not None:
            show_scale_bar(viewer)
            choose_levels(viewer)
            if plate_behind(event.value) is not None:
                listen(viewer)
        refresher().show_complete()  # while this layer was made, chunks came for those before it

    def on_fitted(self, event: Any) -> None:
        """See that a first layer fits the canvas, unless a link says where to look."""
        viewer, layer = self._viewer(), event.value
        is_ours = display_of(layer) is not None
        is_placed = not isinstance(layer.visible, _Unplaced)
        if viewer is not None and len(viewer.layers) == 1 and is_ours and is_placed:
            keep_fitted(viewer)

    def on_removed(self, event: Any) -> None:
        release(event.value)

    def on_displayed(self, event: Any) -> None:
        viewer = self._viewer()
        if viewer is not None:
            choose_levels(viewer)

    def on_settled(self) -> None:
        """Let the status line say the value that is here now."""
        viewer = self._viewer()
        if viewer is not None:
            renew_status(viewer)
            tell_found(viewer)


def show_placed(viewer: Any) -> None:
    """Show the layers that waited until the camera is where a link says."""
    for layer in viewer.layers:
        if isinstance(layer.visible, _Unplaced):
            aim(viewer, layer)
            layer.visible = True


def _welcome(layer: Any) -> None:
    """Put a display behind a layer of ours, then let it be seen."""
    is_ours = adopt(layer) is not None
    if isinstance(layer.visible, _Hidden):
        lock_linked_level(layer)
        # Shown even if it could not be adopted (another napari): slow beats invisible.
        if not isinstance(layer.visible, _Unplaced):
            layer.visible = True
    elif is_ours:
        layer.refresh(extent=False)  # a copy made by napari: it was sliced before it was ours
    if is_ours:
        correct_guess(layer)


def add_layers(viewer: Any, layers: Sequence[LayerData], *, source: str) -> list[Any]:
    """Add layers under a display form of their source, which holds no secret.

    What is to be seen is hidden until its display is there: napari would slice it before, and wait.
    """
    from napari.layers import Layer
    from napari.layers._source import layer_source

    added = []
    with layer_source(path=source, reader_plugin="napari-omezarr-cloud"):
        for data, attributes, kind in layers:
            if attributes.get("visible", True):
                attributes = {**attributes, "visible": HIDDEN_UNTIL_ADOPTED}
            layer = Layer.create(data, attributes, kind)
            viewer.add_layer(layer)
            added.append(layer)
    return added


def add_one_by_one(
    viewer: Any,
    layers: Sequence[LayerData],
    *,
    source: str,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Add layers a frame apart, the first one now: each costs napari a tenth of a second or more.

    ``then`` is called after the last one; never, if the window was closed meanwhile.
    """
    if not layers:
        then()
        return
    first, *rest = layers
    add_layers(viewer, [first], source=source)
    reference = weakref.ref(viewer)

    def go_on() -> None:
        live = reference()
        if live is not None and is_open(live):
            add_one_by_one(live, rest, source=source, then=then)

    QTimer.singleShot(_FRAME_MS, go_on)


def start_dims(viewer: Any, layer: Any) -> None:
    """Go to the plane and time point that the file says to show first; ours or not."""
    about = layer.metadata.get(METADATA_KEY) or {}
    stated = {"z": about.get("default_z"), "t": about.get("default_t")}
    go_to_planes(viewer, layer, stated)


def go_to_planes(viewer: Any, layer: Any, planes: Mapping[str, int | None]) -> None:
    """Go to planes of a layer, counted by the names of its axes; None leaves the slider alone."""
    labels = [str(name) for name in layer.axis_labels]
    offset = viewer.dims.ndim - layer.ndim
    for name, plane in planes.items():
        if plane is not None and name in labels:
            viewer.dims.set_current_step(labels.index(name) + offset, plane)
