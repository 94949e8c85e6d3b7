"""What a voxel measures, as the layers say it, and as it is written: rows of a form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff.units import micrometres, seconds

if TYPE_CHECKING:
    from qtpy.QtWidgets import QFormLayout

    from napari_omezarr_cloud.napari.placed_layers import Placed

__all__ = ["VoxelSize"]

_LENGTHS = [("nm", "nanometer"), ("µm", "micrometer"), ("mm", "millimeter")]
_TIMES = [("ms", "millisecond"), ("s", "second"), ("min", "minute"), ("h", "hour")]
_SEVERAL = "several"
_UNIT_LETTERS = 7


class VoxelSize(QObject):
    """A row for the axes of space, and one for that of time where there is one.

    Parameters
    ----------
    form
        Where the rows go.
    parent
        The window.
    """

    changed = Signal()

    def __init__(self, form: QFormLayout, parent: QObject) -> None:
        super().__init__(parent)
        self.space = _Row(form, "Voxel size", _LENGTHS, micrometres)
        self.time = _Row(form, "Time step", _TIMES, seconds)
        for row in (self.space, self.time):
            row.sizes.textChanged.connect(self._on_change)
            row.unit.currentIndexChanged.connect(self._on_change)

    def offer(self, placed: Placed | None, *, is_free: bool = True) -> None:
        """Show what a layer says; what the person said stays until that is something else.

        Parameters
        ----------
        placed
            The layer; None: there is none.
        is_free
            Whether the person may say something else.
        """
        axes = [] if placed is None else list(zip(placed.axes, placed.transform.scale, strict=True))
        for row, kind in ((self.space, "space"), (self.time, "time")):
            row.offer([(a.name, size, a.unit) for a, size in axes if a.type == kind], is_free)

    def chosen(self) -> dict[str, Any]:
        """Return what the person said, as `LayerOptions` takes it.

        Raises
        ------
        WriteError
            If it is no size.
        """
        return {
            "voxel_size": self.space.said_sizes() | self.time.said_sizes(),
            "units": self.space.said_units() | self.time.said_units(),
        }

    def _on_change(self, *_: Any) -> None:
        self.changed.emit()


class _Row:
    """Numbers, one for each axis, and their unit."""

    def __init__(
        self, form: QFormLayout, title: str, units: list[tuple[str, str]], size: Any
    ) -> None:
        self._units, self._size = units, size
        self._axes: list[tuple[str, float, str | None]] | None = None
        self._shown, self._unit_shown = "", 0
        self._title = title
        self.sizes, self.unit = QLineEdit(), QComboBox()
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.unit.setSizeAdjustPolicy(policy)  # a long unit must not squeeze the numbers
        self.unit.setMinimumContentsLength(_UNIT_LETTERS)
        self._label = QLabel(title)
        row = QHBoxLayout()
        row.addWidget(self.sizes, 1)
        row.addWidget(self.unit)
        form.addRow(self._label, row)

    def offer(self, axes: list[tuple[str, float, str | None]], is_free: bool) -> None:
        for widget in (self._label, self.sizes, self.unit):
            widget.setVisible(bool(axes))
            widget.setEnabled(is_free)
        if axes == self._axes and is_free:
            return
        self._axes = axes if is_free else None
        for widget in (self.sizes, self.unit):
            widget.blockSignals(True)
        self._shown = " × ".join(f"{size:.6g}" for _, size, _ in axes)
        self.sizes.setText(self._shown)
        self.sizes.setToolTip(
            f"{self._title} along {', '.join(name for name, _, _ in axes)}, as it is written: say "
            "it here\nwhere the layers do not know it. The layers stay as they are."
        )
        self._fill([unit for _, _, unit in axes])
        for widget in (self.sizes, self.unit):
            widget.blockSignals(False)

    def _fill(self, units: list[str | None]) -> None:
        self.unit.clear()
        self.unit.addItem("no unit", None)
        for text, unit in self._units:
            self.unit.addItem(text, unit)
        first = units[0] if units else None
        if len(set(units)) > 1:
            short = {unit: text for text, unit in self._units}
            texts = (short.get(unit or "", unit or "–") for unit in units)
            self.unit.addItem(" × ".join(texts), _SEVERAL)
            first = _SEVERAL
        same = [n for n in range(self.unit.count()) if self._is_same(self.unit.itemData(n), first)]
        if not same:
            self.unit.addItem(first, first)
        self._unit_shown = same[0] if same else self.unit.count() - 1
        self.unit.setCurrentIndex(self._unit_shown)

    def _is_same(self, one: str | None, other: str | None) -> bool:
        return one == other or (
            self._size(one) is not None and self._size(one) == self._size(other)
        )

    def said_sizes(self) -> dict[str, float]:
        text, axes = self.sizes.text(), self._axes or []
        if text == self._shown:  # not by way of the text, which rounds
            return {}
        words = re.split(r"[\s;x×]+", text.strip(" ;()[]").replace(", ", " "))
        try:
            sizes = [float(word) for word in words]
        except ValueError:
            sizes = []
        if len(sizes) != len(axes):
            names = ", ".join(name for name, _, _ in axes)
            raise WriteError(
                f"{self._title} “{text}” is not understood",
                why=f"it is a number for each of {names}",
                hint=f"For instance {self._shown}.",
            )
        return {name: size for (name, _, _), size in zip(axes, sizes, strict=True)}

    def said_units(self) -> dict[str, str | None]:
        if self.unit.currentIndex() == self._unit_shown or not self._axes:
            return {}
        return {name: self.unit.currentData() for name, _, _ in self._axes}
