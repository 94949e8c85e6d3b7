"""*Download…*: an image, a plate or any folder, byte for byte to this disk; told before what it is.

What it takes is found out once the choices rest. A download goes on when the window is closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.api import understand
from napari_omezarr_cloud.downloading import plan_download_async
from napari_omezarr_cloud.errors import CloudError, LinkError
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.napari.download_run import DownloadRun, ended_text
from napari_omezarr_cloud.napari.shown_images import shown_images
from napari_omezarr_cloud.napari.widgets.open_button import OpenButton
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.planned_dialog import PlannedDialog, show_planned
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.downloading import DownloadPlan, DownloadProgress
    from napari_omezarr_cloud.links import Link

__all__ = ["DownloadDialog", "show_download"]

_WIDTH_PX = 560
_RHYTHM_MS = 200


def show_download(viewer: Any) -> DownloadDialog:
    """Show the one dialog of a viewer's window, about the image in hand."""
    return show_planned(viewer, DownloadDialog)


class DownloadDialog(PlannedDialog):
    """Says what a download takes, downloads, and opens what has come.

    Parameters
    ----------
    viewer
        Whose images are offered; it is not kept alive.
    parent
        The viewer's window.
    """

    planned_anew = Signal()
    """What the download takes is shown, or why it cannot be."""
    downloaded = Signal(object)
    """All of it is here: the folder or file."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        tip = "Copy what is said above to this disk"
        super().__init__(viewer, parent, action="Download", tip=tip)
        self.setObjectName("omezarr-download")
        self.setWindowTitle("Download")
        self._shown: dict[str, Location] = {}
        self._is_named = False
        self._folder = Path.home()
        self._found = 0
        self._clock = QTimer(self)
        self._clock.setInterval(_RHYTHM_MS)
        self._clock.timeout.connect(self._tell_found)
        self._build(viewer)

    def _build(self, viewer: Any) -> None:
        about = PlainLabel()
        about.setText(
            "Copies everything at a link to this disk, byte for byte: an image with all its levels "
            "and labels, a plate, a well, or any folder of a bucket. For a part of an image, use "
            "Save as OME-Zarr… with a region."
        )
        self.source = QComboBox()
        self.source.setEditable(True)
        self.source.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.source.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.source.setMinimumContentsLength(24)
        self.source.setToolTip("An image that is open, or any link; cut its end off to have more")
        self.source.editTextChanged.connect(self._forget_end)
        self.source.editTextChanged.connect(self._on_source)
        self.target = QLineEdit()
        self.target.setPlaceholderText("A new folder on this disk")
        self.target.textEdited.connect(self._on_named)
        self.target.textChanged.connect(self._forget_end)
        self.target.textChanged.connect(self._look_soon)
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._browse)
        target = QHBoxLayout()
        target.addWidget(self.target, 1)
        target.addWidget(self.browse)
        form = QFormLayout()
        form.addRow("From", self.source)
        form.addRow("To", target)
        self.run_bar.apply_requested.connect(self.download)
        self.open_button = OpenButton(
            viewer, "Show what was downloaded as new layers, from this disk"
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        self.choices = QWidget()
        inside = QVBoxLayout(self.choices)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(form)
        layout = QVBoxLayout(self)
        for widget in (about, self.choices, self.estimate, self.run_bar, self.open_button):
            layout.addWidget(widget)
        layout.addStretch(1)
        layout.addWidget(buttons)
        self.resize(_WIDTH_PX, self.sizeHint().height())

    # ---- what a script may do, too ------------------------------------------------------------

    def choose(self, link: str, target: str) -> None:
        """Choose from where and where to, as the person does."""
        self.source.setEditText(link)
        self._is_named = True
        self.target.setText(target)

    def download(self) -> None:
        """Begin to download; does nothing before it is known what that takes."""
        if self._planned is None or self.is_running:
            return
        self.open_button.offer(None)
        self._follow(DownloadRun(self._planned, self, viewer=self._viewer()))

    def cancel(self) -> None:
        """Give up; what has come is kept, and says that it is not all."""
        self._give_up("Cancelled. Downloading the same to the same folder goes on where it ended.")

    # ---- the choices --------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Offer the images that are open now, the one in hand first."""
        super().showEvent(event)
        viewer = self._viewer()
        if viewer is None or self.is_running:
            return
        typed = self.source.currentText()
        images = (location_of(each.pyramid) for each in shown_images(viewer))
        self._shown = {str(each): each for each in images if each is not None}
        self.source.blockSignals(True)
        self.source.clear()
        self.source.addItems(list(self._shown))
        if typed:
            self.source.setEditText(typed)
        self.source.blockSignals(False)
        self._on_source()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Ask no more what there is; what is being downloaded goes on."""
        super().hideEvent(event)
        self._rest.stop()
        if self._planning is not None:
            self._drop_plan()

    def _link(self) -> Location | Link:
        """Return what is chosen, an image that is open with what its link keeps for itself.

        Raises
        ------
        LinkError
            If the text is no link.
        """
        text = self.source.currentText().strip()
        if not text:
            raise LinkError(
                "It is not said yet what to download", hint="Open an image, or paste a link."
            )
        return self._shown.get(text) or understand(text)

    def _on_source(self, *_: Any) -> None:
        if not self._is_named:
            key = self.source.currentText().partition("?")[0].rstrip("/")
            name = key.rpartition("/")[2].partition("#")[0]
            self.target.setText(str(self._folder / name) if name else "")
        self._look_soon()

    def _on_named(self, text: str) -> None:
        self._is_named = bool(text)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Download to", self.target.text() or str(self._folder))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        # Nothing is ever overwritten, whatever is chosen.
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite, True)
        dialog.fileSelected.connect(self._take_target)
        dialog.open()

    def _take_target(self, path: str) -> None:
        self._is_named, self._folder = True, Path(path).parent
        self.target.setText(path)

    # ---- what it takes ------------------------------------------------------------------------

    def _forget_end(self, *_: Any) -> None:
        """Say no more how the last one ended: now it is about another."""
        if not self.is_running:
            self.run_bar.show_idle()
            self.open_button.offer(None)

    def _look_soon(self, *_: Any) -> None:
        if self.is_running:
            return
        self._drop_plan()
        self.estimate.setText("")
        self._rest.start()

    def _drop_plan(self) -> None:
        super()._drop_plan()
        self._clock.stop()
        self.run_bar.allow(False)

    def _plan(self) -> None:
        """Begin to find out what the chosen takes."""
        self._drop_plan()
        try:
            link = self._link()
            target = self.target.text().strip()
            if not target:
                raise LinkError("It is not said yet where to", hint="Type a folder, or browse.")
            self._found = 0
            future = plan_download_async(link, target, on_found=self._note_found)
        except CloudError as error:
            self._on_not_planned(error)
            return
        self._tell_found()
        self._clock.start()
        self._begin_plan(future)

    def _note_found(self, count: int) -> None:
        self._found = count  # on the I/O thread: told by the clock

    def _tell_found(self) -> None:
        so_far = f" {self._found:,} found so far" if self._found else ""
        self.estimate.setText(f"Looking what there is…{so_far}")

    def _on_planned(self, planned: DownloadPlan) -> None:
        self._clock.stop()
        self._planning, self._planned = None, planned
        self.estimate.setText(str(planned))
        self.run_bar.allow(True)
        self.planned_anew.emit()

    def _on_not_planned(self, error: BaseException) -> None:
        self._clock.stop()
        super()._on_not_planned(error)
        self.planned_anew.emit()

    # ---- the download -------------------------------------------------------------------------

    def _on_done(self, progress: DownloadProgress) -> None:
        planned: DownloadPlan = self._planned
        sentence = ended_text(planned, progress)
        self._end(sentence)
        self._drop_plan()
        self._tell_unseen(sentence)
        self.open_button.offer(parse_location(planned.target))
        self.downloaded.emit(planned.target)
