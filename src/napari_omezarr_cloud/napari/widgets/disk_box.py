"""The part of the Settings dialog about the disk cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.network_text import mebibytes
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.settings import DESCRIPTIONS, Settings
from napari_omezarr_cloud.store.disk import Usage, disk_cache, follow_settings, is_switched_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.settings import InForce

__all__ = ["DiskBox"]

_BY_NAME = {each.name: each for each in DESCRIPTIONS}
_SIZE, _PRIVATE = _BY_NAME["disk_bytes"], _BY_NAME["disk_private"]
_AUTOMATIC, _OFF, _GIVEN = range(3)
_SUGGESTED_MB = 10_000


class DiskBox(QGroupBox):
    """How much is kept on disk, and whether private data are; shows what there is."""

    followed = Signal(str)
    """The disk goes by the settings now; or a sentence why not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Disk", parent)
        self._jobs: list[Job[Any]] = []
        self._shown: Settings = Settings()
        self._fixed: frozenset[str] = frozenset()
        self.mode = QComboBox()
        self.mode.addItems(["Automatic size", "Keep nothing", "Up to"])
        self.mode.currentIndexChanged.connect(self._show_what_matters)
        self.megabytes = QSpinBox()
        self.megabytes.setRange(1, _SIZE.high // _SIZE.factor)
        self.megabytes.setGroupSeparatorShown(True)
        self.megabytes.setSuffix(f" {_SIZE.unit}")
        self.private = QCheckBox(_PRIVATE.title)
        self.explained = PlainLabel()
        self.private_explained = PlainLabel()
        self.usage = PlainLabel()
        self.clear_button = QPushButton("Clear the disk cache…")
        self.clear_button.setToolTip("Delete what is kept, except regions kept for offline use.")
        self.clear_button.clicked.connect(self.ask_to_clear)
        form = QFormLayout(self)
        form.addRow(_SIZE.title, self.mode)
        form.addRow("", self.megabytes)
        form.addRow(self.explained)
        form.addRow(self.private)
        form.addRow(self.private_explained)
        form.addRow(self.usage)
        form.addRow(self.clear_button)

    def load(self, now: InForce) -> None:
        """Show what counts now, and how much there is."""
        self.show_values(now.settings, now)
        if is_switched_off():
            self.usage.setText("The disk cache is switched off.")
            self.clear_button.setEnabled(False)
        else:
            self._begin(lambda: disk_cache().info(), self._show_usage)

    def show_values(self, values: Settings, now: InForce) -> None:
        """Show settings; what a variable of the environment decides is shown as such."""
        self._fixed = now.from_environment
        size = now.settings.disk_bytes if _SIZE.name in self._fixed else values.disk_bytes
        self._shown = values
        if size is None:
            self.mode.setCurrentIndex(_AUTOMATIC)
        else:
            self.mode.setCurrentIndex(_GIVEN if size else _OFF)
            self.megabytes.setValue(max(1, size // _SIZE.factor))
        private = now.settings if _PRIVATE.name in self._fixed else values
        self.private.setChecked(private.disk_private)
        self.mode.setEnabled(_SIZE.name not in self._fixed)
        self.private.setEnabled(_PRIVATE.name not in self._fixed)
        self.explained.setText(now.explained(_SIZE))
        self.private_explained.setText(now.explained(_PRIVATE))
        self._show_what_matters()

    @property
    def values(self) -> dict[str, Any]:
        """What is shown, by the names of the settings; not what a variable decides."""
        given = self.megabytes.value() * _SIZE.factor
        known = self._shown.disk_bytes
        if known is not None and known // _SIZE.factor == self.megabytes.value():
            given = known  # to the byte, as a script may have set it
        size = {_AUTOMATIC: None, _OFF: 0, _GIVEN: given}[self.mode.currentIndex()]
        found = {_SIZE.name: size, _PRIVATE.name: self.private.isChecked()}
        return {name: value for name, value in found.items() if name not in self._fixed}

    def follow(self) -> None:
        """Have the disk go by what was set; `followed` tells the end."""
        self._begin(follow_settings, lambda _: self.followed.emit(""), self.followed.emit)

    def ask_to_clear(self) -> None:
        """Say how much would be deleted, and delete it if the person agrees."""
        self._begin(lambda: disk_cache().info(), self._ask)

    def _ask(self, usage: Usage) -> None:
        stays = f" {mebibytes(usage.kept_nbytes)} kept for offline use stay." * bool(
            usage.kept_nbytes
        )
        answers = QMessageBox.StandardButton
        box = QMessageBox(
            QMessageBox.Icon.Question,
            "Clear the disk cache",
            f"Delete {mebibytes(usage.nbytes - usage.kept_nbytes)} from the disk? They are "
            f"downloaded again when they are looked at.{stays}",
            answers.Yes | answers.Cancel,
            self,
        )
        box.setObjectName("omezarr-clear")
        delete = box.button(answers.Yes)
        if delete is not None:
            delete.setText("Delete")
            delete.clicked.connect(self.clear)
        box.finished.connect(box.deleteLater)
        box.open()

    def clear(self) -> None:
        """Delete what is kept, but for what is kept for offline use."""

        def empty() -> Usage:
            disk_cache().clear()
            return disk_cache().info()

        self.clear_button.setEnabled(False)
        self.usage.setText("Deleting …")
        self._begin(empty, self._show_usage)

    def _begin(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        """Do something that may have to wait for the disk beside the window."""

        def failed(error: BaseException) -> None:
            if not isinstance(error, CloudError):
                raise error
            (on_error or self.usage.setText)(str(error))

        self._jobs = [job for job in self._jobs if job.is_running]
        self._jobs.append(Job(in_thread(work), then, failed, self))

    def _show_what_matters(self) -> None:
        is_given = self.mode.currentIndex() == _GIVEN
        self.megabytes.setVisible(is_given)
        self.megabytes.setEnabled(self.mode.isEnabled())
        if is_given and self.megabytes.value() == 1:
            self.megabytes.setValue(_SUGGESTED_MB)

    def _show_usage(self, usage: Usage) -> None:
        used = mebibytes(usage.nbytes)
        if usage.max_bytes:
            used += f" of {mebibytes(usage.max_bytes)}"
        if usage.kept_nbytes:
            used += f", of which {mebibytes(usage.kept_nbytes)} for offline use"
        self.usage.setText(f"In use: {used}, in {usage.folder}. {usage.problem}".rstrip())
        self.clear_button.setEnabled(usage.nbytes > usage.kept_nbytes)
