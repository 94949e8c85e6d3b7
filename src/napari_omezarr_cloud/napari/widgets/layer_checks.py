"""Choosing any number of layers: a box to tick for each."""

from __future__ import annotations

import weakref
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.napari.widgets.layer_list import follow_list, follow_new, leave_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qtpy.QtGui import QResizeEvent, QShowEvent

__all__ = ["LayerChecks"]

_MOST_ROWS = 4
_GAP = 2


class LayerChecks(QScrollArea):
    """The layers of a viewer that suit, topmost first; ``layers`` are the ticked ones.

    Parameters
    ----------
    viewer
        Whose layers; it is not kept alive.
    accepts
        Which layers can be chosen.
    titles
        Short names for layers, which have their full one as a tip.
    """

    layers_changed = Signal()
    """Others are ticked, by the person or because a layer came or went."""

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Any], bool],
        titles: Callable[[Sequence[Any]], list[str]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._accepts, self._titles = accepts, titles
        self._rows: list[tuple[weakref.ref[Any], _Box]] = []
        self._is_pinned = False
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.refresh()

    @property
    def layers(self) -> list[Any]:
        """The ticked layers that are alive, topmost first."""
        found = [reference() for reference, box in self._rows if box.isChecked()]
        return [layer for layer in found if layer is not None]

    def choose(self, layers: Iterable[Any]) -> None:
        """Tick these and no others for good, as the person does."""
        self.refresh()
        self._is_pinned = True
        self._tick(list(layers))
        self.layers_changed.emit()

    def suggest(self, layers: Iterable[Any]) -> None:
        """Tick these, without telling, unless the person has chosen."""
        if not self._is_pinned:
            self._tick(list(layers))

    def box_of(self, layer: Any) -> QCheckBox:
        """Return the box of a layer that is in the list."""
        return next(box for reference, box in self._rows if reference() is layer)

    def refresh(self) -> None:
        """Take over the viewer's list of layers; what is ticked stays ticked."""
        viewer = self._viewer()
        found = [] if viewer is None else [x for x in reversed(viewer.layers) if self._accepts(x)]
        titles = self._titles(found)
        known = [(reference(), box.title) for reference, box in self._rows]
        if self._rows and known == list(zip(found, titles, strict=True)):
            return
        before = self.layers
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(_GAP)
        self._rows = []
        for layer, title in zip(found, titles, strict=True):
            box = _Box(title)
            box.setToolTip(f"<p>{escape(layer.name)}</p>")
            box.toggled.connect(self._on_toggled)
            column.addWidget(box)
            self._rows.append((weakref.ref(layer), box))
        self.setWidget(inside)
        self._tick(before)
        self.updateGeometry()
        if self.layers != before:
            self.layers_changed.emit()

    def sizeHint(self) -> QSize:
        """Return room for four rows, or fewer."""
        one = max((box.sizeHint().height() for _, box in self._rows), default=18) + _GAP
        return QSize(120, min(max(len(self._rows), 1), _MOST_ROWS) * one)

    def minimumSizeHint(self) -> QSize:
        """Return the same: a list of two that must be scrolled is none."""
        return QSize(0, self.sizeHint().height())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the height of the boxes in the style of the window, which they have only now."""
        super().showEvent(event)
        self.updateGeometry()

    def watch(self) -> None:
        """Keep up with the viewer from now on."""
        viewer = self._viewer()
        if viewer is None:
            return
        follow_list(viewer, self._on_layers)
        self.refresh()

    def unwatch(self) -> None:
        """Leave the viewer alone."""
        viewer = self._viewer()
        if viewer is None:
            return
        leave_list(viewer, self._on_layers)

    def _tick(self, layers: list[Any]) -> None:
        for reference, box in self._rows:
            box.blockSignals(True)
            box.setChecked(reference() in layers)
            box.blockSignals(False)

    def _on_layers(self, event: Any = None) -> None:
        follow_new(event, self._on_layers)
        self.refresh()
        self.layers_changed.emit()

    def _on_toggled(self, is_on: bool) -> None:
        self._is_pinned = True
        self.layers_changed.emit()


class _Box(QCheckBox):
    """A box whose title lacks its middle where it is too long: results begin as their source."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Show as much of the title as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        option = QStyleOptionButton()
        self.initStyleOption(option)
        style = self.style()
        if style is None:
            return
        inside = style.subElementRect(QStyle.SubElement.SE_CheckBoxContents, option, self)
        middle = Qt.TextElideMode.ElideMiddle
        shown = self.fontMetrics().elidedText(self.title, middle, inside.width())
        self.setText(shown.replace("&", "&&"))  # Qt underlines the letter after a single one
