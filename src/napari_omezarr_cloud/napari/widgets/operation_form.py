"""The parameters of an operation as magicgui widgets, made from their descriptions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    FloatSpinBox,
    Slider,
    SpinBox,
)
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QLabel, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.process import Operation, Parameter, Value

__all__ = ["OperationForm"]

_FAR = 1e12
"""Where a number has no limit: spin boxes need one."""


class _AutomaticFloat(Container[Any]):
    """A number that is measured from the image, unless the person takes it over."""

    def __init__(self, parameter: Parameter) -> None:
        self._automatic = CheckBox(value=True, text="auto")
        self._number = FloatSpinBox(
            value=0, min=-_FAR, max=_FAR, step=parameter.step or 1.0, enabled=False
        )
        super().__init__(
            widgets=[self._automatic, self._number],
            layout="horizontal",
            labels=False,
            name=parameter.name,
        )
        self.margins = (0, 0, 0, 0)
        self._automatic.changed.connect(self._on_automatic)

    def _on_automatic(self, is_automatic: bool) -> None:
        self._number.enabled = not is_automatic

    def get_value(self) -> float | None:
        """Return the number; None where it is to be measured."""
        return None if self._automatic.value else float(self._number.value)

    def set_value(self, value: float | None) -> None:
        """Set the number, or ask for it to be measured."""
        self._automatic.value = value is None
        if value is not None:
            self._number.value = value

    def show_measured(self, value: float) -> None:
        """Show what was measured; it stays automatic, and can be kept by unticking."""
        if self._automatic.value:
            self._number.value = value


class OperationForm(QWidget):
    """The form of one operation at a time; ``values`` is what it says now."""

    changed = Signal()
    """A value was changed, by the person or by a script."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, Any] = {}
        """The magicgui widget of each parameter, by name."""
        self._shown: tuple[Operation, float, bool, tuple[str, ...]] | None = None
        self._is_building = False
        self._kept: dict[str, dict[str, Value]] = {}
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)

    @property
    def operation(self) -> Operation | None:
        """The operation whose parameters are shown."""
        return None if self._shown is None else self._shown[0]

    @property
    def values(self) -> dict[str, Value]:
        """Every parameter's value by name; lengths in µm, or in pixels without units."""
        return {name: _value_of(field) for name, field in self.fields.items()}

    def set_values(self, values: Mapping[str, Value]) -> None:
        """Set some of the values, as a recipe or a script does."""
        for name, value in values.items():
            field = self.fields[name]
            if isinstance(field, _AutomaticFloat):
                field.set_value(None if value is None else float(value))
            else:
                field.value = value

    def show_operation(
        self, op: Operation, pixel_size: float, *, in_um: bool, axes: Sequence[str] = ()
    ) -> None:
        """Build the form of an operation, if it is not shown so already.

        Parameters
        ----------
        op
            What the values are for. What the person set for it before comes back.
        pixel_size
            Finest pixel size on screen. Defaults that nobody has touched, and ranges, suit it.
        in_um
            Whether that, and every length, is in µm; otherwise in pixels of level 0.
        axes
            Axes that can be folded, where the operation folds one.
        """
        shown = (op, pixel_size, in_um, tuple(axes))
        if shown == self._shown:
            return
        if self._shown is not None and self._shown[2] != in_um:
            self._kept.clear()  # a length in µm is none in pixels
        self._shown = shown
        kept = self._kept.get(op.name, {})
        self._is_building = True
        self._clear()
        for parameter in op.parameters:
            fitted = parameter.for_pixel_size(pixel_size)
            if parameter.type == "length" and not in_um:
                fitted = replace(fitted, unit="px")
            self._add(fitted, _field(fitted, _choices(parameter, axes), kept.get(parameter.name)))
        self._is_building = False
        self.setVisible(bool(op.parameters))
        self.changed.emit()

    def show_measured(self, values: Mapping[str, Value]) -> None:
        """Show what a run has measured in the fields that are automatic."""
        self._is_building = True
        for name, field in self.fields.items():
            measured = values.get(name)
            if isinstance(field, _AutomaticFloat) and isinstance(measured, int | float):
                field.show_measured(float(measured))
        self._is_building = False

    def keep(self) -> None:
        """Hold on to the values as they are: from now on they do not follow the pixel size."""
        if self._shown is not None:
            self._kept[self._shown[0].name] = self.values

    def _clear(self) -> None:
        self.fields = {}
        while self._rows.rowCount():
            self._rows.removeRow(0)

    def _add(self, parameter: Parameter, field: Any) -> None:
        label = QLabel(
            f"{parameter.label} ({parameter.unit})" if parameter.unit else parameter.label
        )
        label.setToolTip(parameter.help)
        self._rows.addRow(label, field.native)
        self.fields[parameter.name] = field
        field.changed.connect(self._on_changed)

    def _on_changed(self) -> None:
        if self._is_building:
            return
        self.keep()
        self.changed.emit()


def _value_of(field: Any) -> Value:
    value: Value = field.get_value() if isinstance(field, _AutomaticFloat) else field.value
    return value


def _choices(parameter: Parameter, axes: Sequence[str]) -> tuple[str, ...]:
    """Return what can be chosen: of the axes that can be folded, those that the layer has."""
    if parameter.name == "axis":
        return tuple(name for name in parameter.choices if name in axes) or parameter.choices
    return parameter.choices


def _field(parameter: Parameter, choices: Sequence[str], kept: Value) -> Any:
    """Return the widget of one parameter, showing its default or what the person had set."""
    if parameter.statistic is not None:
        automatic = _AutomaticFloat(parameter)
        automatic.tooltip = parameter.help
        automatic.set_value(float(kept) if isinstance(kept, int | float) else None)
        return automatic
    value = parameter.default if kept is None else kept
    common: dict[str, Any] = {
        "name": parameter.name,
        "tooltip": parameter.help,
    }
    if parameter.type == "bool":
        return CheckBox(value=bool(value), **common)
    if parameter.type == "choice":
        return ComboBox(
            choices=list(choices), value=value if value in choices else choices[0], **common
        )
    return _number(parameter, value, common)


def _number(parameter: Parameter, value: Any, common: dict[str, Any]) -> Any:
    """Return a slider where both ends are known, else a spin box."""
    is_whole = parameter.type == "int"
    step = parameter.step or (1 if is_whole else 0.1)
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None:
        kind = SpinBox if is_whole else FloatSpinBox
        ends = (-_FAR if low is None else low, _FAR if high is None else high)
        return kind(value=value, min=ends[0], max=ends[1], step=step, **common)
    high = max(high, value)  # a length that was set on a coarser image
    if is_whole:
        return Slider(value=int(value), min=int(low), max=int(high), step=int(step), **common)
    slider = FloatSlider(value=float(value), min=low, max=high, step=step, **common)
    # magicgui shows two digits after the point, whatever the range: 0.013 µm would read 0.01.
    for readout in slider.native.findChildren(QDoubleSpinBox):
        readout.setDecimals(max(0, 1 - math.floor(math.log10(step))))
        readout.setValue(float(value))
    return slider
