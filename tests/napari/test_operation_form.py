"""The form of an operation: what can be set, and how far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.widgets.operation_form import OperationForm
from napari_omezarr_cloud.process import Parameter, get_operation, operations, validate


@pytest.fixture
def form(qtbot: Any) -> OperationForm:
    form = OperationForm()
    qtbot.addWidget(form)
    return form


@pytest.mark.parametrize("name", list(operations()))
def test_every_operation_has_a_form_whose_values_it_accepts(form: OperationForm, name: str) -> None:
    op = get_operation(name)

    form.show_operation(op, 0.065, in_um=True, axes=("z",))

    assert set(form.values) == {parameter.name for parameter in op.parameters}
    assert validate(op, form.values) == form.values


def test_a_length_is_shown_with_its_unit_and_its_small_digits(form: OperationForm) -> None:
    form.show_operation(get_operation("gaussian"), 0.0065, in_um=True)
    field = form.fields["sigma"]

    assert field.value == pytest.approx(0.013)
    assert (field.min, field.max) == (0, pytest.approx(0.65))
    field.value = 0.0213
    assert form.values == {"sigma": pytest.approx(0.0213)}


def test_lengths_that_were_set_in_pixels_are_not_taken_for_micrometres(
    form: OperationForm,
) -> None:
    gaussian = get_operation("gaussian")
    form.show_operation(gaussian, 1.0, in_um=False)
    form.set_values({"sigma": 9.0})

    form.show_operation(gaussian, 0.1, in_um=True)

    assert form.values == {"sigma": pytest.approx(0.2)}


def test_what_was_set_comes_back_with_its_operation(form: OperationForm) -> None:
    form.show_operation(get_operation("gaussian"), 1.0, in_um=True)
    form.set_values({"sigma": 70.0})
    form.show_operation(get_operation("sobel"), 1.0, in_um=True)
    assert form.values == {}

    form.show_operation(get_operation("gaussian"), 0.1, in_um=True)

    assert form.values == {"sigma": 70.0}, "also where it is beyond the range of finer pixels"


def test_an_automatic_number_can_be_measured_kept_and_given_back(form: OperationForm) -> None:
    form.show_operation(get_operation("threshold_otsu"), 1.0, in_um=True)
    assert form.values == {"threshold": None}

    form.show_measured({"threshold": 1234.5})
    assert form.values == {"threshold": None}
    form.fields["threshold"][0].value = False  # the person takes it over
    assert form.values == {"threshold": 1234.5}
    form.set_values({"threshold": None})
    assert form.values == {"threshold": None}


def test_only_axes_that_the_layer_has_can_be_folded(form: OperationForm) -> None:
    form.show_operation(get_operation("max_projection"), 1.0, in_um=True, axes=("t",))

    assert form.fields["axis"].choices == ("t",)
    assert form.values == {"axis": "t"}


def test_changes_by_the_person_are_told(form: OperationForm, qtbot: Any) -> None:
    form.show_operation(get_operation("unsharp_mask"), 1.0, in_um=True)

    with qtbot.waitSignal(form.changed):
        form.fields["amount"].value = 2.0


def test_a_literal_is_typed_as_in_python(form: OperationForm) -> None:
    frangi = get_operation("skimage.filters.frangi")
    form.show_operation(frangi, 1.0, in_um=True)
    assert form.values == validate(frangi, {})

    form.fields["sigmas"].native.setText("(1, 2.5)")
    form.fields["gamma"].native.setText("15")

    assert form.values["sigmas"] == (1, 2.5)
    assert form.values["gamma"] == 15
    form.fields["sigmas"].native.setText("")
    assert form.values["sigmas"] == (1, 3, 5, 7, 9), "empty is the default"
    form.fields["sigmas"].native.setText("(1, 2")
    with pytest.raises(OperationError, match=r"cannot use sigmas = '\(1, 2'"):
        validate(frangi, form.values)


def test_what_a_recipe_says_is_shown_and_read_back(form: OperationForm) -> None:
    frangi = get_operation("skimage.filters.frangi")
    values = validate(frangi, {"sigmas": [2, 4], "gamma": None, "alpha": 0.00025, "cval": 1e5})
    form.show_operation(frangi, 1.0, in_um=True)

    form.set_values(values)

    assert form.values == values
    assert form.fields["sigmas"].native.text() == "(2, 4)"


def test_a_value_that_is_needed_is_asked_for_in_its_field(form: OperationForm) -> None:
    gabor = get_operation("skimage.filters.gabor")
    form.show_operation(gabor, 1.0, in_um=True)

    assert form.fields["frequency"].native.placeholderText() == "a value is needed"
    with pytest.raises(OperationError, match="needs a value for frequency"):
        validate(gabor, form.values)
    form.fields["frequency"].native.setText("0.1")
    assert validate(gabor, form.values)["frequency"] == 0.1


def test_small_defaults_are_not_rounded_away(form: OperationForm) -> None:
    for name in ("restoration.denoise_tv_chambolle", "filters.butterworth", "feature.canny"):
        op = get_operation(f"skimage.{name}")
        form.show_operation(op, 1.0, in_um=True)

        assert form.values == validate(op, {})


def test_many_parameters_scroll_and_few_take_the_room_they_need(
    form: OperationForm, qtbot: Any
) -> None:
    form.show()
    heights = {}
    for name in ("gaussian", "skimage.filters.hessian", "skimage.filters.gabor"):
        form.show_operation(get_operation(name), 1.0, in_um=True)
        form.resize(form.sizeHint())
        qtbot.waitUntil(lambda: form.height() == form.sizeHint().height())
        heights[name] = form.height()
        bar, scrolls = form.findChild(QScrollArea).verticalScrollBar(), len(form.fields) > 8
        qtbot.waitUntil(lambda bar=bar, scrolls=scrolls: (bar.maximum() > 0) == scrolls)

    assert heights["gaussian"] < 60 < heights["skimage.filters.hessian"] < 400


def test_the_wheel_scrolls_a_long_form_and_changes_nothing(form: OperationForm, qtbot: Any) -> None:
    form.show()
    op = get_operation("skimage.filters.hessian")
    form.show_operation(op, 1.0, in_um=True)
    form.resize(form.sizeHint())
    field, bar = form.fields["alpha"].native, form.findChild(QScrollArea).verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)

    turn(field)

    assert form.values == validate(op, {})
    assert bar.value() > 0


def turn(widget: QWidget) -> None:
    """Turn the wheel over a widget, towards the person."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(widget.mapToGlobal(middle.toPoint())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_a_text_stays_a_text(form: OperationForm) -> None:
    note = Parameter(name="note", type="text", default="(1, 2", label="Note", help="A note.")
    form.show_operation(replace(get_operation("sobel"), parameters=(note,)), 1.0, in_um=True)

    assert form.values == {"note": "(1, 2"}
    form.set_values({"note": "3"})
    assert form.values == {"note": "3"}
