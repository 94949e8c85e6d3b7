"""The Settings dialog: memory, network, 3D and the disk cache; applied at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.volume import choose_levels
from napari_omezarr_cloud.napari.widgets.disk_box import DiskBox
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.settings import (
    DESCRIPTIONS,
    Description,
    InForce,
    Settings,
    choose,
    in_force,
    in_force_everywhere,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SettingsDialog", "show_settings"]

_GROUPS = {
    "Memory": ("cache_mb",),
    "Network": ("requests", "reads_ahead", "prefetch_mb", "metered"),
    "3D": ("volume_mb",),
}
_WIDTH_PX, _HEIGHT_PX = 460, 880
_BY_NAME = {each.name: each for each in DESCRIPTIONS}


def show_settings(viewer: Any) -> SettingsDialog:
    """Show the one dialog of a viewer's window, with what counts now."""
    window = viewer.window.main_menu.window()
    dialog: SettingsDialog | None = window.findChild(SettingsDialog)
    if dialog is None:
        dialog = SettingsDialog(window)
        dialog.chosen.connect(_fit_volumes)
    if not dialog.isVisible():
        dialog.load()
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog


def _fit_volumes() -> None:
    """Show the level that fits the budget now, in all windows that show volumes."""
    import napari

    for viewer in list(napari.Viewer._instances):
        choose_levels(viewer)


class SettingsDialog(QDialog):
    """Shows all settings, and applies and keeps them on OK."""

    chosen = Signal()
    """What was set counts from now on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("omezarr-settings")
        self.setWindowTitle("Settings of OME-Zarr Cloud")
        self.notes = PlainLabel()
        shown = [name for names in _GROUPS.values() for name in names]
        self.fields = {name: _Field(_BY_NAME[name]) for name in shown}
        self.disk = DiskBox()
        self.error = PlainLabel()
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Ok | standard.Cancel | standard.RestoreDefaults)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        restore = self.buttons.button(standard.RestoreDefaults)
        if restore is not None:
            restore.clicked.connect(self.restore_defaults)
        for name in ("reads_ahead", "metered"):
            self.fields[name].switch.toggled.connect(self._show_what_matters)
        self.disk.followed.connect(self._disk_followed)
        self._lay_out()
        self.load()

    def _lay_out(self) -> None:
        inside = QWidget()
        inside.setMinimumHeight(1)  # else Qt takes that of its narrowest form
        column = QVBoxLayout(inside)
        column.addWidget(self.notes)
        for title, names in _GROUPS.items():
            column.addWidget(_group(title, [self.fields[name] for name in names]))
        column.addWidget(self.disk)
        column.addStretch(1)
        scroll = QScrollArea()  # on a small screen the buttons must stay in reach
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll)
        layout.addWidget(self.error)
        layout.addWidget(self.buttons)
        self.resize(_WIDTH_PX, _HEIGHT_PX)

    def load(self) -> None:
        """Show what counts now."""
        now = in_force()
        self.notes.setText("\n".join(now.notes))
        self.notes.setVisible(bool(now.notes))
        self.error.setText("")
        self._fill(now.settings, now)
        self.disk.load(in_force_everywhere())

    def restore_defaults(self) -> None:
        """Show the defaults; they count when OK is pressed."""
        now = in_force()
        self._fill(Settings(), now)
        self.disk.show_values(Settings(), now)

    def accept(self) -> None:
        """Apply and keep what is shown; stay open and say so where it cannot be kept."""
        now, before = in_force(), in_force_everywhere()
        values: dict[str, Any] = {
            name: field.value
            for name, field in self.fields.items()
            if name not in now.from_environment
        }
        try:
            chosen = choose(replace(before.chosen, **values, **self.disk.values)).settings
        except CloudError as error:
            self.error.setText(str(error))
            return
        self.chosen.emit()
        if all(
            getattr(before.settings, name) == getattr(chosen, name) for name in self.disk.values
        ):
            super().accept()
        else:
            self.buttons.setEnabled(False)  # until the disk has followed
            self.disk.follow()

    def _disk_followed(self, sentence: str) -> None:
        self.buttons.setEnabled(True)
        self.error.setText(sentence)
        if not sentence:
            super().accept()

    def _fill(self, values: Settings, now: InForce) -> None:
        for name, field in self.fields.items():
            is_fixed = name in now.from_environment
            field.show_value(getattr(now.settings if is_fixed else values, name), is_fixed)
            field.explained.setText(now.explained(field.about))
        self._show_what_matters()

    def _show_what_matters(self) -> None:
        """Let nobody set what has no effect."""
        fixed = in_force().from_environment
        is_metered = self.fields["metered"].switch.isChecked()
        is_ahead = self.fields["reads_ahead"].switch.isChecked() and not is_metered
        self.fields["reads_ahead"].switch.setEnabled(not is_metered and "reads_ahead" not in fixed)
        self.fields["prefetch_mb"].number.setEnabled(is_ahead and "prefetch_mb" not in fixed)


class _Field:
    """One setting: its widget, what it means, and who decides it."""

    def __init__(self, about: Description) -> None:
        self.about = about
        self.switch = QCheckBox(about.title)
        self.number = QSpinBox()
        self.number.setRange(about.low, about.high)
        self.number.setGroupSeparatorShown(True)
        self.number.setSuffix(f" {about.unit}" if about.unit else "")
        self.explained = PlainLabel()
        self.explained.setObjectName("omezarr-help")

    @property
    def widget(self) -> QWidget:
        """The one of the two that is shown."""
        return self.switch if self.about.is_switch else self.number

    @property
    def value(self) -> int | bool:
        """What the person set."""
        return self.switch.isChecked() if self.about.is_switch else self.number.value()

    def show_value(self, value: int | bool, is_fixed: bool) -> None:
        """Show a value; fixed: a variable of the environment decides it."""
        self.switch.setChecked(bool(value))
        self.number.setValue(int(value))
        self.widget.setEnabled(not is_fixed)


def _group(title: str, fields: Sequence[_Field]) -> QGroupBox:
    box = QGroupBox(title)
    form = QFormLayout(box)
    for field in fields:
        if field.about.is_switch:
            form.addRow(field.switch)
        else:
            form.addRow(QLabel(field.about.title), field.number)
        form.addRow(field.explained)
    return box
