"""Coordinate systems of OME-Zarr 0.6: which is intrinsic, where each transformation leads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_omezarr_cloud.ngff import Affine, Axis, CoordinateSystem, Image, resolve_axes
from napari_omezarr_cloud.ngff.coordinate_systems import (
    Link,
    leading_to,
    parse_image_systems,
    reachable,
)
from napari_omezarr_cloud.ngff.image import shown_in, shown_with
from napari_omezarr_cloud.ngff.transformation import TransformationReader

Read = Callable[..., Image]


def system(name: str, axes: str, unit: str | None = "micrometer") -> dict[str, Any]:
    more = {} if unit is None else {"unit": unit}
    return {"name": name, "axes": [{"name": n, "type": "space", **more} for n in axes]}


def step(kind: str, start: str, end: str, **parameters: Any) -> dict[str, Any]:
    return {"type": kind, "input": {"name": start}, "output": {"name": end}, **parameters}


def level(path: str, scale: list[float], output: Any = None) -> dict[str, Any]:
    output = {"name": "physical"} if output is None else output
    one = {"type": "scale", "scale": scale, "input": {"path": path}, "output": output}
    return {"path": path, "coordinateTransformations": [one]}


@pytest.fixture
def read_06(read_v3) -> Read:
    """A function: transformations of the multiscale, and changes of it → the parsed Image."""

    def read(*transformations: Any, **changes: Any) -> Image:
        entry = {
            "coordinateSystems": [system("physical", "yx"), system("world", "yx")],
            "datasets": [level("0", [0.5, 0.25])],
            "coordinateTransformations": list(transformations),
            **changes,
        }
        return read_v3({"version": "0.6rc0", "multiscales": [entry]})

    return read


# ---- which system ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [["physical", "array"], ["array", "physical"]])
def test_the_intrinsic_system_is_the_one_that_the_levels_lead_to(read_06, order) -> None:
    systems = {"physical": system("physical", "yx"), "array": system("array", "ji", None)}

    image = read_06(coordinateSystems=[systems[name] for name in order])

    assert image.intrinsic == "physical"
    assert [(axis.name, axis.unit) for axis in image.axes] == [
        ("y", "micrometer"),
        ("x", "micrometer"),
    ]
    assert image.affine is None


def test_drafts_with_names_alone_are_read(read_06) -> None:
    rotation = {
        "type": "rotation",
        "rotation": [[0, -1], [1, 0]],
        "input": "physical",
        "output": "world",
    }

    image = read_06(rotation, datasets=[level("0", [1, 1], "physical")])

    assert image.intrinsic == "physical"
    assert image.affine == Affine(((0.0, -1.0), (1.0, 0.0)), (0.0, 0.0))


def test_levels_that_name_no_system_are_taken_for_the_last_one_with_a_note(read_06) -> None:
    plain = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}

    image = read_06(datasets=[plain])

    assert image.intrinsic == "world"
    assert any("'world' was taken" in note for note in image.notes)


def test_it_is_said_which_system_is_shown_and_which_there_are(read_06) -> None:
    image = read_06(step("translation", "physical", "world", translation=[1, 2]))

    assert [each.name for each in image.systems] == ["physical", "world"]
    assert (
        "It has the coordinate systems 'physical' and 'world'; by itself it is shown in 'world'."
        in (image.notes)
    )


def test_identity_of_the_finest_level_is_a_scale_of_one(read_06) -> None:
    first = {
        "path": "0",
        "coordinateTransformations": [
            {"type": "identity", "input": {"path": "0"}, "output": {"name": "physical"}}
        ],
    }

    image = read_06(datasets=[first, level("1", [2, 2])])

    assert [dataset.scale for dataset in image.datasets] == [(1, 1), (2, 2)]


def test_orientation_long_names_and_discrete_axes_are_no_complaint(read_06) -> None:
    axes = [
        {"name": "y", "type": "space", "orientation": {"type": "anatomical", "value": "left"}},
        {"name": "x", "type": "space", "longName": "across", "discrete": True},
    ]

    image = read_06(coordinateSystems=[{"name": "physical", "axes": axes}])

    assert image.notes == ("The version '0.6rc0' was read as 0.6.",)


# ---- transformations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transformation", "point", "expected"),
    [
        pytest.param({"type": "identity"}, (3, 4), (3, 4), id="identity"),
        pytest.param({"type": "scale", "scale": [2, 3]}, (3, 4), (6, 12), id="scale"),
        pytest.param({"type": "scale", "scale": [-1, 1]}, (3, 4), (-3, 4), id="mirror"),
        pytest.param({"type": "translation", "translation": [9, -1]}, (3, 4), (12, 3), id="move"),
        pytest.param({"type": "mapAxis", "mapAxis": [1, 0]}, (3, 4), (4, 3), id="mapAxis"),
        pytest.param(
            {"type": "affine", "affine": [[1, 2, 3], [4, 5, 6]]}, (3, 4), (14, 38), id="affine"
        ),
        pytest.param(
            {"type": "affine", "affine": [[1, 2, 3], [4, 5, 6], [0, 0, 1]]},
            (3, 4),
            (14, 38),
            id="affine with the homogeneous row",
        ),
        pytest.param(
            {"type": "rotation", "rotation": [[0, -1], [1, 0]]}, (3, 4), (-4, 3), id="rotation"
        ),
        pytest.param(
            {
                "type": "sequence",
                "transformations": [
                    {"type": "translation", "translation": [0.1, 0.9]},
                    {"type": "scale", "scale": [2, 3]},
                ],
            },
            (1, 1),
            (2.2, 5.7),
            id="sequence, in its order",
        ),
        pytest.param(
            {
                "type": "byDimension",
                "transformations": [
                    {
                        "transformation": {"type": "translation", "translation": [-1]},
                        "inputAxes": [1],
                        "outputAxes": [0],
                    },
                    {
                        "transformation": {"type": "scale", "scale": [2]},
                        "inputAxes": [0],
                        "outputAxes": [1],
                    },
                ],
            },
            (3, 4),
            (3, 6),
            id="byDimension",
        ),
        pytest.param(
            {
                "type": "byDimension",
                "transformations": [
                    {"type": "scale", "scale": [2], "inputAxes": ["y"], "outputAxes": ["y"]},
                    {"type": "identity", "inputAxes": ["x"], "outputAxes": ["x"]},
                ],
            },
            (3, 4),
            (6, 4),
            id="byDimension of the drafts",
        ),
        pytest.param(
            {
                "type": "byDimension",
                "transformations": [
                    {
                        "transformation": {"type": "scale", "scale": [2]},
                        "input_axes": [1],
                        "output_axes": [0],
                    },
                    {"type": "identity", "input": ["y"], "output": ["x"]},
                ],
            },
            (3, 4),
            (8, 3),
            id="byDimension of the first drafts",
        ),
        pytest.param(
            {
                "type": "byDimension",
                "transformations": [
                    {
                        "transformation": {"type": "scale", "scale": [2]},
                        "inputAxes": [0],
                        "outputAxes": [0],
                    },
                ],
            },
            (3, 4),
            (6, 4),
            id="byDimension that leaves an axis out",
        ),
        pytest.param(
            {
                "type": "bijection",
                "forward": {"type": "scale", "scale": [2, 2]},
                "inverse": {"type": "scale", "scale": [0.5, 0.5]},
            },
            (3, 4),
            (6, 8),
            id="bijection",
        ),
    ],
)
def test_a_transformation_moves_points_as_the_specification_says(
    transformation: dict[str, Any], point: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    affine = TransformationReader([]).read(transformation, ("y", "x"), ("y", "x"), of="the test")

    assert affine is not None
    assert affine(point) == pytest.approx(expected)


def test_dimensions_may_be_dropped_and_reordered_by_dimension() -> None:
    item = {
        "type": "byDimension",
        "transformations": [
            {
                "transformation": {"type": "translation", "translation": [0.5, 1.5]},
                "inputAxes": [3, 2],
                "outputAxes": [1, 2],
            },
            {
                "transformation": {"type": "scale", "scale": [2]},
                "inputAxes": [1],
                "outputAxes": [0],
            },
        ],
    }

    affine = TransformationReader([]).read(item, tuple("ljki"), tuple("zyx"), of="the test")

    assert affine is not None
    assert affine((9, 1, 2, 3)) == (2, 3.5, 3.5)
    assert affine.inverse() is None


@pytest.mark.parametrize(
    ("transformation", "said"),
    [
        pytest.param({"type": "projectAxis", "createdOutputs": [0]}, "projectAxis", id="project"),
        pytest.param({"type": "displacements", "path": "field"}, "displacements", id="field"),
        pytest.param({"type": "coordinates", "path": "/c"}, "coordinates", id="coordinates"),
        pytest.param({"type": "affine", "path": "params"}, "binary data", id="binary"),
        pytest.param(
            {"type": "bijection", "forward": {"type": "displacements", "path": "d"}},
            "bijection holds the displacements",
            id="bijection",
        ),
        pytest.param({"type": "warp"}, "'warp'", id="unknown"),
        pytest.param({"type": "scale", "scale": [0, 1]}, "holds 0", id="zero"),
        pytest.param({"type": "scale", "scale": [1, 1, 1]}, "3 numbers for 2", id="length"),
        pytest.param({"type": "affine", "affine": [[1, 0], [0, 1]]}, "numbers for 3", id="shape"),
        pytest.param({"type": "affine", "affine": [[1, 0, math.nan]]}, "no list of num", id="NaN"),
        pytest.param({"type": "rotation", "rotation": [[2, 0], [0, 2]]}, "no matrix of", id="not"),
        pytest.param({"type": "mapAxis", "mapAxis": [0, 0]}, "twice", id="axis twice"),
        pytest.param({"type": "mapAxis", "mapAxis": [0, 5]}, "not there", id="no such axis"),
    ],
)
def test_what_cannot_be_shown_is_named_and_the_image_opens_without_it(
    read_06, transformation: dict[str, Any], said: str
) -> None:
    ends = {"input": {"name": "physical"}, "output": {"name": "world"}}

    image = read_06({**ends, **transformation})

    assert image.affine is None
    assert any(said in note for note in image.notes)


def test_of_several_transformations_the_first_that_can_be_shown_is(read_06) -> None:
    image = read_06(
        step("displacements", "physical", "warped", path="field"),
        step("affine", "physical", "world", affine=[[0, 1, 0], [-1, 0, 5]]),
        coordinateSystems=[system(name, "yx") for name in ("physical", "warped", "world")],
    )

    assert image.affine == Affine(((0.0, 1.0), (-1.0, 0.0)), (0.0, 5.0))


def test_a_transformation_towards_the_image_is_inverted(read_06) -> None:
    image = read_06(step("scale", "world", "physical", scale=[2, 4]))

    assert image.affine == Affine(((0.5, 0.0), (0.0, 0.25)), (0.0, 0.0))


def test_an_image_is_never_folded_flat(read_06) -> None:
    image = read_06(step("affine", "physical", "world", affine=[[1, 1, 0], [1, 1, 0]]))

    assert image.affine is None
    assert any("folds the image flat" in note for note in image.notes)


def test_channels_are_never_mixed_with_space(read_06) -> None:
    axes = [{"name": "c", "type": "channel"}, *system("", "yx")["axes"]]
    matrix = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]

    image = read_06(
        step("affine", "physical", "world", affine=matrix),
        coordinateSystems=[{"name": name, "axes": axes} for name in ("physical", "world")],
        datasets=[level("0", [1, 1, 1])],
    )

    assert image.affine is None
    assert any("mixes channels" in note for note in image.notes)


def test_channels_that_a_system_leaves_out_stay_as_they_are(read_06) -> None:
    axes = [{"name": "c", "type": "channel"}, *system("", "yx")["axes"]]
    image = read_06(
        coordinateSystems=[{"name": "physical", "axes": axes}],
        datasets=[level("0", [1, 1, 1])],
    )
    flat = Affine(((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)), (5.0, 6.0))

    placed = shown_in(image, CoordinateSystem("world", image.axes[1:], flat))

    assert placed.affine is not None
    assert placed.affine((2, 10, 20)) == (2, -15, 16)
    assert [axis.name for axis in placed.shown_axes] == ["c", "y", "x"]


def test_a_plane_in_a_volume_is_shown_at_every_depth_and_says_where_it_lies(read_06) -> None:
    image = read_06(coordinateSystems=[system("physical", "yx")])
    zyx = (Axis("z", "space"), *image.axes)
    deep = Affine(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), (12.5, 1.0, 2.0))
    tilted = Affine(((0.5, 0.0), (1.0, 0.0), (0.0, 1.0)), (12.5, 1.0, 2.0))

    placed = shown_in(image, CoordinateSystem("world", zyx, deep))
    refused = shown_in(image, CoordinateSystem("world", zyx, tilted))

    assert placed.affine == Affine.diagonal((1, 1), (1, 2))
    assert any("z = 12.5" in note for note in placed.notes)
    assert refused.affine is None
    assert any("it has 3 axes, the image 2" in note for note in refused.notes)


def test_another_number_of_dimensions_drops_the_transformation_with_a_note(read_06) -> None:
    image = read_06(step("rotation", "physical", "world", rotation=[[0, -1], [1, 0]]))

    resolved = resolve_axes(image, 3)

    assert resolved.affine is None
    assert any("is not used" in note for note in resolved.notes)


def test_a_hostile_number_of_transformations_ends() -> None:
    steps: Any = [{"type": "identity"}] * 100_000
    notes: list[str] = []

    affine = TransformationReader(notes).read(
        {"type": "sequence", "transformations": steps}, tuple("zyx"), None, of="the test"
    )

    assert affine is None
    assert "too many" in notes[0]


def test_systems_of_thousands_of_axes_are_not_used() -> None:
    notes: list[str] = []
    entry = {
        "coordinateSystems": [{"name": "huge", "axes": [{"name": str(i)} for i in range(9999)]}],
        "datasets": [],
    }

    assert parse_image_systems(entry, notes=notes) is None
    assert "is not used" in notes[0]


# ---- labels ------------------------------------------------------------------------------------


def test_labels_are_shown_with_their_image(read_06) -> None:
    image = read_06(step("rotation", "physical", "world", rotation=[[0, -1], [1, 0]]))
    label = read_06(coordinateSystems=[system("physical", "yx")])

    assert shown_with(label, image, "labels/cells").affine == image.affine


def test_labels_lie_where_the_image_says(read_06) -> None:
    to_label = {
        **step("translation", "physical", "own", translation=[10, 20]),
        "output": {"name": "own", "path": "labels/cells"},
    }
    image = read_06(to_label)
    label = read_06(
        coordinateSystems=[system("own", "yx")], datasets=[level("0", [1, 1], {"name": "own"})]
    )

    placed = shown_with(label, image, "labels/cells").affine

    assert placed is not None
    assert placed((10, 20)) == (0, 0)
    assert shown_with(label, image, "labels/other").affine is None


# ---- arithmetic --------------------------------------------------------------------------------

NUMBERS = st.floats(-10, 10).map(lambda n: round(n, 3))


@st.composite
def affines(draw: st.DrawFn, n: int = 3) -> Affine:
    kind = draw(st.sampled_from(["scale", "order", "turn", "any"]))
    shift = tuple(draw(NUMBERS) for _ in range(n))
    if kind == "scale":
        return Affine.diagonal([draw(st.floats(0.1, 10)) for _ in range(n)], shift)
    if kind == "order":
        order = draw(st.permutations(range(n)))
        return Affine(tuple(tuple(float(i == j) for j in range(n)) for i in order), shift)
    if kind == "turn":
        angle = draw(st.floats(0, 2 * math.pi))
        c, s = math.cos(angle), math.sin(angle)
        return Affine(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)), shift)
    rows = tuple(tuple(draw(NUMBERS) for _ in range(n)) for _ in range(n))
    return Affine(rows, shift)


POINTS = st.tuples(NUMBERS, NUMBERS, NUMBERS)


@given(st.lists(affines(), min_size=1, max_size=4), POINTS)
def test_a_composed_map_moves_points_like_its_parts_one_after_the_other(
    parts: list[Affine], point: tuple[float, ...]
) -> None:
    whole, moved = Affine.identity(3), point
    for part in parts:
        whole, moved = whole.then(part), part(moved)

    assert whole(point) == pytest.approx(moved, rel=1e-6, abs=1e-6)


@given(affines(), POINTS)
def test_an_inverse_brings_points_back(affine: Affine, point: tuple[float, ...]) -> None:
    back = affine.inverse()
    assume(back is not None and max(abs(n) for row in back.matrix for n in row) < 1e4)
    assert back is not None

    assert back(affine(point)) == pytest.approx(point, rel=1e-5, abs=1e-5)


@given(st.lists(affines(), min_size=1, max_size=5), st.lists(st.booleans(), min_size=5), POINTS)
def test_a_way_through_the_graph_is_its_steps_forwards_and_backwards(
    parts: list[Affine], directions: list[bool], point: tuple[float, ...]
) -> None:
    links, moved = [], point
    for number, (part, forwards) in enumerate(zip(parts, directions, strict=False)):
        here, there = ("", str(number)), ("", str(number + 1))
        back = part.inverse()
        assume(back is not None and max(abs(n) for row in back.matrix for n in row) < 100)
        assert back is not None
        links.append(Link(here, there, part) if forwards else Link(there, here, back))
        moved = part(moved)

    found = reachable(("", "0"), 3, links)[("", str(len(parts)))]

    same = leading_to(("", str(len(parts))), 3, links)[("", "0")]
    assert found(point) == pytest.approx(moved, rel=1e-3, abs=1e-3)
    assert same(point) == pytest.approx(moved, rel=1e-3, abs=1e-3)
