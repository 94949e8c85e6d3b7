"""What a way into a place asks for: a line for each, masked where it is secret, and the keyring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.access import PlaceAccess
    from napari_omezarr_cloud.store.ways import Way, WayField

__all__ = ["WayFields"]


class WayFields(QWidget):
    """The lines of one way at a time; what is secret in them is wiped with `wipe`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lines: dict[str, QLineEdit | QComboBox] = {}
        """By the names of the way's fields."""
        self.inputs: list[QWidget] = []
        """All that can be typed in or pressed, from top to bottom."""
        self._way: Way | None = None
        self._profiles: Sequence[str] = ()
        self._ring: str | None = None
        self._form_area = QWidget()
        self._form = QFormLayout(self._form_area)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.shows_typed = QCheckBox("Show what I type")
        self.shows_typed.toggled.connect(self._mask)
        self.in_keyring = QCheckBox()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in (self._form_area, self.shows_typed, self.in_keyring):
            layout.addWidget(each)

    def set_profiles(self, names: Sequence[str]) -> None:
        """Offer these profiles of the AWS configuration."""
        self._profiles = names

    def set_keyring(self, name: str | None) -> None:
        """Say what the system's keyring is called; None: there is none."""
        self._ring = name
        self._show_ring()

    def show_way(self, way: Way | None, known: PlaceAccess | None) -> None:
        """Show the lines of a way, empty; None: none.

        Parameters
        ----------
        way
            The way.
        known
            What was said of the place before; its secrets are not shown.
        """
        while self._form.rowCount():
            self._form.removeRow(0)
        self.lines, self.inputs, self._way = {}, [], way
        is_known = known is not None and way is not None and known.way == way.name
        for field in way.fields if way else ():
            self._form.addRow(
                field.title,
                self._line(field, is_kept=is_known and field.is_secret and field.is_needed),
            )
        self.inputs += [self.shows_typed, self.in_keyring]
        self._form_area.setVisible(bool(self.lines))
        self.setVisible(bool(self.lines))
        self._mask()
        self._show_ring()

    def fill(self, known: PlaceAccess) -> None:
        """Show what is known of the place; never its secrets."""
        for name in ("profile", "file"):
            line = self.lines.get(name)
            if isinstance(line, QComboBox):
                line.setEditText(getattr(known, name))
            elif line is not None:
                line.setText(getattr(known, name))
        self.in_keyring.setChecked(known.in_keyring)

    def _line(self, field: WayField, *, is_kept: bool) -> QWidget:
        if field.name == "profile":
            box = QComboBox()
            box.setEditable(True)
            box.addItems(list(self._profiles))
            self.lines[field.name] = box
            self.inputs.append(box)
            return box
        line = QLineEdit()
        self.lines[field.name] = line
        self.inputs.append(line)
        line.setToolTip(field.help)
        hint = field.help or ("" if field.is_needed else "may be empty")
        line.setPlaceholderText("known; leave it empty to keep it" if is_kept else hint)
        if field.name != "file":
            return line
        row = QWidget()
        choose = QPushButton("Choose…")
        choose.clicked.connect(self._choose_file)
        self.inputs.append(choose)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line)
        layout.addWidget(choose)
        return row

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Key file of a service account", "", "*.json")
        line = self.lines.get("file")
        if name and isinstance(line, QLineEdit):
            line.setText(name)

    def _secret_names(self) -> list[str]:
        return [field.name for field in self._way.fields if field.is_secret] if self._way else []

    def _secret_lines(self) -> list[QLineEdit]:
        return [line for n in self._secret_names() if isinstance(line := self.lines[n], QLineEdit)]

    def _mask(self, *_: Any) -> None:
        mode = QLineEdit.EchoMode.Normal if self.shows_typed.isChecked() else None
        for line in self._secret_lines():
            line.setEchoMode(mode or QLineEdit.EchoMode.Password)
        self.shows_typed.setVisible(bool(self._secret_lines()))

    def _show_ring(self) -> None:
        self.in_keyring.setVisible(bool(self._secret_lines()))
        self.in_keyring.setEnabled(self._ring is not None)
        if self._ring is None:
            self.in_keyring.setChecked(False)
            text = "There is no system keyring here: it holds until napari ends"
        else:
            text = f"Keep it in the system's keyring ({self._ring}); otherwise until napari ends"
        self.in_keyring.setText(text)
        self.in_keyring.setToolTip(
            "" if self._ring else "Keyrings need: pip install 'napari-omezarr-cloud[keyring]'."
        )

    # ---- what was typed -----------------------------------------------------------------------

    def _typed(self) -> dict[str, str]:
        return {
            name: line.currentText() if isinstance(line, QComboBox) else line.text()
            for name, line in self.lines.items()
        }

    @property
    def options(self) -> Mapping[str, Any]:
        """What was typed that is no secret, and whether the rest goes into the keyring."""
        secret = self._secret_names()
        plain = {name: text.strip() for name, text in self._typed().items() if name not in secret}
        return {**plain, "keyring": self.in_keyring.isChecked() and bool(secret)}

    @property
    def secrets(self) -> Mapping[str, str]:
        """What was typed that is secret; lines that are empty are left out."""
        secret = self._secret_names()
        return {n: text for n, text in self._typed().items() if n in secret and text.strip()}

    def wipe(self) -> None:
        """Leave no typed secret in a window that is hidden."""
        self.shows_typed.setChecked(False)
        for line in self._secret_lines():
            line.clear()
