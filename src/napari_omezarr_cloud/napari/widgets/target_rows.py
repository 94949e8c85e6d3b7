"""Where something is written, and how: rows of a form that several windows share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
)

from napari_omezarr_cloud.api import Image, locate, open_async
from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_saving import plan_layers
from napari_omezarr_cloud.napari.saved_names import ENDINGS, shortened
from napari_omezarr_cloud.napari.widgets.save_options import SaveOptions
from napari_omezarr_cloud.pyramid.opened import location_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QFormLayout, QWidget

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.napari.layer_saving import LayerOptions
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["TargetRows"]


@dataclass(frozen=True)
class _Format:
    """What something can be written as."""

    title: str
    version: str
    ending: str
    """Of the target's name."""
    pattern: str = ""
    """Of names that ask for it; empty: it is a folder."""


_FORMATS = {
    "0.5": _Format("OME-Zarr 0.5 (Zarr 3)", "0.5", ".ome.zarr"),
    "0.4": _Format("OME-Zarr 0.4 (Zarr 2), for older software", "0.4", ".ome.zarr"),
    "ozx": _Format("OME-Zarr in one file (.ozx)", "0.5", ".ozx", r"(?i)\.(ozx|zip)$"),
    "tiff": _Format("OME-TIFF, one file", "0.5", ".ome.tif", r"(?i)\.(tiff?|btf)$"),
}


class TargetRows(QObject):
    """Rows for a place and a format; ``more`` and ``options`` are put below by the owner.

    Parameters
    ----------
    form
        Where the rows go.
    parent
        The window.
    """

    changed = Signal()
    """Something else is chosen, or became known."""
    failed = Signal(object)
    """The image that labels would go beside cannot be opened: the error."""

    def __init__(self, form: QFormLayout, parent: QWidget) -> None:
        super().__init__(parent)
        self._window = parent
        self.is_named = False
        """Whether the person named the target."""
        self._folder = Path.home()
        self._images: list[tuple[str, Location]] = []
        self._beside: Image | None = None
        self._opening: Job[Image] | None = None
        self.target = QLineEdit()
        self.target.setPlaceholderText("A folder, s3://bucket/name, gs://… or az://…")
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._browse)
        target = QHBoxLayout()
        target.addWidget(self.target, 1)
        target.addWidget(self.browse)
        self.place, self.version = QComboBox(), QComboBox()
        for box in (self.place, self.version):  # a long link must not widen the window
            box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(14)
        for key, each in _FORMATS.items():
            self.version.addItem(each.title, key)
        self._place_label = QLabel("Where")
        form.addRow(self._place_label, self.place)
        form.addRow("Save to", target)
        form.addRow("Format", self.version)
        self.options = SaveOptions()
        self.options.hide()
        self.more = QToolButton()
        self.more.setText("More")
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setArrowType(Qt.ArrowType.RightArrow)
        self.more.toggled.connect(self._unfold)
        self.target.textEdited.connect(self._on_named)
        self.target.textChanged.connect(self._on_target)
        self.version.currentIndexChanged.connect(self._on_format)
        self.place.currentIndexChanged.connect(self._on_place)
        self.options.changed.connect(self.changed)

    # ---- what is chosen -------------------------------------------------------------------------

    def name(self, target: str) -> None:
        """Choose a target, as the person does."""
        self.place.setCurrentIndex(0)
        self.is_named = True
        self.target.setText(target)

    def chosen(self) -> LayerOptions:
        """Return how layers are written.

        Raises
        ------
        WriteError
            If chunks or shards are no numbers.
        """
        return self.options.options(self._format.version)

    @property
    def is_beside(self) -> bool:
        """Whether labels go beside an image that is there, and lie as that says."""
        return self.place.currentIndex() > 0

    @property
    def _format(self) -> _Format:
        return _FORMATS[self.version.currentData()]

    def planned(self, layers: Sequence[Any], options: LayerOptions, viewer: Any) -> SavePlan:
        """Return what writing layers would do.

        Raises
        ------
        LinkError, WriteError, OperationError
            If there is no place yet, or the layers cannot be written so.
        """
        if self.is_beside and layers:
            if self._beside is None:
                raise WriteError("The image is being looked at", hint="One moment.")
            return plan_layers(layers, self._beside.location, options, beside=self._beside)
        text = self.target.text().strip()
        if not text:
            raise WriteError(
                "It is not said yet where to save",
                hint="Type a folder or a link to a bucket, or browse.",
            )
        location = locate(text, **self.options.way_in())
        return plan_layers(layers, location, options, viewer=viewer)

    # ---- following the layers -------------------------------------------------------------------

    def offer(self, viewer: Any, layers: Sequence[Any], name: str = "") -> None:
        """Offer what suits these layers: levels, images to go beside, a name.

        Parameters
        ----------
        viewer
            Holds them.
        layers
            What would be written.
        name
            For the target, until the person names one; empty: as the layers are called.
        """
        self.options.offer_levels([x for x in layers if not is_labels(x)] or layers)
        self._offer_places(viewer, layers)
        if not self.is_named and layers:
            self._suggest(name or _name_of(layers))

    def _suggest(self, name: str) -> None:
        stem = shortened(re.sub(ENDINGS, "", re.sub(r"[^\w.-]+", "_", name)).strip("._"))
        self.target.setText(str(self._folder / f"{stem or 'image'}{self._format.ending}"))

    def _offer_places(self, viewer: Any, layers: Sequence[Any]) -> None:
        """Offer the images that one labels layer can be put beside."""
        images: dict[str, tuple[str, Location]] = {}
        if len(layers) == 1 and is_labels(layers[0]):
            for layer in viewer.layers:
                view = None if is_labels(layer) else view_of(layer)
                location = None if view is None else location_of(view.pyramid)
                if view is not None and location is not None:
                    images.setdefault(str(location), (view.pyramid.name, location))
        if list(images.values()) != self._images:
            self._images = list(images.values())
            self.place.blockSignals(True)
            self.place.clear()
            self.place.addItem("An image of its own")
            for name, location in self._images:
                self.place.addItem(f"Beside “{name}”, in {location}")
            self.place.blockSignals(False)
            self._on_place()
        for widget in (self.place, self._place_label):
            widget.setVisible(bool(self._images))

    def _on_place(self, *_: Any) -> None:
        """Open the image that the labels go beside: its version decides how they are written."""
        number = self.place.currentIndex() - 1
        self._beside, self._opening = None, None
        if 0 <= number < len(self._images):
            opening = open_async(self._images[number][1])
            self._opening = Job(opening, self._on_image, self.failed.emit, self)
        for widget in (self.target, self.browse, self.version):
            widget.setEnabled(not self.is_beside)
        self.changed.emit()

    def _on_image(self, image: Image) -> None:
        self._beside = image
        self.changed.emit()

    def _on_format(self) -> None:
        """Let the target's name end as the format asks for."""
        text = self.target.text()
        head, question, rest = text.partition("?")  # how to get into a bucket
        if text and self.version.currentData() != self._key_for(head):
            stem = re.sub(ENDINGS, "", head.rstrip("/"))
            self._set_target(f"{stem}{self._format.ending}{question}{rest}")
        self.changed.emit()

    def _on_target(self, text: str) -> None:
        """Take a format from the end of a name."""
        key = self._key_for(text.partition("?")[0])
        if key != self.version.currentData():
            self.version.blockSignals(True)
            self.version.setCurrentIndex(self.version.findData(key))
            self.version.blockSignals(False)
        self.changed.emit()

    def _key_for(self, text: str) -> str:
        """Return the format that a name asks for; of a folder that which is chosen."""
        for key, each in _FORMATS.items():
            if each.pattern and re.search(each.pattern, text):
                return key
        return "0.5" if self._format.pattern else str(self.version.currentData())

    def _set_target(self, text: str) -> None:
        self.target.blockSignals(True)
        self.target.setText(text)
        self.target.blockSignals(False)

    def _on_named(self, text: str) -> None:
        self.is_named = bool(text)

    def _unfold(self, is_open: bool) -> None:
        self.more.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.options.setVisible(is_open)

    def _browse(self) -> None:
        where = self.target.text() or str(self._folder)
        dialog = QFileDialog(self._window, "Save as OME-Zarr", where)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        # We ask by ourselves, and say what is there.
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite, True)
        dialog.fileSelected.connect(self._take_target)
        dialog.open()

    def _take_target(self, path: str) -> None:
        if not re.search(ENDINGS, path):
            path += self._format.ending
        self.is_named, self._folder = True, Path(path).parent
        self.target.setText(path)


def _name_of(layers: Sequence[Any]) -> str:
    view = view_of(layers[0])
    return str(layers[0].name if view is None or len(layers) == 1 else view.pyramid.name)
