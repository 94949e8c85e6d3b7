"""The Extract dock: what is in view or in a box, at a level and planes of one's choice.

It shows what every choice would cost before anything is read; the layers are those selected in
napari's own list. The key does the same with nothing chosen.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.extract import Extraction, extracted_text
from napari_omezarr_cloud.napari.extract_plan import (
    Chosen,
    Wish,
    check_size,
    chosen_layers,
    fits,
    plan_extracts,
    slider_axes,
)
from napari_omezarr_cloud.napari.notices import tell_error
from napari_omezarr_cloud.napari.rectangle import is_shapes
from napari_omezarr_cloud.napari.region_text import bytes_text, position_text, size_text
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.visible import level_count
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.napari.extract_plan import Extract

__all__ = ["ExtractDock"]

_PROGRESS_MS = 80


class ExtractDock(QWidget):
    """Copies parts of image and labels layers into ordinary layers in memory.

    Parameters
    ----------
    viewer
        The viewer whose layers it works on; it is not kept alive.
    """

    extracted = Signal(object)
    """The new layers are in the viewer: a list of them."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari hands out a proxy that nobody holds: a weak reference to it is dead at once.
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._running: Extraction | None = None
        self._shapes: list[weakref.ref[Any]] = []
        self._is_pinned = False
        self._level: int | None = None
        self._planes = ""
        self._build()
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)
        self._box_watch = ViewWatch(viewer, self)
        self._box_watch.changed.connect(self.look)
        self._clock = QTimer(self)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show_progress)
        self.take_box.activated.connect(self._pin)
        self.take_box.currentIndexChanged.connect(self.look)
        self.level_box.currentIndexChanged.connect(self._on_choice)
        self.planes_box.currentIndexChanged.connect(self._on_choice)
        self.flat.toggled.connect(self.look)
        self.run_bar.apply_requested.connect(self.extract)
        self.run_bar.cancel_requested.connect(self.cancel)
        self._on_layers()

    # ---- what a script may do, too ------------------------------------------------------------

    def extract(self) -> None:
        """Extract what is chosen; returns at once. `extracted` or `failed` tells the end."""
        self.cancel()
        try:
            viewer = self._live_viewer()
            chosen, wish = self._chosen(viewer), self._wish()
            extracts = plan_extracts(viewer, chosen, wish)
            check_size(viewer, chosen, wish, extracts)
        except CloudError as error:
            self._on_error(error)
            return
        sentence = extracted_text(chosen, extracts)
        extraction = Extraction(viewer, extracts)
        self._running = extraction
        extraction.done.connect(lambda layers: self._on_done(layers, sentence))
        extraction.failed.connect(self._on_error)
        # The dock may be deleted meanwhile; what was begun for it ends with it.
        self.destroyed.connect(extraction.cancel)
        extraction.start()
        self._show_progress()
        self._clock.start()

    def cancel(self) -> None:
        """Give up what is under way; nothing comes of it later."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            self._clock.stop()
            self.run_bar.show_idle("Cancelled.")

    @property
    def is_running(self) -> bool:
        """Whether layers are under way."""
        return self._running is not None

    def look(self) -> None:
        """Show what would be taken now; does nothing while the dock is hidden."""
        if self.isVisible():
            self._look()

    # ---- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        self.layers = PlainLabel()
        self.take_box, self.level_box, self.planes_box = (_box() for _ in range(3))
        self.flat = QCheckBox("2D array where one plane is taken")
        self.flat.setToolTip(
            "Leave out axes of one plane: (y, x) instead of (1, 1, y, x), for plugins that take\n"
            "only 2D images. The layer then shows at every plane."
        )
        self.region = PlainLabel()
        self.run_bar = RunBar(
            action="Extract",
            tip="Copy these pixels into new layers (Alt+X on the canvas: what is in view)",
        )
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Layers", self.layers)
        form.addRow("Region", self.take_box)
        form.addRow("Level", self.level_box)
        self._planes_label = QLabel("Planes")
        form.addRow(self._planes_label, self.planes_box)
        layout = QVBoxLayout(self)
        help_text = PlainLabel()
        help_text.setText("Copies exact pixels into ordinary layers, which every plugin can use.")
        layout.addWidget(help_text)
        layout.addLayout(form)
        for widget in (self.flat, self.region, self.run_bar):
            layout.addWidget(widget)
        layout.addStretch(1)

    # ---- following the viewer, only while shown ------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take up again."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _list_emitters(viewer):
                emitter.connect(self._on_layers)
        self._watch.start()
        self._box_watch.start()
        self._on_layers()
        if self.is_running:
            self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the viewer alone; what is under way goes on, as the person asked for it."""
        super().hideEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _list_emitters(viewer):
                emitter.disconnect(self._on_layers)
        self._watch.stop()
        self._box_watch.stop()
        self._clock.stop()

    def _on_layers(self, event: Any = None) -> None:
        """Offer the shapes layers that are there; take the one that is selected."""
        viewer = self._viewer()
        if viewer is None:
            return
        before = self._taken_shapes()
        shapes = [layer for layer in viewer.layers if is_shapes(layer)]
        if not self._is_pinned or (before is not None and before not in shapes):
            self._is_pinned = False
            before = chosen_layers(viewer).shapes
        self._shapes = [weakref.ref(layer) for layer in shapes]
        names = ["What is in view", *(f"Rectangle in “{layer.name}”" for layer in shapes)]
        self.take_box.blockSignals(True)
        self.take_box.clear()
        self.take_box.addItems(names)
        self.take_box.setCurrentIndex(0 if before is None else shapes.index(before) + 1)
        self.take_box.blockSignals(False)
        self._look()

    def _on_choice(self) -> None:
        """Keep what the person wants, also for a layer that has no such level or axis."""
        self._level = self.level_box.currentData()
        self._planes = self.planes_box.currentData() or ""
        self.look()

    def _pin(self) -> None:
        self._is_pinned = True

    def _look(self) -> None:
        """Say what the choices are, what each costs, and what would be taken."""
        try:
            viewer = self._live_viewer()
            chosen = self._chosen(viewer)
            self.layers.setText(_layers_text(chosen))
            self._watch.watch_layer(chosen.layers[0] if chosen.layers else None)
            self._box_watch.watch_layer(chosen.shapes)
            self._offer_planes(slider_axes(viewer, chosen.layers[0]) if chosen.layers else ())
            self._offer_levels(viewer, chosen)
            extracts = plan_extracts(viewer, chosen, self._wish())
            self._tell(_region_text(extracts), position_text(extracts[0].seen))
            check_size(viewer, chosen, self._wish(), extracts)
        except CloudError as error:
            self._tell(str(error), "", may_extract=False)

    def _tell(self, text: str, tip: str, *, may_extract: bool = True) -> None:
        self.region.setText(text)
        self.region.setToolTip(tip)
        self.run_bar.allow(may_extract)

    def _offer_planes(self, axes: Sequence[str]) -> None:
        choices = [("This one", ""), *((f"All {name}", name) for name in axes)]
        if len(axes) > 1:
            choices.append((f"All {' and '.join(axes)}", " ".join(axes)))
        _fill(self.planes_box, choices, self._planes)
        for widget in (self.planes_box, self._planes_label):
            widget.setVisible(len(choices) > 1)

    def _offer_levels(self, viewer: Any, chosen: Chosen) -> None:
        if not chosen.layers:
            _fill(self.level_box, [("On screen", None)], self._level)
            return
        numbers: list[int | None] = [None, *range(level_count(chosen.layers[0]))]
        choices = [(self._level_text(viewer, chosen, n), n) for n in numbers]
        _fill(self.level_box, choices, self._level)

    def _level_text(self, viewer: Any, chosen: Chosen, number: int | None) -> str:
        try:
            extracts = plan_extracts(viewer, chosen, replace(self._wish(), level=number))
        except CloudError:
            return "On screen" if number is None else str(number)
        seen = extracts[0].seen
        name = f"On screen ({seen.level.number})" if number is None else str(number)
        pixels = " × ".join(str(seen.shape[axis]) for axis in reversed(seen.displayed))
        nbytes = bytes_text(sum(each.nbytes for each in extracts))
        return f"{name}: {pixels} px · {nbytes}{'' if fits(extracts) else ' (too much)'}"

    # ---- what is chosen -------------------------------------------------------------------------

    def _live_viewer(self) -> Any:
        viewer = self._viewer()
        if viewer is None:
            raise OperationError("The viewer was closed")
        return viewer

    def _taken_shapes(self) -> Any | None:
        index = self.take_box.currentIndex() - 1
        return self._shapes[index]() if 0 <= index < len(self._shapes) else None

    def _chosen(self, viewer: Any) -> Chosen:
        chosen = chosen_layers(viewer)
        return Chosen(chosen.layers, self._taken_shapes(), chosen.is_selected)

    def _wish(self) -> Wish:
        planes = frozenset((self.planes_box.currentData() or "").split())
        return Wish(self.level_box.currentData(), planes, self.flat.isChecked())

    # ---- the run --------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        running = self._running
        if running is not None:
            loaded = min(running.loaded, running.chunks)
            self.run_bar.show_step(loaded, running.chunks, f"{loaded} of {running.chunks} chunks")

    def _on_done(self, layers: list[Any], sentence: str) -> None:
        self._running = None
        self._clock.stop()
        self.run_bar.show_idle(sentence)
        self.extracted.emit(layers)

    def _on_error(self, error: CloudError) -> None:
        self._running = None
        self._clock.stop()
        self.run_bar.show_error(str(error), self._viewer())
        tell_error(error)
        self.failed.emit(str(error))


def _list_emitters(viewer: Any) -> list[Any]:
    events = viewer.layers.events
    return [
        events.inserted,
        events.removed,
        events.reordered,
        viewer.layers.selection.events.changed,
    ]


def _box() -> QComboBox:
    box = QComboBox()
    # A layer's name of 300 characters must not make the dock as wide as the screen.
    box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(18)
    return box


def _fill(box: QComboBox, choices: Sequence[tuple[str, Any]], wanted: Any) -> None:
    """Offer these choices, and take the wanted one if it is among them, else the first."""
    data = [value for _, value in choices]
    box.blockSignals(True)
    if [box.itemData(i) for i in range(box.count())] == data:  # an open list stays open
        for number, (text, _) in enumerate(choices):
            box.setItemText(number, text)
    else:
        box.clear()
        for text, value in choices:
            box.addItem(text, value)
    box.setCurrentIndex(data.index(wanted) if wanted in data else 0)
    box.blockSignals(False)
    view = box.view()
    if view is not None:  # the list may be wider than the dock
        view.setMinimumWidth(view.sizeHintForColumn(0) + 2 * view.frameWidth())


def _layers_text(chosen: Chosen) -> str:
    names = ", ".join(layer.name for layer in chosen.layers)
    if chosen.is_selected or not names:
        return names or "none"
    return f"{names} (all visible ones; select some in the layer list)"


def _region_text(extracts: Sequence[Extract]) -> str:
    first = extracts[0].seen
    nbytes = bytes_text(sum(each.nbytes for each in extracts))
    count = f" · {len(extracts)} layers" if len(extracts) > 1 else ""
    return f"Level {first.level.number} · {size_text(first)}{count} · {nbytes}"
