from __future__ import annotations

import pytest

from napari_omezarr_cloud.ngff import Axis, resolve_axes


def test_axes_keep_name_type_and_unit(read) -> None:
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "um"},
    ]

    image = read(axes=axes)

    assert image.axes == (
        Axis("t", "time", "second"),
        Axis("c", "channel"),
        Axis("y", "space", "um"),
    )
    assert image.notes == ()


def test_axes_that_are_strings_get_their_type_from_the_name(read) -> None:
    image = read(version="0.3", axes=["t", "c", "z", "y", "x"])

    assert [axis.type for axis in image.axes] == ["time", "channel", "space", "space", "space"]
    assert image.notes == ()


def test_a_missing_type_is_guessed_with_one_note(read) -> None:
    image = read(axes=[{"name": "C"}, {"name": "y"}, {"name": "wavelength"}])

    assert [axis.type for axis in image.axes] == ["channel", "space", None]
    assert [axis.name for axis in image.axes] == ["C", "y", "wavelength"]
    assert image.notes == (
        "Axes without a type, which was guessed from the name: "
        "C (channel), y (space) and wavelength (unknown).",
    )


@pytest.mark.parametrize("unit", [" ", "", "unknown", "None", 5, ["um"]])
def test_a_unit_that_says_nothing_becomes_none_with_a_note(read, unit: object) -> None:
    image = read(
        axes=[{"name": "y", "type": "space", "unit": unit}, {"name": "x", "type": "space"}]
    )

    assert image.axes[0].unit is None
    assert "unit" in image.notes[0]


@pytest.mark.parametrize("axes", [[1, 2], [], "yx", {"y": 1}, [{"type": "space"}, "x"], [None]])
def test_axes_without_usable_names_are_guessed_with_a_note(read, axes: object) -> None:
    image = resolve_axes(read(axes=axes), 2)

    assert [axis.name for axis in image.axes] == ["y", "x"]
    assert "axes" in image.notes[0]


def test_axes_that_repeat_are_guessed_with_a_note(read) -> None:
    image = resolve_axes(read(axes=["y", "y"]), 2)

    assert [axis.name for axis in image.axes] == ["y", "x"]
    assert "repeat" in image.notes[0]


@pytest.mark.parametrize(("ndim", "names"), [(2, "yx"), (3, "zyx"), (4, "czyx"), (5, "tczyx")])
def test_axes_that_are_absent_are_the_last_of_tczyx(read, ndim: int, names: str) -> None:
    image = resolve_axes(read(axes=None), ndim)

    assert [axis.name for axis in image.axes] == list(names)
    assert "No axes are stated" in " ".join(image.notes)


def test_three_dimensions_of_several_described_channels_are_c_y_x(read) -> None:
    image = read({"omero": {"channels": [{"label": "a"}, {"label": "b"}]}}, axes=None)

    assert [axis.name for axis in resolve_axes(image, 3).axes] == ["c", "y", "x"]


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_the_first_versions_have_five_axes_and_need_no_note(read, version: str) -> None:
    image = resolve_axes(read(version=version, axes=None, datasets=[{"path": "0"}]), 5)

    assert [axis.name for axis in image.axes] == ["t", "c", "z", "y", "x"]
    assert image.notes == ()


def test_a_wrong_number_of_axes_is_guessed_and_keeps_the_units_it_can(read) -> None:
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]

    image = resolve_axes(read(axes=axes), 2)

    assert image.axes == (Axis("y", "space", "nanometer"), Axis("x", "space", "nanometer"))
    assert "3 axes are stated for 2 dimensions" in image.notes[-1]


def test_more_dimensions_than_anyone_has_names_for_are_numbered(read) -> None:
    image = resolve_axes(read(axes=None), 7)

    assert [axis.name for axis in image.axes][:3] == ["dim_0", "dim_1", "t"]


def test_resolving_again_changes_nothing(read) -> None:
    once = resolve_axes(read(axes=["a", "b", "c"]), 2)

    assert resolve_axes(once, 2) == once
