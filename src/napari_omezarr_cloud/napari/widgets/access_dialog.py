"""*Access to this place*: who one is there, tried at once. Asks for it all; does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
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
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.way_fields import WayFields
from napari_omezarr_cloud.store.keys import Secrets
from napari_omezarr_cloud.store.ways import Way, way_of, ways_of

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
        self._bucket_at = ("", "")
        self._kind = ""
        self._is_busy = False
        self._build()
        self.place.editTextChanged.connect(self._judge)
        self.place.textActivated.connect(self._load)
        self.way.currentIndexChanged.connect(self._show_way)
        self._judge()
        self._show_way()

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
        self.fields.set_profiles(names)

    def set_keyring(self, name: str | None) -> None:
        """Say what the system's keyring is called; None: there is none."""
        self.fields.set_keyring(name)

    def show_place(self, place: str, bucket: str = "") -> None:
        """Begin with a place, and with what is known of it.

        ``bucket`` is what it is called if its web server is one of S3; empty: it cannot be.
        """
        self._bucket_at = (place, bucket)
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
        self.bucket_button = QPushButton("Sign in with S3 keys…")
        self.bucket_button.setToolTip(
            "For a bucket of MinIO, Ceph or another S3 server: takes it as s3://…, with keys or a "
            "profile. Its web links, too, are then read so."
        )
        self.bucket_button.clicked.connect(self._take_as_bucket)
        self.way = QComboBox()
        self.way.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.explained = PlainLabel()
        self.explained.setObjectName("omezarr-help")
        self.fields = WayFields()
        self.endpoint = QLineEdit()
        self.endpoint.setPlaceholderText("https://host[:port] of an S3 server that is not Amazon's")
        self.endpoint.textChanged.connect(self._judge)
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
        layout.addWidget(self.bucket_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.rows = QFormLayout()
        self.rows.addRow("Get in with", self.way)
        self.rows.addRow(self.explained)
        self.rows.addRow(self.fields)
        self.rows.addRow("Endpoint", self.endpoint)
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
        can, place = bool(self._kind) and not self._is_busy, self._place()
        self.fields.setEnabled(can)
        self.way.setEnabled(can)
        self.save_button.setEnabled(can and bool(place))
        self.test_button.setEnabled(can and bool(place))
        self.place.setEnabled(not self._is_busy)
        self.forget_button.setEnabled(can and place in self._known)

    # ---- what the person does -----------------------------------------------------------------

    def _judge(self, *_: Any) -> None:
        """See what kind of place is typed, and offer its ways."""
        kind, said, names_server = "", "", False
        self.status.setText("")  # what was said is of another place
        self.steps.hide()
        try:
            typed = parse_location(self.place.currentText(), environ={})
            kind = "" if typed.kind == "file" else typed.kind
            names_server = typed.endpoint is not None
            self._location()
            if not kind:
                said = "This is a folder of this computer: nobody asks for keys."
        except LinkError as error:
            said = f"{error.what}: {error.why}." if self.place.currentText().strip() else ""
        known = self._known.get(self._place())
        if known is not None:
            kept = " The keys are in the keyring." if known.in_keyring else ""
            said = f"Known: {known.about.title}.{kept}"
        self.about.setText(said)
        self.about.setVisible(bool(said))
        place, bucket = self._bucket_at
        self.bucket_button.setVisible(bool(bucket) and self._place() == place)
        if kind != self._kind:
            self._kind = kind
            self._offer_ways()
        self.rows.setRowVisible(self.endpoint, kind == "s3" and not names_server)
        self._enable()

    def _location(self) -> Location:
        """Return the place that is typed, at the server that is typed where it names none.

        Raises
        ------
        LinkError
            If it is none.
        """
        endpoint = self.endpoint.text().strip() or None
        return parse_location(self.place.currentText(), endpoint=endpoint, environ={})

    def _place(self) -> str:
        try:
            return place_named(self._location())
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
        """Show what is known of the place, which may be nothing; never its secrets."""
        self.endpoint.clear()
        self._judge()
        known = self._known.get(self._place())
        way = self.way.findText(known.about.title) if known else 0
        self.way.setCurrentIndex(way)
        self.region.setText(known.region if known else "")
        self.pays.setChecked(known is not None and known.requester_pays)
        self.project.setText(known.project if known else "")
        self._show_way()
        if known is not None:
            self.fields.fill(known)

    def _take_as_bucket(self) -> None:
        self.show_place(self._bucket_at[1])
        if self._place() not in self._known:
            self.way.setCurrentIndex(self.way.findText(way_of("keys").title))

    @property
    def chosen_way(self) -> Way | None:
        """What is chosen; None where the place is none."""
        way = self.way.currentData()
        return way if isinstance(way, Way) else None

    def _show_way(self, *_: Any) -> None:
        """Show the fields of the way that is chosen."""
        way = self.chosen_way
        self.fields.show_way(way, self._known.get(self._place()))
        self.explained.setText(way.help if way else "")
        self.explained.setVisible(bool(way and way.help))
        self.rows.setRowVisible(self.way, bool(self._kind))
        self.rows.setRowVisible(self.region, self._kind == "s3")
        self.pays.setVisible(self._kind in ("s3", "gs"))
        self._show_payer()
        self._enable()
        self._put_in_order()
        self._fit()

    def _put_in_order(self) -> None:
        """Let the tabulator go from top to bottom: lines that are made later would come last.

        Who types without looking would type a secret into a field that is shown and kept.
        """
        below = (self.endpoint, self.region, self.pays, self.project, self.test_button)
        order = [self.way, *self.fields.inputs, *below, self.writes, self.save_button]
        for first, second in pairwise(order):
            self.setTabOrder(first, second)

    def _show_payer(self, *_: Any) -> None:
        self.rows.setRowVisible(self.project, self._kind == "gs" and self.pays.isChecked())

    def _wish(self) -> AccessWish | None:
        way = self.chosen_way
        if way is None or self._is_busy:
            return None
        options = dict(self.fields.options)
        if self._kind == "s3":
            options["region"] = self.region.text().strip()
            options["endpoint"] = self.endpoint.text().strip() or None
        if self._kind in ("s3", "gs"):
            options["requester_pays"] = self.pays.isChecked()
        if self._kind == "gs":
            options["project"] = self.project.text().strip()
        place = self.place.currentText().strip()
        return AccessWish(place, way.name, options, Secrets(self.fields.secrets))

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
        self.fields.wipe()
        super().closeEvent(event)

    def reject(self) -> None:
        """Close, and leave no typed secret in a window that is hidden."""
        self.fields.wipe()
        super().reject()
