"""The *Open URL* dialog: a link, what was understood of it, how to get in. Opens nothing itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QIntValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links import LONGEST, Link, let_in, read_link
from napari_omezarr_cloud.location import Access, Location, understood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QMimeData
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

__all__ = ["OpenDialog"]

_AUTOMATIC, _ANONYMOUS = Access(), Access(anonymous=True)
_WIDTH_PX = 620


class OpenDialog(QDialog):
    """Asks for a link and how to get in; stays open, and usable, while something is opened."""

    open_requested = Signal(object)
    """The `Location` to open, or the `Link` of another viewer."""
    cancel_requested = Signal()
    access_requested = Signal(object)
    """The `Location` that refused, or whose ways in are asked for; None: none is typed."""
    default_requested = Signal(bool)
    """Whether ``.zarr`` shall always be opened with this plugin."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("omezarr-open-url")
        self.setWindowTitle("Open URL")
        self.setAcceptDrops(True)
        self.is_opening = False
        self._location: Location | Link | None = None
        self._build()
        self.link.editTextChanged.connect(self._judge)
        self.endpoint.textChanged.connect(self._judge)
        self.region.textChanged.connect(self._judge)
        self.access.currentIndexChanged.connect(self._judge)
        self._judge()

    # what the caller says

    def offer(self, text: str) -> None:
        """Put a link into the field if it is empty, selected so that typing replaces it."""
        if text and not self.link.currentText():
            self.link.setEditText(text)
        self.line_edit.setFocus()
        self.line_edit.selectAll()

    def set_recent_links(self, links: Sequence[str]) -> None:
        """Fill the drop-down; what is typed stays."""
        typed = self.link.currentText()
        self.link.clear()
        self.link.addItems(list(links))
        self.link.setEditText(typed)

    def set_profiles(self, names: Sequence[str]) -> None:
        """Offer profiles as ways in; what is chosen stays if it is still there."""
        chosen = self.access.currentText()
        self.access.clear()
        self.access.addItem("Automatic: anonymous first, then my credentials", _AUTOMATIC)
        self.access.addItem("Anonymous", _ANONYMOUS)
        for name in names:
            self.access.addItem(f"Profile {name}", Access(anonymous=False, profile=name))
        self.access.setCurrentIndex(max(self.access.findText(chosen), 0))

    def set_default(self, is_ours: bool) -> None:
        """Show whether ``.zarr`` is opened with this plugin by default."""
        self.default.setChecked(is_ours)

    def show_progress(self, text: str) -> None:
        """Say what is being opened, and offer to cancel it."""
        self._set_opening(True)
        self._say(text)

    def show_error(self, sentence: str, *, is_refused: bool = False) -> None:
        """Say what went wrong; what was typed stays. Refused: offer to say how to get in."""
        self._set_opening(False)
        self.access_button.setVisible(is_refused or self.unfold.isChecked())
        self._say(sentence, is_wrong=True)
        self.line_edit.setFocus()

    def finish(self) -> None:
        """Close after the image was shown; the link is in the drop-down from now on."""
        self._set_opening(False)
        self.link.clearEditText()
        self.accept()

    # how it looks

    def _build(self) -> None:
        self.link = QComboBox()
        self.link.setEditable(True)
        self.link.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.link.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.link.setToolTip("The arrow shows links opened lately, without their secrets.")
        # A completed link looks like one that was pasted, and is another one.
        self.link.setCompleter(None)
        self.line_edit.setMaxLength(LONGEST)  # a whole view of neuroglancer in a link
        self.line_edit.setPlaceholderText("s3://bucket/image.zarr, https://…, or a folder")
        self.line_edit.setClearButtonEnabled(True)
        # Dropped on the field, a link would be put into the middle of the one that is there.
        self.line_edit.setAcceptDrops(False)
        self.status = _text()
        self.status.setMinimumHeight(self.fontMetrics().lineSpacing() * 2)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.hide()
        self.default = QCheckBox("Open .zarr with this plugin by default")
        self.default.setToolTip("napari then no longer asks which reader to use for .zarr.")
        self.default.clicked.connect(self.default_requested)

        layout = QVBoxLayout(self)
        layout.addWidget(
            _text("Paste the link of an OME-Zarr image, or drop a link or folder here.")
        )
        layout.addWidget(self.link)
        layout.addWidget(self.status)
        layout.addWidget(self.progress)
        self.access_button = QPushButton("Access to this place…")
        self.access_button.setAutoDefault(False)
        self.access_button.setToolTip("Keys, tokens, profiles: who you are there.")
        self.access_button.clicked.connect(self._request_access)
        self.access_button.hide()
        layout.addWidget(self.access_button, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._build_advanced())
        layout.addWidget(self.advanced)
        layout.addWidget(self.default)
        layout.addStretch(1)
        layout.addWidget(self._build_buttons())
        self.setMinimumWidth(_WIDTH_PX)

    def _build_advanced(self) -> QToolButton:
        self.endpoint = QLineEdit()
        self.endpoint.setPlaceholderText("https://host[:port] of an S3 server that is not Amazon's")
        self.region = QLineEdit()
        self.region.setPlaceholderText("found out by itself, if left empty")
        self.access = QComboBox()
        self.set_profiles([])
        self.axes = QLineEdit()
        self.axes.setPlaceholderText("as the metadata say; otherwise tczyx, or time,y,x")
        self.axes.setToolTip("Names of the array's axes, in their order: for plain Zarr arrays.")
        self.field = QLineEdit()
        self.field.setPlaceholderText(
            "of a plate: the first of each well; otherwise 1, 2 …, or all"
        )
        self.field.setToolTip("Which field of each well, counted from 0 in the order listed.")
        self.acquisition = QLineEdit()
        self.acquisition.setPlaceholderText("of a plate: any; otherwise the id of one")
        self.acquisition.setValidator(QIntValidator(0, 2**31 - 1, self.acquisition))
        self.advanced = QWidget()
        form = QFormLayout(self.advanced)
        form.addRow("Endpoint", self.endpoint)
        form.addRow("Region", self.region)
        form.addRow("Access", self.access)
        form.addRow("Axes", self.axes)
        form.addRow("Field", self.field)
        form.addRow("Acquisition", self.acquisition)
        self.advanced.hide()
        unfold = QToolButton()
        unfold.setText("Advanced")
        unfold.setCheckable(True)
        unfold.setAutoRaise(True)
        unfold.setArrowType(Qt.ArrowType.RightArrow)
        unfold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        unfold.toggled.connect(self._unfold)
        self.unfold = unfold
        return unfold

    def _build_buttons(self) -> QDialogButtonBox:
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.open_button = QPushButton("Open")
        self.open_button.setDefault(True)
        self.buttons.addButton(self.open_button, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self._request)
        self.buttons.rejected.connect(self.reject)
        return self.buttons

    @property
    def chosen_acquisition(self) -> int | None:
        """The id that was typed; None: any."""
        text = self.acquisition.text().strip()
        return int(text) if text else None

    @property
    def line_edit(self) -> QLineEdit:
        """The field in which the link is typed."""
        field = self.link.lineEdit()
        assert field is not None  # noqa: S101  (the combo box is editable)
        return field

    def _unfold(self, is_open: bool) -> None:
        self.unfold.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.advanced.setVisible(is_open)
        self.access_button.setVisible(is_open)
        self._fit()

    def _set_opening(self, is_opening: bool) -> None:
        self.is_opening = is_opening
        self.progress.setVisible(is_opening)
        for field in (self.link, self.advanced):
            field.setEnabled(not is_opening)
        self.open_button.setEnabled(not is_opening and self._location is not None)

    def _say(self, text: str, *, is_wrong: bool = False) -> None:
        self.status.setText(_breakable(text))
        self.status.setStyleSheet(f"color: {_warning_color()}" if is_wrong else "")
        # Qt would squeeze the fields for more lines; shrinking while one types would be restless.
        self._fit(at_least=self.height())

    def _fit(self, at_least: int = 0) -> None:
        layout = self.layout()
        if layout is not None:
            layout.activate()
            self.resize(self.width(), max(layout.totalHeightForWidth(self.width()), at_least))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin at the size that the text of now needs."""
        super().showEvent(event)
        self._fit()

    # what the person does

    def _judge(self, *_: Any) -> None:
        """Say what was understood of the fields, or what is wrong with them."""
        text = self.link.currentText().strip()
        self._location = None
        if not text:
            self._say("")
        else:
            try:
                self._location = self._understand(text)
                self._say(_capitalised(_understood(self._location)))
            except LinkError as error:
                self._say(_complaint(error), is_wrong=True)
        self.open_button.setEnabled(self._location is not None)

    def _understand(self, text: str) -> Location | Link:
        link = read_link(text, endpoint=self.endpoint.text().strip() or None)
        link = let_in(link, self._let_in)
        return link if link.viewer else link.sources[0].location

    def _let_in(self, location: Location) -> Location:
        chosen: Access = self.access.currentData() or _AUTOMATIC
        access = location.access
        if chosen != _AUTOMATIC:  # chosen here goes before what the link says
            access = replace(access, anonymous=chosen.anonymous, profile=chosen.profile)
        region = self.region.text().strip()
        return replace(location, access=replace(access, region=region or access.region))

    def _request(self) -> None:
        if self._location is not None and not self.is_opening:
            self.open_requested.emit(self._location)

    def _request_access(self) -> None:
        found = self._location
        if isinstance(found, Link):
            found = found.sources[0].location if found.sources else None
        self.access_requested.emit(found)

    def reject(self) -> None:
        """Cancel what is being opened; where nothing is, close."""
        if self.is_opening:
            self.cancel_requested.emit()
            self._set_opening(False)
            self._judge()
        else:
            super().reject()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept links, folders and text."""
        if event is not None and not self.is_opening and _dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Take what was dropped for the link."""
        if event is not None and not self.is_opening:
            self.link.setEditText(_dropped(event.mimeData()))
            event.acceptProposedAction()


def _dropped(mime: QMimeData | None) -> str:
    """Return the link or path in what is dragged."""
    if mime is None:
        return ""
    if "text/plain" in mime.formats():
        return mime.text().strip()
    # Qt shows "%20" as a blank and "%23" as "#" unless told not to.
    encoded = QUrl.ComponentFormattingOption.FullyEncoded
    links = [u.toLocalFile() or u.toString(encoded) for u in mime.urls()]
    return "\n".join(links)


def _text(text: str = "") -> QLabel:
    """Return a label that wraps, can be copied from, and takes nothing for markup."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    return label


def _breakable(text: str) -> str:
    """Let a long link be wrapped: after slashes, and within words no line could hold."""
    return re.sub(r"(/(?=[^/])|\S{12}(?=\S))", "\\1\u200b", text)


def _complaint(error: LinkError) -> str:
    """Return an error's sentence without the link, which stands right above it."""
    why = f": {error.why}" if error.why else ""
    return f"{error.what}{why}. {error.hint}".strip()


def _understood(found: Location | Link) -> str:
    """Return in words what a link was taken for."""
    if isinstance(found, Location):
        return understood(found)
    if found.lookup is not None and not found.sources:
        return f"{found.viewer}: {found.lookup.location} will be asked for {found.lookup.reason}"
    more = len(found.sources) - 1
    others = f", and {more} more image{'s' if more > 1 else ''}" if more else ""
    return f"{found.viewer} link: {understood(found.sources[0].location)}{others}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _warning_color() -> str:
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    return str(get_theme(get_settings().appearance.theme).warning.as_hex())
