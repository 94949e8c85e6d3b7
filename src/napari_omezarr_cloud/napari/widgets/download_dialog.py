"""*Download…*: an image, a plate or any folder, byte for byte to this disk; told before what it is.

What it takes is found out once the choices rest. A download goes on when the window is closed.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
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
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.download_run import DownloadRun, ended_text
from napari_omezarr_cloud.napari.notices import tell_error, tell_info
from napari_omezarr_cloud.napari.shown_images import shown_images
from napari_omezarr_cloud.napari.widgets.open_button import OpenButton
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.downloading import DownloadPlan, DownloadProgress
    from napari_omezarr_cloud.links import Link

__all__ = ["DownloadDialog", "show_download"]

_WIDTH_PX = 560
_QUIET_MS = 400
"""What there is is asked for once what is typed rests."""


def show_download(viewer: Any) -> DownloadDialog:
    """Show the one dialog of a viewer's window, about the image in hand."""
    viewer = unwrapped(viewer)
    window = viewer.window.main_menu.window()
    dialog: DownloadDialog | None = window.findChild(DownloadDialog)
    if dialog is None:
        dialog = DownloadDialog(viewer, window)
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


class DownloadDialog(QDialog):
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
        super().__init__(parent)
        self.setObjectName("omezarr-download")
        self.setWindowTitle("Download")
        self._viewer = weakref.ref(viewer)
        self._shown: dict[str, Location] = {}
        self._is_named = False
        self._folder = Path.home()
        self._planned: DownloadPlan | None = None
        self._planning: Job[DownloadPlan] | None = None
        self._run: DownloadRun | None = None
        self._build(viewer)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_QUIET_MS)
        self._rest.timeout.connect(self._plan)

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
        self.source.editTextChanged.connect(self._on_source)
        self.target = QLineEdit()
        self.target.setPlaceholderText("A new folder on this disk")
        self.target.textEdited.connect(self._on_named)
        self.target.textChanged.connect(self._look_soon)
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._browse)
        target = QHBoxLayout()
        target.addWidget(self.target, 1)
        target.addWidget(self.browse)
        form = QFormLayout()
        form.addRow("From", self.source)
        form.addRow("To", target)
        self.estimate = PlainLabel()
        self.run_bar = RunBar(action="Download", tip="Copy what is said above to this disk")
        self.run_bar.apply_requested.connect(self.download)
        self.run_bar.cancel_requested.connect(self.cancel)
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

    @property
    def is_running(self) -> bool:
        """Whether something is being downloaded."""
        return self._run is not None

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
        self._run = run = DownloadRun(self._planned, self, viewer=self._viewer())
        run.stepped.connect(self.run_bar.show_step)
        run.done.connect(self._on_done)
        run.failed.connect(self._on_failed)
        self.choices.setEnabled(False)
        self.run_bar.show_step(0, 0, "Looking what is here…")

    def cancel(self) -> None:
        """Give up; what has come is kept, and says that it is not all."""
        if self._run is not None:
            self._run.cancel()
            self._end("Cancelled. Downloading the same to the same folder goes on where it ended.")

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
            self._planning.cancel()
            self._planning = None

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

    def _look_soon(self, *_: Any) -> None:
        if self.is_running:
            return
        self._forget_plan()
        self.estimate.setText("")
        self._rest.start()

    def _forget_plan(self) -> None:
        self._planned = None
        if self._planning is not None:
            self._planning.cancel()
            self._planning = None
        self.run_bar.allow(False)

    def _plan(self) -> None:
        """Begin to find out what the chosen takes."""
        self._forget_plan()
        try:
            link = self._link()
            target = self.target.text().strip()
            if not target:
                raise LinkError("It is not said yet where to", hint="Type a folder, or browse.")
            future = plan_download_async(link, target)
        except CloudError as error:
            self._on_not_planned(error)
            return
        self.estimate.setText("Looking what there is…")
        self._planning = Job(future, self._on_planned, self._on_not_planned, self)

    def _on_planned(self, planned: DownloadPlan) -> None:
        self._planning, self._planned = None, planned
        self.estimate.setText(str(planned))
        self.run_bar.allow(True)
        self.planned_anew.emit()

    def _on_not_planned(self, error: BaseException) -> None:
        self._planning = None
        if not isinstance(error, CloudError):
            raise error
        self.estimate.setText(str(error))
        self.planned_anew.emit()

    # ---- the download -------------------------------------------------------------------------

    def _on_done(self, progress: DownloadProgress) -> None:
        run = self._run
        if run is None:
            return
        sentence = ended_text(run.planned, progress)
        self._end(sentence)
        self._forget_plan()
        if not self.isVisible():
            tell_info(sentence)
        self.open_button.offer(parse_location(run.planned.target))
        self.downloaded.emit(run.planned.target)

    def _on_failed(self, error: BaseException) -> None:
        self._end("")
        if not isinstance(error, CloudError):
            raise error
        if not self.isVisible():
            tell_error(error)
        self.run_bar.show_error(str(error), self._viewer())

    def _end(self, sentence: str) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.deleteLater()
        self.choices.setEnabled(True)
        self.run_bar.show_idle(sentence)
