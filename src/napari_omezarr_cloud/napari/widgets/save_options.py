"""How layers are written, in boxes with good defaults: the part of the Save dock behind *More*."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.location import Access
from napari_omezarr_cloud.napari.layer_saving import LayerOptions
from napari_omezarr_cloud.napari.visible import level_count, level_of
from napari_omezarr_cloud.store.aws_profiles import profile_names
from napari_omezarr_cloud.write.codecs import CODECS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SaveOptions"]

_METHODS = [("Mean", "mean"), ("Gaussian", "gaussian"), ("Nearest voxel", "nearest")]
_LABELS_METHODS = [("Most frequent label", "mode"), ("Nearest voxel", "nearest")]


class SaveOptions(QWidget):
    """Boxes; ``options`` is what they say."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.chunks, self.shards = QLineEdit(), QLineEdit(), QLineEdit()
        self.factors = QLineEdit()
        self.endpoint, self.region = QLineEdit(), QLineEdit()
        self.level, self.method, self.labels_method, self.codec, self.access = (
            _box() for _ in range(5)
        )
        self.levels = QSpinBox()
        self.levels.setRange(0, 20)
        self.levels.setSpecialValueText("automatic")
        self.name.setPlaceholderText("as the image or layer is called, or its folder")
        self.factors.setPlaceholderText("automatic: until voxels are cubes")
        self.factors.setToolTip(
            "By how much each level is coarser than the one before, per axis of the image:\n"
            "1, 1, 2, 2 for every level, or 1 1 2 2; 1 2 2 2 for one level after the other"
        )
        self.chunks.setPlaceholderText("automatic")
        self.chunks.setToolTip("Voxels per axis of what is read at once: 1, 64, 256, 256")
        self.shards.setPlaceholderText("automatic")
        self.shards.setToolTip(
            "Voxels per axis of an object, multiples of the chunks; “none”: each chunk is one.\n"
            "Automatic: from about a thousand chunks on. OME-Zarr 0.4 has none."
        )
        self.endpoint.setPlaceholderText("of Amazon, if empty")
        self.region.setPlaceholderText("found out, if empty")
        self.level.setToolTip("Which level of the layers becomes the finest one")
        for box, choices in ((self.method, _METHODS), (self.labels_method, _LABELS_METHODS)):
            for text, value in choices:
                box.addItem(text, value)
        for key, codec in CODECS.items():
            self.codec.addItem(codec.title, key)
        self.access.addItem("My credentials, if there are any", Access())
        self.access.addItem("Anonymous", Access(anonymous=True))
        for profile in profile_names():
            self.access.addItem(f"Profile {profile}", Access(anonymous=False, profile=profile))
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        for text, widget in (
            ("Name", self.name),
            ("Finest level", self.level),
            ("Coarser levels", self.method),
            ("… of labels", self.labels_method),
            ("Levels", self.levels),
            ("Factors", self.factors),
            ("Chunks", self.chunks),
            ("Shards", self.shards),
            ("Compression", self.codec),
            ("S3 endpoint", self.endpoint),
            ("S3 region", self.region),
            ("Log in as", self.access),
        ):
            rows.addRow(text, widget)
            if isinstance(widget, QComboBox):
                widget.currentIndexChanged.connect(self._on_change)
            elif isinstance(widget, QSpinBox):
                widget.valueChanged.connect(self._on_change)
            else:
                widget.textChanged.connect(self._on_change)

    def lend_level(self) -> QComboBox:
        """Return the box of levels, to be put into another form."""
        rows = self.layout()
        label = rows.labelForField(self.level) if isinstance(rows, QFormLayout) else None
        if label is not None:
            label.hide()
        return self.level

    def offer_levels(self, layers: Sequence[Any]) -> None:
        """Offer the levels that all of these layers have; the chosen one stays if it is there."""
        count = min(map(level_count, layers), default=1)
        texts = ["0" if not layers else _level_text(layers[0], n) for n in range(count)]
        if [self.level.itemText(n) for n in range(self.level.count())] == texts:
            return
        before = max(self.level.currentIndex(), 0)
        self.level.blockSignals(True)
        self.level.clear()
        self.level.addItems(texts)
        self.level.setCurrentIndex(before if before < count else 0)
        self.level.blockSignals(False)

    def options(self, version: Any) -> LayerOptions:
        """Return what is chosen.

        Raises
        ------
        WriteError
            If chunks or shards are no numbers.
        """
        chunks = _numbers("Chunks", self.chunks.text())
        shards: tuple[int, ...] | Literal["auto"] | None = None
        if self.shards.text().strip().lower() != "none":
            shards = _numbers("Shards", self.shards.text()) or "auto"
        return LayerOptions(
            name=self.name.text().strip(),
            version=version,
            level=max(self.level.currentIndex(), 0),
            method=self.method.currentData(),
            labels_method=self.labels_method.currentData(),
            levels=self.levels.value() or None,
            factors=_factors(self.factors.text()),
            chunks=chunks,
            shards=shards,
            codec=self.codec.currentData(),
        )

    def way_in(self) -> dict[str, Any]:
        """Return endpoint, region and credentials as `locate` takes them."""
        access: Access = self.access.currentData()
        return {
            "endpoint": self.endpoint.text().strip() or None,
            "region": self.region.text().strip() or None,
            "anonymous": access.anonymous,
            "profile": access.profile,
        }

    def _on_change(self, *_: Any) -> None:
        self.changed.emit()


def _level_text(layer: Any, number: int) -> str:
    shape = level_of(layer, number).shape
    return f"{number}: {' × '.join(map(str, shape))}"


def _factors(text: str) -> tuple[tuple[int, ...], ...] | None:
    steps = (_numbers("Factors", part) for part in text.split(";"))
    return tuple(step for step in steps if step is not None) or None


def _numbers(what: str, text: str) -> tuple[int, ...] | None:
    if not text.strip():
        return None
    words = re.split(r"[\s,;x×]+", text.strip(" ,;()[]"))
    if not all(word.isdecimal() for word in words):
        raise WriteError(
            f"{what} “{text}” are not understood",
            why="they are whole numbers, one per axis",
            hint="For instance 1, 64, 256, 256.",
        )
    return tuple(map(int, words))


def _box() -> QComboBox:
    box = QComboBox()
    box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box
