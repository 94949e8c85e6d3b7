"""Choosing a layer of pixels: follows the viewer until the person chooses."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_omezarr_cloud.napari.visible import has_pixels
from napari_omezarr_cloud.napari.widgets.layer_list import follow_list, follow_new, leave_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LayerBox"]


class LayerBox(QComboBox):
    """The image and label layers of a viewer, topmost first; ``layer`` is the chosen one.

    Parameters
    ----------
    viewer
        Whose layers; it is not kept alive.
    follows
        Whether the active layer is taken until the person chooses one; otherwise somebody has to
        `suggest` one.
    accepts
        Which layers can be chosen.
    """

    layer_changed = Signal()
    """Another layer is chosen, by the person or because it became the active one."""

    def __init__(
        self,
        viewer: Any,
        *,
        follows: bool,
        accepts: Callable[[Any], bool] = has_pixels,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._accepts = accepts
        self._viewer = weakref.ref(viewer)
        self._follows = follows
        self._is_pinned = False
        self._layers: list[weakref.ref[Any]] = []
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setPlaceholderText("none")
        self.currentIndexChanged.connect(self._on_index)
        self.activated.connect(self._on_activated)
        self.refresh()

    @property
    def layer(self) -> Any | None:
        """The chosen layer, if there is one and it is alive."""
        index = self.currentIndex()
        return self._layers[index]() if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer for good, as the person does; it must be in the viewer."""
        self.refresh()
        self._is_pinned = True
        self._take(layer)

    def follow(self, layer: Any) -> None:
        """Take a layer, and after it whichever becomes active: the person's choice is over."""
        self.refresh()
        self._is_pinned = False
        self._take(layer)

    def suggest(self, layer: Any | None) -> None:
        """Take a layer, without telling, unless the person has chosen one."""
        if not self._is_pinned:
            self.blockSignals(True)
            self._take(layer)
            self.blockSignals(False)

    @contextmanager
    def not_following(self) -> Iterator[None]:
        """Stay with the layer while others come and go: our own result is no wish of anybody."""
        follows, self._follows = self._follows, False
        try:
            yield
        finally:
            self._follows = follows

    def refresh(self) -> None:
        """Take over the viewer's list of layers; the chosen one stays chosen while it is there."""
        viewer = self._viewer()
        layers = [] if viewer is None else [x for x in reversed(viewer.layers) if self._accepts(x)]
        before = self.layer
        self.blockSignals(True)
        self.clear()
        self._layers = [weakref.ref(layer) for layer in layers]
        self.addItems([layer.name for layer in layers])
        self._take(before)
        if self.layer is None:
            self._is_pinned = False
            if self._follows:
                self._take(self._active(viewer) or (layers[0] if layers else None))
        self.blockSignals(False)
        if self.layer is not before:
            self.layer_changed.emit()

    def watch(self) -> None:
        """Keep up with the viewer from now on."""
        viewer = self._viewer()
        if viewer is None:
            return
        follow_list(viewer, self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        self.refresh()
        self._on_active()

    def unwatch(self) -> None:
        """Leave the viewer alone."""
        viewer = self._viewer()
        if viewer is None:
            return
        leave_list(viewer, self._on_layers)
        viewer.layers.selection.events.active.disconnect(self._on_active)

    def _take(self, layer: Any | None) -> None:
        found = [reference() for reference in self._layers]
        self.setCurrentIndex(found.index(layer) if layer in found else -1)

    def _active(self, viewer: Any) -> Any | None:
        layer = None if viewer is None else viewer.layers.selection.active
        return layer if layer is not None and self._accepts(layer) else None

    def _on_layers(self, event: Any = None) -> None:
        follow_new(event, self._on_layers)
        self.refresh()

    def _on_active(self, event: Any = None) -> None:
        active = self._active(self._viewer())
        if self._follows and not self._is_pinned and active is not None:
            self._take(active)

    def _on_index(self, index: int) -> None:
        self.layer_changed.emit()

    def _on_activated(self, index: int) -> None:
        self._is_pinned = True
