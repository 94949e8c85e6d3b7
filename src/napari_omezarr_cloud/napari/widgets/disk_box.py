"""The part of the Settings dialog about the disk cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.network_text import mebibytes
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.store.disk import (
    DiskSettings,
    Usage,
    disk_cache,
    is_switched_off,
    load_settings,
    saved_settings,
    use_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DiskBox"]

_MIB = 1 << 20
_AUTOMATIC, _OFF, _GIVEN = range(3)
_SIZE, _PRIVATE = "OMEZARR_DISK_CACHE_MB", "OMEZARR_DISK_CACHE_PRIVATE"


class DiskBox(QGroupBox):
    """How much is kept on disk, and whether private data are; shows what there is."""

    ended = Signal(str)
    """What `save` began is done; or a sentence why not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Disk", parent)
        self._jobs: list[Job[Any]] = []
        self.mode = QComboBox()
        self.mode.addItems(["Automatic size", "Keep nothing", "Up to"])
        self.mode.currentIndexChanged.connect(self._show_what_matters)
        self.megabytes = QSpinBox()
        self.megabytes.setRange(1, 1 << 26)
        self.megabytes.setGroupSeparatorShown(True)
        self.megabytes.setSuffix(" MB")
        self.private = QCheckBox("Keep private data, too")
        self.explained = PlainLabel()
        self.private_explained = PlainLabel()
        self.usage = PlainLabel()
        self.clear_button = QPushButton("Clear the disk cache")
        self.clear_button.setToolTip("Delete what is kept, except regions kept for offline use.")
        self.clear_button.clicked.connect(self.clear)
        form = QFormLayout(self)
        form.addRow("Keep what was loaded", self.mode)
        form.addRow("", self.megabytes)
        form.addRow(self.explained)
        form.addRow(self.private)
        form.addRow(self.private_explained)
        form.addRow(self.usage)
        form.addRow(self.clear_button)

    def load(self) -> None:
        """Show what counts now, and how much there is."""
        self._show(load_settings())
        if is_switched_off():
            self.usage.setText("The disk cache is switched off.")
            self.clear_button.setEnabled(False)
        else:
            self._begin(lambda: disk_cache().info(), self._show_usage)

    def restore_defaults(self) -> None:
        """Show the defaults."""
        now, default = load_settings(), DiskSettings()
        max_bytes = now.max_bytes if _is_set(_SIZE) else default.max_bytes
        self._show(DiskSettings(max_bytes, now.private if _is_set(_PRIVATE) else default.private))

    @property
    def chosen(self) -> DiskSettings:
        """What is shown, for the file: what a variable decides stays as the file has it."""
        kept = saved_settings()
        given = self.megabytes.value() * _MIB
        if kept.max_bytes is not None and kept.max_bytes // _MIB == self.megabytes.value():
            given = kept.max_bytes  # to the byte, as a script may have set it
        modes = {_AUTOMATIC: None, _OFF: 0, _GIVEN: given}
        max_bytes = kept.max_bytes if _is_set(_SIZE) else modes[self.mode.currentIndex()]
        return DiskSettings(
            max_bytes, kept.private if _is_set(_PRIVATE) else self.private.isChecked()
        )

    def save(self) -> bool:
        """Apply and keep what is shown; tell whether `ended` will come."""
        wanted = self.chosen
        if wanted == saved_settings():
            return False
        self._begin(lambda: use_settings(wanted), lambda _: self.ended.emit(""), self.ended.emit)
        return True

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

    def _show(self, settings: DiskSettings) -> None:
        if settings.max_bytes is None:
            self.mode.setCurrentIndex(_AUTOMATIC)
        else:
            self.mode.setCurrentIndex(_GIVEN if settings.max_bytes else _OFF)
            self.megabytes.setValue(max(1, settings.max_bytes // _MIB))
        self.private.setChecked(settings.private)
        self.mode.setEnabled(not _is_set(_SIZE))
        self.private.setEnabled(not _is_set(_PRIVATE))
        told = f" Set by {_SIZE} in the environment." if _is_set(_SIZE) else ""
        self.explained.setText(
            "What was loaded once is there at once the next time, also without a network. "
            "Automatic: 10 GB, or a tenth of what is free if that is less." + told
        )
        told = f" Set by {_PRIVATE} in the environment." if _is_set(_PRIVATE) else ""
        self.private_explained.setText(
            "Data that need a password, key or token. The files are readable by you alone." + told
        )
        self._show_what_matters()

    def _show_what_matters(self) -> None:
        is_given = self.mode.currentIndex() == _GIVEN
        self.megabytes.setVisible(is_given)
        self.megabytes.setEnabled(self.mode.isEnabled())
        if is_given and self.megabytes.value() == 1:
            self.megabytes.setValue(10_000)

    def _show_usage(self, usage: Usage) -> None:
        used = mebibytes(usage.nbytes)
        if usage.max_bytes:
            used += f" of {mebibytes(usage.max_bytes)}"
        if usage.kept_nbytes:
            used += f", of which {mebibytes(usage.kept_nbytes)} for offline use"
        self.usage.setText(f"In use: {used}, in {usage.folder}. {usage.problem}".rstrip())
        self.clear_button.setEnabled(usage.nbytes > usage.kept_nbytes)


def _is_set(variable: str) -> bool:
    """Tell whether a variable of the environment decides, as the disk cache understands it."""
    text = os.environ.get(variable, "").strip()
    return text.isdigit() if variable == _SIZE else bool(text)
