"""The dock *Rendering settings*: how an image looks on screen, against what its file says."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import ChangedError, CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.kept_look import back_to_own
from napari_omezarr_cloud.napari.rendering_on_screen import ImageOnScreen, images_on_screen
from napari_omezarr_cloud.napari.widgets.changes_table import ChangesTable
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.rendering import (
    RenderingPlan,
    StoredRendering,
    keep_rendering,
    save_rendering_async,
    stored_rendering_async,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

__all__ = ["RenderingDock"]

_QUIET_MS = 100
_LOOKS = ("contrast_limits", "colormap", "name", "visible", "gamma", "opacity")


class RenderingDock(QWidget):
    """Shows what of an image's look is not in its file, and puts it there or keeps it here.

    Parameters
    ----------
    viewer
        The viewer whose images it works on; it is not kept alive.
    """

    TITLE = "Rendering settings…"

    read = Signal()
    """What the image says is known, and compared with the screen."""
    saved = Signal()
    """The settings are in the image."""
    failed = Signal(str)
    """It could not be done: the sentence that is shown."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        viewer = unwrapped(viewer)
        self._viewer = weakref.ref(viewer)
        self._images: list[ImageOnScreen] = []
        self._stored: StoredRendering | None = None
        self._followed: list[Any] = []
        self._reading: Job[StoredRendering] | None = None
        self._saving: Job[Any] | None = None
        self.plan: RenderingPlan | None = None
        """What saving would change now; None: that is not known yet."""
        self.question: QMessageBox | None = None
        """What is asked before the former settings come back."""
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_QUIET_MS)
        self._rest.timeout.connect(self.compare)
        self._build()

    # ---- what a script may do, too ------------------------------------------------------------

    def compare(self) -> None:
        """Show what saving would change now."""
        viewer, image, stored = self._viewer(), self.image, self._stored
        self.plan = None
        notes: tuple[str, ...] = ()
        if viewer is not None and image is not None and stored is not None:
            rendering, notes = image.rendering(viewer, with_planes=self.planes.isChecked())
            self.plan = stored.plan(rendering)
        changes = () if self.plan is None else self.plan.changes
        self.table.show_changes(changes)
        self.table.setVisible(bool(changes))
        if self.plan is not None and not changes:
            notes = ("On screen it looks as the image itself says: nothing to save.", *notes)
        if stored is not None and stored.obstacle:
            notes = (*notes, f"Nothing can be saved into this image: {stored.obstacle}.")
        self._say(self.notes, "\n".join(notes))
        self._enable()

    def save(self) -> None:
        """Save into the image what is listed; returns at once. `saved` or `failed` tells the end.

        Nothing is written if somebody else has changed the settings since: then the new
        differences are shown, and saving is for the person to ask for again.
        """
        if self.plan is not None:
            self._save(self.plan)

    def keep(self) -> None:
        """Keep on this computer what is listed: the image is shown so when it is opened again."""
        if self.plan is None:
            return
        try:
            keep_rendering(self.plan)
        except CloudError as error:
            self._on_failed(error)
            return
        self._end("Kept on this computer. The image is shown so whenever it is opened here.")
        self.look()

    def back_to_own(self) -> None:
        """Show the image as it says itself, and forget what is kept on this computer."""
        viewer, image, stored = self._viewer(), self.image, self._stored
        if viewer is None or image is None or stored is None:
            return
        try:
            back_to_own(viewer, image, stored.rendering)
        except CloudError as error:
            self._on_failed(error)
            return
        self._end("The image is shown as it says itself.")
        self.look()

    def ask_for_former(self) -> None:
        """Ask whether the settings from before the last save shall be in the image again."""
        if self._stored is None or not self._stored.has_former:
            return
        plan = self._stored.plan_former()
        box = self.question = QMessageBox(self)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setWindowTitle("Rendering settings")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setText(f"Put the former settings back into {plan.stored.location}?")
        box.setInformativeText(str(plan))
        restore = box.addButton("Put back", QMessageBox.ButtonRole.AcceptRole)
        cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        box.setEscapeButton(cancel)

        def answered(button: Any) -> None:
            self.question = None
            if button is restore:
                self._save(plan, then_show=True)

        box.buttonClicked.connect(answered)
        box.open()

    def look(self) -> None:
        """Read anew what the image says, and compare."""
        image = self.image
        self._stored = None
        self._follow(() if image is None else image.layers)
        self.compare()
        if image is None:
            self._say(self.notes, "No image layer here was opened from a link or a folder.")
        else:
            self._say(self.notes, "Reading what the image says…")
            future = stored_rendering_async(image.location)
            self._reading = Job(future, self._on_read, self._on_failed, self)

    @property
    def image(self) -> ImageOnScreen | None:
        """The image that it is about."""
        number = self.images.currentIndex()
        return self._images[number] if 0 <= number < len(self._images) else None

    # ---- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        about = PlainLabel()
        about.setText(
            "Names, colours, contrast limits and visibility of the channels, as they are on screen "
            "now: save them into the image, and every viewer shows it so."
        )
        self.images = QComboBox()
        self.images.setSizeAdjustPolicy(
            self.images.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.images.setMinimumContentsLength(14)
        self.images.setToolTip("Which image; the one of the selected layer unless you choose")
        self.images.activated.connect(lambda _: self.look())
        self.where, self.kept, self.notes, self.message = (PlainLabel() for _ in range(4))
        self.planes = QCheckBox()
        self.planes.setChecked(True)
        self.planes.toggled.connect(self.compare)
        self.table = ChangesTable()
        self.save_button = QPushButton("Save into the image")
        self.keep_button = QPushButton("Keep on this computer")
        self.own_button = QPushButton("Back to the image's own")
        self.former_button = QPushButton("Put back the former…")
        tips = {
            self.save_button: "Write what is listed into the image, for everybody",
            self.keep_button: "The image stays as it is; here it is shown so when opened again",
            self.own_button: "Show what the image says itself; forget what is kept here",
            self.former_button: "The settings that were in the image before the last save",
        }
        for button, tip in tips.items():
            button.setToolTip(tip)
        self.save_button.clicked.connect(self.save)
        self.keep_button.clicked.connect(self.keep)
        self.own_button.clicked.connect(self.back_to_own)
        self.former_button.clicked.connect(self.ask_for_former)
        buttons = QGridLayout()
        for number, button in enumerate(tips):
            buttons.addWidget(button, number // 2, number % 2)
        layout = QVBoxLayout(self)
        for widget in (about, self.images, self.where, self.kept, self.planes):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.notes)
        layout.addLayout(buttons)
        layout.addWidget(self.message)
        layout.addStretch(0)
        self._end("")

    # ---- following the viewer, only while shown -----------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin to follow the layers."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _emitters(viewer):
                emitter.connect(self._on_layers)
            viewer.dims.events.current_step.connect(self._on_look)
        self._offer_images()
        self.look()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow them no more; what is being saved goes on, as the person asked for it."""
        super().hideEvent(event)
        viewer = self._viewer()
        if viewer is not None:
            for emitter in _emitters(viewer):
                emitter.disconnect(self._on_layers)
            viewer.dims.events.current_step.disconnect(self._on_look)
        self._follow(())
        self._rest.stop()
        self.images.clear()
        self._images = []  # they keep layers alive

    def _follow(self, layers: Sequence[Any]) -> None:
        for layer in self._followed:
            for name in _LOOKS:
                getattr(layer.events, name).disconnect(self._on_look)
        self._followed = list(layers)
        for layer in self._followed:
            for name in _LOOKS:
                getattr(layer.events, name).connect(self._on_look)

    def _on_look(self, event: Any = None) -> None:
        self._rest.start()

    def _on_layers(self, event: Any = None) -> None:
        """Go to the image of the layer in hand; one that comes or goes may change which layers."""
        before = self.image
        self._offer_images()
        now = self.image
        is_same = before is not None and now is not None and before.pyramid is now.pyramid
        if not is_same:
            self._say(self.message, "Saving…" if self._is_saving else "")
            self.look()
        elif now is not None:
            self._follow(now.layers)
            self._rest.start()

    def _offer_images(self) -> None:
        viewer = self._viewer()
        self._images = [] if viewer is None else images_on_screen(viewer)
        self.images.clear()
        for each in self._images:
            self.images.addItem(each.name)
        self.images.setVisible(len(self._images) > 1)

    # ---- what the image says ------------------------------------------------------------------

    def _on_read(self, stored: StoredRendering) -> None:
        self._stored = stored
        self.compare()
        self.read.emit()

    def _save(self, plan: RenderingPlan, *, then_show: bool = False) -> None:
        if self._is_saving:
            return
        image = self.image

        def done(notes: Sequence[str]) -> None:
            self._saving = None
            viewer = self._viewer()
            if then_show and viewer is not None and image is not None:
                image.show(viewer, plan.rendering)
            self._end(" ".join(["Saved into the image.", *notes]))
            self.look()
            self.saved.emit()

        def failed(error: BaseException) -> None:
            self._saving = None
            self._on_failed(error)

        self._saving = Job(save_rendering_async(plan), done, failed, self)
        self._end("Saving…")

    @property
    def _is_saving(self) -> bool:
        return self._saving is not None

    def _on_failed(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            self._enable()
            raise error
        if isinstance(error, ChangedError):
            self.look()
        elif self._stored is None:
            self._say(self.notes, "")
        self._end(str(error))
        self.failed.emit(str(error))

    # ---- what is shown ------------------------------------------------------------------------

    def _end(self, sentence: str) -> None:
        self._say(self.message, sentence)
        self._enable()

    def _enable(self) -> None:
        stored, image = self._stored, self.image
        kept = None if stored is None else stored.kept
        self._say(self.where, "" if image is None else str(image.location))
        names = () if image is None else image.planes
        self.planes.setText(f"Open it at the {' and '.join(names)} shown now")
        self.planes.setVisible(bool(names))
        self._say(self.kept, "" if kept is None else str(kept))
        changes = self.plan is not None and bool(self.plan.changes) and not self._is_saving
        may_write = stored is not None and not stored.obstacle
        self.save_button.setEnabled(changes and may_write)
        self.keep_button.setEnabled(changes)
        self.own_button.setEnabled(changes or (kept is not None and not self._is_saving))
        has_former = stored is not None and stored.has_former
        self.former_button.setEnabled(has_former and may_write and not self._is_saving)
        self.images.setEnabled(not self._is_saving)

    def _say(self, label: PlainLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))


def _emitters(viewer: Any) -> Iterator[Any]:
    events = viewer.layers.events
    yield from (events.inserted, events.removed, events.reordered)
    yield viewer.layers.selection.events.active
