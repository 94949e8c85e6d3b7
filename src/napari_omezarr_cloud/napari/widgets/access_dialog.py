"""*Access to this place*: who one is there, tried at once. Asks for it all; does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.access import PlaceAccess, place_named
from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.store.keys import Secrets
from napari_omezarr_cloud.store.ways import Way, WayField, ways_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtGui import QCloseEvent

__all__ = ["AccessDialog", "AccessWish"]

_WIDTH_PX = 560
_BUCKETS = ("s3", "gs", "az")


@dataclass(frozen=True)
class AccessWish:
    """What the person said of a place."""

    place: str
    way: str
    options: Mapping[str, Any]
    """As `set_access` takes them."""
    secrets: Secrets


class AccessDialog(QDialog):
    """Asks how to get into a place; the fields are those of the way that is chosen."""

    save_requested = Signal(object)
    """The `AccessWish` to remember."""
    test_requested = Signal(object, bool)
    """The `AccessWish` to remember and try, and whether to try writing."""
    forget_requested = Signal(str)
    """The place of which nothing is to be known any more."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("omezarr-access")
        self.setWindowTitle("Access to this place")
        self._known: dict[str, PlaceAccess] = {}
        self._kind = ""
        self._profiles: Sequence[str] = ()
        self._lines: dict[str, QLineEdit | QComboBox] = {}
        self._ring: str | None = None
        self._is_busy = False
        self._build()
        self.place.editTextChanged.connect(self._judge)
        self.place.textActivated.connect(self._load)
        self.way.currentIndexChanged.connect(self._show_way)
        self._judge()

    # ---- what the caller says -----------------------------------------------------------------

    def set_known(self, known: Sequence[PlaceAccess]) -> None:
        """List the places of which something was said; what is typed stays."""
        self._known = {each.place: each for each in known}
        typed = self.place.currentText()
        self.place.blockSignals(True)
        self.place.clear()
        self.place.addItems(list(self._known))
        self.place.setEditText(typed)
        self.place.blockSignals(False)
        self._show_beginning()
        self._judge()

    def _show_beginning(self) -> None:
        """Show the beginning of a long place, which tells more than its end."""
        line = self.place.lineEdit()
        if line is not None:
            line.setCursorPosition(0)

    def set_profiles(self, names: Sequence[str]) -> None:
        """Offer these profiles of the AWS configuration."""
        self._profiles = names

    def set_keyring(self, name: str | None) -> None:
        """Say what the system's keyring is called; None: there is none."""
        self._ring = name
        self._show_ring()

    def show_place(self, place: str) -> None:
        """Begin with a place, and with what is known of it."""
        self.place.setEditText(place)
        self._load(place)
        self._show_beginning()

    def show_progress(self, sentence: str) -> None:
        """Say what is going on; nothing can be pressed meanwhile."""
        self._set_busy(True)
        self._say(sentence)

    def show_outcome(self, sentence: str, steps: Sequence[str] = ()) -> None:
        """Say how it ended, and what was tried; typed secrets are no longer in the fields."""
        self._set_busy(False)
        self._show_way()
        self._say(sentence)
        self.steps.setPlainText("\n".join(steps))
        self.steps.setVisible(bool(steps))
        self._fit()

    def show_error(self, sentence: str) -> None:
        """Say what went wrong; what was typed stays."""
        self._set_busy(False)
        self._say(sentence)

    # ---- how it looks -------------------------------------------------------------------------

    def _build(self) -> None:
        self.place = QComboBox()
        self.place.setEditable(True)
        self.place.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.place.setCompleter(None)
        line = self.place.lineEdit()
        assert line is not None  # noqa: S101  (the combo box is editable)
        line.setPlaceholderText("s3://bucket, https://host, gs://bucket, az://container?account=…")
        self.about = PlainLabel()
        self.way = QComboBox()
        self.way.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.explained = PlainLabel()
        self.explained.setObjectName("omezarr-help")
        self.fields = QWidget()
        self.form = QFormLayout(self.fields)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.shows_typed = QCheckBox("Show what I type")
        self.shows_typed.toggled.connect(self._mask)
        self.in_keyring = QCheckBox()
        self.region = QLineEdit()
        self.region.setPlaceholderText("found out by itself, if left empty")
        self.pays = QCheckBox("I pay for what I read, not the owner (requester pays)")
        self.pays.setToolTip("What was paid for is counted in the Network dock.")
        self.pays.toggled.connect(self._show_payer)
        self.project = QLineEdit()
        self.project.setPlaceholderText("the Google project that pays")
        self.steps = QPlainTextEdit()  # plain: servers' words are among them
        self.steps.setReadOnly(True)
        self.steps.setMinimumHeight(130)
        self.steps.hide()
        self.status = PlainLabel()
        self.writes = QCheckBox("also try to write a small object, and delete it")
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("For this place and all below it:"))
        layout.addWidget(self.place)
        layout.addWidget(self.about)
        self.rows = QFormLayout()
        self.rows.addRow("Get in with", self.way)
        self.rows.addRow(self.explained)
        self.rows.addRow(self.fields)
        self.rows.addRow(self.shows_typed)
        self.rows.addRow(self.in_keyring)
        self.rows.addRow("Region", self.region)
        self.rows.addRow(self.pays)
        self.rows.addRow("Project", self.project)
        layout.addLayout(self.rows)
        layout.addLayout(self._build_test())
        layout.addWidget(self.status)
        layout.addWidget(self.steps, 1)
        layout.addStretch(0)
        layout.addWidget(self._build_buttons())
        self.setMinimumWidth(_WIDTH_PX)

    def _build_test(self) -> QHBoxLayout:
        self.test_button = QPushButton("Test access")
        self.test_button.setToolTip("Saves what is said above, and tries it step by step.")
        self.test_button.clicked.connect(self._request_test)
        row = QHBoxLayout()
        row.addWidget(self.test_button)
        row.addWidget(self.writes)
        row.addStretch(1)
        return row

    def _build_buttons(self) -> QDialogButtonBox:
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Close)
        self.save_button = QPushButton("Save")
        self.save_button.setDefault(True)
        self.forget_button = QPushButton("Forget")
        self.forget_button.setToolTip("Forget what was said of this place, and its keys.")
        self.buttons.addButton(self.save_button, QDialogButtonBox.ButtonRole.ApplyRole)
        self.buttons.addButton(self.forget_button, QDialogButtonBox.ButtonRole.ResetRole)
        self.save_button.clicked.connect(self._request_save)
        self.forget_button.clicked.connect(self._request_forget)
        self.buttons.rejected.connect(self.reject)
        return self.buttons

    def _say(self, sentence: str) -> None:
        self.status.setText(sentence)
        self._fit()

    def _fit(self) -> None:
        layout = self.layout()
        if layout is not None:
            layout.activate()
            self.resize(self.width(), layout.totalHeightForWidth(self.width()))

    def _set_busy(self, is_busy: bool) -> None:
        self._is_busy = is_busy
        self._enable()

    def _enable(self) -> None:
        can = bool(self._kind) and not self._is_busy
        for each in (self.save_button, self.test_button, self.fields, self.way, self.place):
            each.setEnabled(can or (each is self.place and not self._is_busy))
        self.forget_button.setEnabled(can and self._place() in self._known)

    # ---- what the person does -----------------------------------------------------------------

    def _judge(self, *_: Any) -> None:
        """See what kind of place is typed, and offer its ways."""
        kind, said = "", ""
        self.status.setText("")  # what was said is of another place
        self.steps.hide()
        try:
            location = parse_location(self.place.currentText(), environ={})
        except LinkError as error:
            said = f"{error.what}: {error.why}." if self.place.currentText().strip() else ""
        else:
            if location.kind == "file":
                said = "This is a folder of this computer: nobody asks for keys."
            else:
                kind = location.kind
        known = self._known.get(self._place())
        if known is not None:
            kept = " The keys are in the keyring." if known.in_keyring else ""
            said = f"Known: {known.about.title}.{kept}"
        self.about.setText(said)
        self.about.setVisible(bool(said))
        if kind != self._kind:
            self._kind = kind
            self._offer_ways()
        self._enable()

    def _place(self) -> str:
        try:
            return place_named(parse_location(self.place.currentText(), environ={}))
        except LinkError:
            return ""

    def _offer_ways(self) -> None:
        self.way.blockSignals(True)
        self.way.clear()
        for way in ways_of(self._kind):
            self.way.addItem(way.title, way)
        self.way.blockSignals(False)
        self._show_way()

    def _load(self, _: str) -> None:
        """Show what is known of the place; never its secrets."""
        self._judge()
        known = self._known.get(self._place())
        if known is None:
            return
        self.way.setCurrentIndex(self.way.findText(known.about.title))
        self.region.setText(known.region)
        self.pays.setChecked(known.requester_pays)
        self.project.setText(known.project)
        self._show_way()
        for name in ("profile", "file"):
            line = self._lines.get(name)
            if isinstance(line, QComboBox):
                line.setEditText(getattr(known, name))
            elif line is not None:
                line.setText(getattr(known, name))
        self.in_keyring.setChecked(known.in_keyring)

    @property
    def chosen_way(self) -> Way | None:
        """What is chosen; None where the place is none."""
        way = self.way.currentData()
        return way if isinstance(way, Way) else None

    def _show_way(self, *_: Any) -> None:
        """Show the fields of the way that is chosen."""
        while self.form.rowCount():
            self.form.removeRow(0)
        self._lines = {}
        way = self.chosen_way
        known = self._known.get(self._place())
        for field in way.fields if way else ():
            is_kept = known is not None and way is not None and known.way == way.name
            self.form.addRow(field.title, self._line(field, is_kept=is_kept and field.is_secret))
        self.explained.setText(way.help if way else "")
        self.explained.setVisible(bool(way and way.help))
        self.fields.setVisible(bool(self._lines))
        self.rows.setRowVisible(self.region, self._kind == "s3")
        self.pays.setVisible(self._kind in ("s3", "gs"))
        self._mask()
        self._show_ring()
        self._show_payer()
        self._enable()
        self._fit()

    def _line(self, field: WayField, *, is_kept: bool) -> QWidget:
        if field.name == "profile":
            box = QComboBox()
            box.setEditable(True)
            box.addItems(list(self._profiles))
            self._lines[field.name] = box
            return box
        line = QLineEdit()
        self._lines[field.name] = line
        line.setToolTip(field.help)
        hint = field.help or ("" if field.is_needed else "may be empty")
        line.setPlaceholderText("known; leave it empty to keep it" if is_kept else hint)
        if field.name != "file":
            return line
        row = QWidget()
        choose = QPushButton("Choose…")
        choose.clicked.connect(self._choose_file)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line)
        layout.addWidget(choose)
        return row

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Key file of a service account", "", "*.json")
        line = self._lines.get("file")
        if name and isinstance(line, QLineEdit):
            line.setText(name)

    def _secret_lines(self) -> list[QLineEdit]:
        way = self.chosen_way
        names = [field.name for field in way.fields if field.is_secret] if way else []
        return [line for n in names if isinstance(line := self._lines.get(n), QLineEdit)]

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

    def _show_payer(self, *_: Any) -> None:
        self.rows.setRowVisible(self.project, self._kind == "gs" and self.pays.isChecked())

    def _wish(self) -> AccessWish | None:
        way = self.chosen_way
        if way is None or self._is_busy:
            return None
        typed = {
            name: line.currentText() if isinstance(line, QComboBox) else line.text()
            for name, line in self._lines.items()
        }
        secret = {field.name for field in way.fields if field.is_secret}
        options: dict[str, Any] = {
            name: typed[name].strip() for name in ("profile", "file") if name in typed
        }
        if self._kind == "s3":
            options["region"] = self.region.text().strip()
        if self._kind in ("s3", "gs"):
            options["requester_pays"] = self.pays.isChecked()
        if self._kind == "gs":
            options["project"] = self.project.text().strip()
        options["keyring"] = self.in_keyring.isChecked() and bool(secret)
        given = {name: value for name, value in typed.items() if name in secret and value.strip()}
        return AccessWish(self.place.currentText().strip(), way.name, options, Secrets(given))

    def _request_save(self) -> None:
        if (wish := self._wish()) is not None:
            self.save_requested.emit(wish)

    def _request_test(self) -> None:
        if (wish := self._wish()) is not None:
            self.test_requested.emit(wish, self.writes.isChecked())

    def _request_forget(self) -> None:
        self.forget_requested.emit(self._place())

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Leave no typed secret in a window that is hidden."""
        self._wipe()
        super().closeEvent(event)

    def reject(self) -> None:
        """Close, and leave no typed secret in a window that is hidden."""
        self._wipe()
        super().reject()

    def _wipe(self) -> None:
        self.shows_typed.setChecked(False)
        for line in self._secret_lines():
            line.clear()
