"""Which part of an open image: image, region, planes, levels; with what each level takes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_omezarr_cloud import offline
from napari_omezarr_cloud.napari.notices import plain
from napari_omezarr_cloud.napari.offline_text import box_text, level_text
from napari_omezarr_cloud.napari.shown_images import Box, ShownImage, box_in_view, shown_images
from napari_omezarr_cloud.napari.view_watch import ViewWatch
from napari_omezarr_cloud.napari.widgets.level_list import LevelList
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.plane_range import PlaneRange
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari_omezarr_cloud.offline import OfflinePlan
    from napari_omezarr_cloud.pyramid import Pyramid

__all__ = ["OfflineChoices", "OfflineWish"]


@dataclass(frozen=True)
class OfflineWish:
    """What the person would have kept."""

    pyramid: Pyramid
    region: Region
    """In voxels of level 0."""
    levels: tuple[int, ...]
    labels: bool

    def begin_plan(self) -> Future[OfflinePlan]:
        """Begin to work out what it takes."""
        box = [slice(a, b) for a, b in zip(self.region.start, self.region.stop, strict=True)]
        return offline.plan_offline_async(self.pyramid, box, self.levels, labels=self.labels)


class OfflineChoices(QWidget):
    """Follows the view between `start` and `stop`, as far as the person has not chosen.

    Parameters
    ----------
    viewer
        Whose images; it is not kept alive.
    """

    changed = Signal()
    """Something else is chosen or in view."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._box: Box | None = None
        self.images: list[ShownImage] = []
        self.wish: OfflineWish | None = None
        """What is chosen; None where nothing can be."""
        self.trouble = ""
        """Why nothing can be."""
        self.image_box = QComboBox()
        self.image_box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.image_box.setMinimumContentsLength(18)
        self.image_box.activated.connect(self._take_image)
        self.region_box = QComboBox()
        self.region_box.addItems(["What is in view", "The whole image"])
        self.region_box.currentIndexChanged.connect(self.look)
        self.place = PlainLabel()
        self.planes: dict[int, PlaneRange] = {}
        """By axis of the image."""
        self.levels = LevelList()
        self.levels.changed.connect(self.look)
        self.labels = QCheckBox("Its label images, too")
        self.labels.setChecked(True)
        self.labels.toggled.connect(self.look)
        self._form = QFormLayout()
        self._form.addRow("Image", self.image_box)
        self._form.addRow("Region", self.region_box)
        self._form.addRow("", self.place)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._form)
        column.addWidget(self.levels)
        column.addWidget(self.labels)
        self._watch = ViewWatch(viewer, self)
        self._watch.changed.connect(self.look)

    def start(self) -> None:
        """Follow the viewer, and offer its images."""
        for emitter in self._list_emitters():
            emitter.connect(self._on_layers)
        self._watch.start()
        self._on_layers()

    def stop(self) -> None:
        """Leave the viewer alone, and hold none of its layers."""
        for emitter in self._list_emitters():
            emitter.disconnect(self._on_layers)
        self._watch.stop()
        self._watch.watch_layer(None)
        self.images, self.wish = [], None

    def _list_emitters(self) -> list[Any]:
        viewer = self._viewer()
        return (
            [] if viewer is None else [viewer.layers.events.inserted, viewer.layers.events.removed]
        )

    def _on_layers(self, event: Any = None) -> None:
        """Offer the images that are open; stay with the one that was chosen, if it is."""
        viewer = self._viewer()
        if viewer is None:
            return
        before = self._image
        self.images = shown_images(viewer)
        pyramids = [each.pyramid for each in self.images]
        self.image_box.clear()
        for number, each in enumerate(self.images):
            self.image_box.addItem(each.name)
            self.image_box.setItemData(number, plain(each.where), Qt.ItemDataRole.ToolTipRole)
        if before is not None and before.pyramid in pyramids:
            self.image_box.setCurrentIndex(pyramids.index(before.pyramid))
            self.look()
        else:
            self._take_image()

    @property
    def _image(self) -> ShownImage | None:
        index = self.image_box.currentIndex()
        return self.images[index] if 0 <= index < len(self.images) else None

    def _take_image(self) -> None:
        image = self._image
        self._watch.watch_layer(None if image is None else image.layer)
        self.levels.begin(0 if image is None else len(image.pyramid.levels))
        self._offer_planes((), ())
        self.look()

    def look(self) -> None:
        """Take over the view and the choices."""
        viewer, image = self._viewer(), self._image
        box = None if viewer is None or image is None else box_in_view(viewer, image)
        if image is None:
            self.trouble = (
                "No image from a server is open here; what is on this machine needs no network."
            )
        elif box is None:
            self.trouble = "Nothing of this image is in view. Move it there, or go home."
        self._box, self.wish = box, None
        if image is not None and box is not None:
            region = self._region(image, box)
            self.levels.follow(box.level)
            levels, labels = tuple(self.levels.chosen), self.labels.isChecked()
            self.wish = OfflineWish(image.pyramid, region, levels, labels)
            names = [axis.name for axis in image.pyramid.axes]
            self.place.setText(box_text(names, box.displayed, region))
        self.changed.emit()

    def _region(self, image: ShownImage, box: Box) -> Region:
        shape = image.pyramid.levels[0].grid.shape
        is_whole = self.region_box.currentIndex() == 1
        region = Region.whole(shape) if is_whole else box.region
        start, stop = list(region.start), list(region.stop)
        rest = [n for n, size in enumerate(shape) if n not in box.displayed and size > 1]
        if rest != list(self.planes):
            self._offer_planes(rest, shape)
            names = [axis.name for axis in image.pyramid.axes]
            for axis, rows in self.planes.items():
                self._form.addRow(_planes_name(names[axis]), rows)
        for axis, rows in self.planes.items():
            rows.follow(start[axis], stop[axis])
            start[axis], stop[axis] = rows.span
        return Region(tuple(start), tuple(stop))

    def _offer_planes(self, axes: Any, shape: Any) -> None:
        for rows in self.planes.values():
            self._form.removeRow(rows)
        self.planes = {axis: PlaneRange(shape[axis]) for axis in axes}
        for rows in self.planes.values():
            rows.changed.connect(self.look)

    def show_needs(self, planned: OfflinePlan | None, share: float | None) -> None:
        """Say what each level takes.

        Parameters
        ----------
        planned
            For the levels that are chosen; None: not known yet.
        share
            Bytes on disk per byte of voxels, for the others; None: not known.
        """
        wish, box = self.wish, self._box
        if wish is None or box is None:
            return
        known = {} if planned is None else {each.number: each for each in planned.levels}
        self.levels.show_texts(
            [
                level_text(
                    known.get(needs.number, needs),
                    box.displayed,
                    share=share,
                    is_on_screen=needs.number == box.level,
                )
                for needs in offline.level_needs(wish.pyramid, wish.region)
            ]
        )


def _planes_name(axis: str) -> str:
    return {"t": "Time points", "c": "Channels"}.get(axis, f"Planes along {axis}")
