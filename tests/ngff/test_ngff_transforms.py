from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.ngff import Dataset, resolve_axes
from napari_omezarr_cloud.ngff.transforms import Transform, parse_transforms

SCALE = {"type": "scale", "scale": [2.0, 4.0]}
MOVE = {"type": "translation", "translation": [10.0, 20.0]}


def _level(*transforms: Any, path: str = "0") -> dict[str, Any]:
    return {"path": path, "coordinateTransformations": list(transforms)}


def test_a_level_keeps_its_scale_and_its_translation(read) -> None:
    image = read(datasets=[_level(SCALE, MOVE)])

    assert image.datasets == (Dataset("0", (2.0, 4.0), (10.0, 20.0)),)


def test_the_multiscales_own_transform_comes_after_the_levels(read) -> None:
    own = [{"type": "scale", "scale": [3, 1]}, {"type": "translation", "translation": [1, 2]}]

    image = read(datasets=[_level(SCALE, MOVE)], coordinateTransformations=own)

    assert image.datasets[0] == Dataset("0", (6.0, 4.0), (31.0, 22.0))


def test_without_transforms_nothing_is_made_up(read) -> None:
    image = read(version="0.2", axes=None, datasets=[{"path": "0"}, {"path": "1"}])

    assert image.datasets == (Dataset("0"), Dataset("1"))
    assert image.notes == ()


def test_a_scale_for_the_whole_multiscale_alone_is_that_of_the_first_level(read) -> None:
    image = read(datasets=[{"path": "0"}, {"path": "1"}], coordinateTransformations=[SCALE])

    assert [dataset.scale for dataset in image.datasets] == [(2.0, 4.0), None]


@pytest.mark.parametrize(
    ("scale", "kept"),
    [
        pytest.param("[NaN, 0.5]", None, id="NaN"),
        pytest.param("[Infinity, 1]", None, id="infinity"),
        pytest.param("[1e400, 1]", None, id="beyond floats"),
        pytest.param("[0, 0.5]", None, id="zero"),
        pytest.param("[-0.5, 0.5]", (0.5, 0.5), id="negative"),
        pytest.param('["0.5", "abc"]', None, id="text"),
        pytest.param('["0.5", "0.5"]', (0.5, 0.5), id="numbers as text"),
        pytest.param("[1, 1, 1, 0.5, 0.5]", None, id="too long"),
        pytest.param("[0.5]", None, id="too short"),
        pytest.param("[true, 1]", None, id="bool"),
        pytest.param("[]", None, id="empty"),
        pytest.param("0.5", None, id="one number"),
        pytest.param("null", None, id="null"),
    ],
)
def test_an_odd_scale_becomes_a_note(read, scale: str, kept: object) -> None:
    transform = {"type": "scale", "scale": json.loads(scale)}

    image = resolve_axes(read(datasets=[_level(transform)]), 2)

    assert image.datasets[0].scale == kept
    assert "scale" in image.notes[0]


def test_one_levels_odd_scale_leaves_the_others_alone(read) -> None:
    zero = {"type": "scale", "scale": [0, 0]}

    image = read(datasets=[_level(SCALE), _level(zero, path="1")])

    assert [dataset.scale for dataset in image.datasets] == [(2.0, 4.0), None]
    assert "level 1" in image.notes[0]


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        pytest.param([{"type": "scale", "path": "s"}], "binary data", id="binary data"),
        pytest.param([{"type": "affine", "affine": []}], "'affine'", id="affine"),
        pytest.param([{}], "None", id="no type"),
        pytest.param(["scale"], "no object", id="text"),
        pytest.param("scale", "no list", id="no list"),
        pytest.param([SCALE, {"type": "translation", "translation": [1]}], "numbers", id="lengths"),
    ],
)
def test_transforms_that_are_not_used_are_named(transforms: object, said: str) -> None:
    notes: list[str] = []

    parse_transforms(transforms, of="level 0", notes=notes)

    assert said in notes[0]
    assert "evel 0" in notes[0]


def test_a_sequence_is_what_it_holds() -> None:
    sequence = {"type": "sequence", "transformations": [SCALE, MOVE, {"type": "identity"}]}

    whole = parse_transforms([sequence], of="level 0", notes=(notes := []))

    assert whole == Transform((2.0, 4.0), (10.0, 20.0))
    assert notes == []


def test_a_transform_of_the_multiscale_for_other_axes_is_not_used(read) -> None:
    wrong = [{"type": "scale", "scale": [1, 2, 3]}]

    image = read(datasets=[_level(SCALE)], coordinateTransformations=wrong)

    assert image.datasets[0].scale == (2.0, 4.0)
    assert "3 axes" in image.notes[0]


def test_scales_that_multiply_to_infinity_are_not_used(read) -> None:
    huge = {"type": "scale", "scale": [1e300, 1e300]}

    image = read(datasets=[_level(huge)], coordinateTransformations=[huge])

    assert image.datasets[0].scale is None
    assert "exceed" in image.notes[0]


numbers = st.floats(0.01, 100)
vectors = st.none() | st.tuples(numbers, numbers)


@given(vectors, vectors, vectors, vectors, st.tuples(numbers, numbers))
def test_one_after_the_other_is_the_same_as_both_at_once(s1, t1, s2, t2, point) -> None:
    first, second = Transform(s1, t1), Transform(s2, t2)

    assert _moved(_moved(point, first), second) == pytest.approx(_moved(point, first.then(second)))


def _moved(point: tuple[float, ...], transform: Transform) -> list[float]:
    scale, translation = transform.scale or (1, 1), transform.translation or (0, 0)
    return [s * x + t for s, x, t in zip(scale, point, translation, strict=True)]
