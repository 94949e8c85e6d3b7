"""The form of an operation: what can be set, and how far."""

from __future__ import annotations

from typing import Any

import pytest

from napari_omezarr_cloud.napari.widgets.operation_box import OperationBox
from napari_omezarr_cloud.napari.widgets.operation_form import OperationForm
from napari_omezarr_cloud.process import get_operation, operations, validate


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


def test_operations_stand_under_the_headings_of_their_groups(qtbot: Any) -> None:
    box = OperationBox()
    qtbot.addWidget(box)
    rows = [(box.itemText(i).strip(), bool(box.model().item(i).isEnabled()))
            for i in range(box.count())]  # fmt: skip

    assert rows[0] == ("Filters", False)
    assert ("Gaussian blur", True) in rows
    assert sum(enabled for _, enabled in rows) == len(operations())
    box.choose("label")
    assert box.operation is get_operation("label")
