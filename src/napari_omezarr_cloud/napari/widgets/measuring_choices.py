"""What is measured, and of which objects: labels, images, properties, the visible or all."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGridLayout, QLabel, QWidget

from napari_omezarr_cloud.napari.inputs import is_labels
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.region_table import (
    MAX_BYTES,
    image_names,
    is_grey_image,
    needed_bytes,
    pixel_text,
)
from napari_omezarr_cloud.napari.region_text import bytes_text
from napari_omezarr_cloud.napari.visible import level_count, level_of, visible_region
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.layer_checks import LayerChecks
from napari_omezarr_cloud.napari.widgets.level_box import LevelBox, LevelChoice

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MeasuringChoices"]

_GROUPS = {
    "size": ("Size", "Area or volume, and the diameter of a circle or ball of that size"),
    "position": ("Position", "Centre and bounding box"),
    "intensity": ("Intensity", "Mean, lowest, highest, spread, sum, median, weighted centre"),
    "shape": (
        "Shape",
        "Axes, eccentricity, solidity … takes a second per 1000 objects, in 3D per 30",
    ),
}


class MeasuringChoices(QWidget):
    """Rows of boxes; `changed` when one of them is another.

    Parameters
    ----------
    viewer
        Whose layers; it is not kept alive.
    """

    changed = Signal()
    """Other images or properties, another level."""
    labels_changed = Signal()
    """Other labels, or all of their objects instead of the visible ones."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self.labels_box = LayerBox(viewer, follows=True, accepts=is_labels)
        self.image_checks = LayerChecks(viewer, is_grey_image, image_names)
        self.image_checks.setToolTip("Images whose grey values are measured under the objects")
        self.level_box = LevelBox()
        self.level_box.setToolTip("Finer levels measure small objects better, and take longer")
        self.groups = {}
        boxes = QGridLayout()
        boxes.setContentsMargins(0, 0, 0, 0)
        for place, (name, (title, tip)) in enumerate(_GROUPS.items()):
            box = QCheckBox(title)
            box.setToolTip(tip)
            box.setChecked(True)
            box.toggled.connect(self.changed)
            boxes.addWidget(box, place // 2, place % 2)
            self.groups[name] = box
        self.part_box = QComboBox()
        self.part_box.addItems(["What is visible", "The whole image"])
        self.by_plane = QCheckBox("Each plane alone, in 2D")
        self.by_plane.setToolTip("For labels that were made plane by plane")
        self._level_label = QLabel("Level")
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("Labels", self.labels_box)
        rows.addRow("Images", self.image_checks)
        rows.addRow("Measure", boxes)
        rows.addRow("Region", self.part_box)
        rows.addRow("", self.by_plane)
        rows.addRow(self._level_label, self.level_box)
        self.by_plane.setVisible(False)
        self.labels_box.layer_changed.connect(self.labels_changed)
        self.part_box.currentIndexChanged.connect(self._on_part)
        self.image_checks.layers_changed.connect(self.changed)
        self.by_plane.toggled.connect(self.changed)
        self.level_box.level_changed.connect(self.changed)

    @property
    def labels(self) -> Any | None:
        """The chosen labels layer."""
        return self.labels_box.layer

    @property
    def properties(self) -> list[str]:
        """Of ``size``, ``position``, ``intensity`` and ``shape``, those that are ticked."""
        return [name for name, box in self.groups.items() if box.isChecked()]

    @property
    def images(self) -> list[Any]:
        """The ticked images; none where no intensity is measured."""
        return self.image_checks.layers if self.groups["intensity"].isChecked() else []

    @property
    def is_whole(self) -> bool:
        """Whether all objects are measured."""
        return bool(self.part_box.currentIndex())

    @property
    def level(self) -> int | None:
        """The chosen level; None is the one on screen, of the whole image the finest."""
        return self.level_box.level

    def choose(
        self,
        labels: Any = None,
        images: Iterable[Any] | None = None,
        properties: Iterable[str] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        """Choose all but the level, whose boxes depend on these; None leaves what is chosen."""
        self.part_box.setCurrentIndex(int(whole))
        if labels is not None:
            self.labels_box.choose(labels)
        if images is not None:
            self.image_checks.choose(images)
        if properties is not None:
            wanted = set(properties)
            for name, box in self.groups.items():
                box.setChecked(name in wanted)

    def refresh(self) -> None:
        """Take over the viewer's layers."""
        self.labels_box.refresh()
        self.image_checks.refresh()

    def watch(self) -> None:
        """Keep up with the viewer from now on."""
        self.labels_box.watch()
        self.image_checks.watch()

    def unwatch(self) -> None:
        """Leave the viewer alone."""
        self.labels_box.unwatch()
        self.image_checks.unwatch()

    def fit(self) -> None:
        """Suggest images that suit the labels, and offer their levels."""
        viewer, layer = self._viewer(), self.labels
        if viewer is None or layer is None or layer not in viewer.layers:
            self._show_level_box(False)
            return
        # Each time: the image that was suggested may be gone, or a better one have come.
        self.image_checks.suggest(_suggested_images(viewer, layer))
        count = level_count(layer)
        if self.is_whole:
            shapes = [reversed(level_of(layer, number).shape) for number in range(count)]
            texts = [" × ".join(map(str, shape)) for shape in shapes]
            choices = [LevelChoice(f"Level {n} · {text} px") for n, text in enumerate(texts)]
            self.level_box.show_levels(choices, "The finest level")
        else:
            self.level_box.show_levels([self._visible(viewer, layer, n) for n in range(count)])
        self._show_level_box(count > 1)

    def _visible(self, viewer: Any, layer: Any, number: int) -> LevelChoice:
        """Return what is said of a level of which the visible part is measured."""
        seen = visible_region(viewer, layer, number)
        if seen is None:
            return LevelChoice(f"Level {number}")
        is_small = needed_bytes(seen, self.image_checks.layers) <= MAX_BYTES
        size = bytes_text(seen.nbytes) if is_small else "too large, zoom in"
        return LevelChoice(f"Level {number} · {pixel_text(seen)} · {size}", is_small)

    def _show_level_box(self, is_shown: bool) -> None:
        for widget in (self.level_box, self._level_label):
            widget.setVisible(is_shown)

    def _on_part(self) -> None:
        self.by_plane.setVisible(self.is_whole)
        self.level_box.choose(None)
        self.labels_changed.emit()


def _suggested_images(viewer: Any, labels: Any) -> list[Any]:
    """Return the images that labels belong to; else the topmost one that is visible."""
    images = [layer for layer in reversed(viewer.layers) if is_grey_image(layer)]
    source = _source(labels)
    siblings = [layer for layer in images if source and _source(layer) == source]
    return siblings or [layer for layer in images if layer.visible][:1]


def _source(layer: Any) -> str:
    about = layer.metadata.get(METADATA_KEY)
    return str(about.get("source", "")) if isinstance(about, dict) else ""
