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
    LineEdit,
    Slider,
    SpinBox,
)
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.process.literal import plain_literal, typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtCore import QObject

    from napari_omezarr_cloud.process import Operation, Parameter, Value

__all__ = ["OperationForm"]

_FAR = 1e12
"""Where a number has no limit: spin boxes need one."""

_FAR_WHOLE = 2**31 - 1
"""The largest whole number of Qt's spin box."""

_MOST_ROWS = 8
"""Parameters that are seen at once."""

_MOST_DIGITS = 12


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


class _LiteralField(LineEdit):
    """A value that is typed as in Python; empty is the default."""

    def __init__(self, parameter: Parameter, value: Value) -> None:
        self._default = None if parameter.is_required else parameter.default
        shown = "" if parameter.is_required and value is None else typed(value)
        super().__init__(value=shown, name=parameter.name, tooltip=parameter.help)
        hint = "a value is needed" if parameter.is_required else typed(parameter.default)
        self.native.setPlaceholderText(hint)

    def get_value(self) -> Any:
        """Return what is typed; the text itself where it cannot be read."""
        text = str(super().get_value())
        if not text.strip():
            return self._default
        try:
            return plain_literal(text)
        except ValueError:
            return text

    def set_value(self, value: Any) -> None:
        """Show a value."""
        super().set_value(value if isinstance(value, str) else typed(value))


class _Rows(QScrollArea):
    """The rows of the form, as high as they are; many of them scroll."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.inside = QWidget()
        self.rows = QFormLayout(self.inside)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.setWidget(self.inside)

    def sizeHint(self) -> QSize:
        """Return the size of the rows, of the first few where there are many."""
        whole = self.inside.sizeHint()
        count = max(self.rows.rowCount(), 1)
        height = whole.height() * min(count, _MOST_ROWS) // count
        bar = self.verticalScrollBar()
        beside = bar.sizeHint().width() if bar is not None and count > _MOST_ROWS else 0
        return QSize(whole.width() + beside, height)

    def minimumSizeHint(self) -> QSize:
        """Return the same: the rows are not squeezed."""
        return self.sizeHint()

    def fit(self) -> None:
        """Scroll where there are many rows, and only there."""
        policy = Qt.ScrollBarPolicy
        if self.rows.rowCount() > _MOST_ROWS:
            self.setVerticalScrollBarPolicy(policy.ScrollBarAsNeeded)
            self.keep_the_wheel()
        else:
            self.setVerticalScrollBarPolicy(policy.ScrollBarAlwaysOff)

    def keep_the_wheel(self) -> None:
        """Let the wheel scroll, over fields too; it changes only the one that has the focus."""
        for field in self.inside.findChildren(QWidget):
            if field.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the rows when they need more or less room; see `keep_the_wheel`."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        if isinstance(event, QWheelEvent) and isinstance(watched, QWidget):
            is_field = watched is not self.inside and self.inside.isAncestorOf(watched)
            if is_field and not watched.hasFocus():
                QApplication.sendEvent(self.viewport(), event)
                return True
        return bool(super().eventFilter(watched, event))


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
        self._area = _Rows()
        self._rows = self._area.rows
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._area)

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
                field.set_value(float(value) if isinstance(value, int | float) else None)
                continue
            if isinstance(field, FloatSpinBox) and isinstance(value, int | float):
                _show_digits(field, float(value))
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
        self._area.fit()
        self._area.updateGeometry()
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
        # Qt would show them one turn later, and the form would be of no height until then.
        label.show()
        field.native.show()
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
    if parameter.type == "literal":
        return _LiteralField(parameter, value)
    if parameter.type == "text":
        return LineEdit(value=str(value), **common)
    if parameter.type == "bool":
        return CheckBox(value=bool(value), text="", **common)
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
        far = _FAR_WHOLE if is_whole else _FAR
        low, high = -far if low is None else low, far if high is None else high
        if is_whole:
            return SpinBox(value=int(value), min=low, max=high, step=int(step), **common)
        box = FloatSpinBox(min=low, max=high, step=step, **common)
        _show_digits(box, float(value))
        box.value = value
        return box
    high = max(high, value)  # a length that was set on a coarser image
    if is_whole:
        return Slider(value=int(value), min=int(low), max=int(high), step=int(step), **common)
    slider = FloatSlider(value=float(value), min=low, max=high, step=step, **common)
    # magicgui shows two digits after the point, whatever the range: 0.013 µm would read 0.01.
    for readout in slider.native.findChildren(QDoubleSpinBox):
        readout.setDecimals(max(0, 1 - math.floor(math.log10(step))))
        readout.setValue(float(value))
    return slider


def _show_digits(box: FloatSpinBox, value: float) -> None:
    """Give a spin box as many digits after the point as a value has, and room for two more.

    magicgui shows one or two, and would turn 0.0002 into 0.
    """
    native = box.native
    text = f"{value:.{_MOST_DIGITS}f}".rstrip("0")
    digits = len(text.partition(".")[2])
    native.setDecimals(max(native.decimals(), min(digits + 2, _MOST_DIGITS)))
