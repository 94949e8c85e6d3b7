"""Levels in the shown coordinate system: the same place, whoever does how much of the way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.ngff import Affine, Axis
from napari_omezarr_cloud.ngff.units import micrometres
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.pyramid.world import in_world

SIZES = st.floats(0.1, 10)
PLACES = st.floats(-10, 10)
UNITS = st.sampled_from(["nanometer", "micrometer", "millimeter"])


def triples(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(numbers, numbers, numbers)


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    scale = draw(triples(SIZES))
    kind = draw(st.sampled_from(["scale", "order", "turn"]))
    order = draw(st.permutations(range(3))) if kind == "order" else range(3)
    rows = tuple(tuple(scale[j] * (i == j) for j in range(3)) for i in order)
    affine = Affine(rows, draw(triples(PLACES)))
    if kind != "turn":
        return affine
    angle = draw(st.floats(0.1, 6))
    c, s = math.cos(angle), math.sin(angle)
    return Affine(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)), (0.0, 0.0, 0.0)).then(affine)


def named(names: str, units: tuple[str | None, ...]) -> tuple[Axis, ...]:
    return tuple(Axis(name, "space", unit) for name, unit in zip(names, units, strict=True))


@given(
    affines(),
    triples(SIZES),
    triples(PLACES),
    triples(PLACES),
    st.one_of(st.tuples(UNITS, UNITS, UNITS), st.just((None, None, None))),
    st.tuples(UNITS, UNITS, UNITS),
)
def test_a_voxel_lies_where_its_whole_way_leads(
    affine: Affine,
    scale: tuple[float, ...],
    translation: tuple[float, ...],
    voxel: tuple[float, ...],
    units: tuple[str | None, ...],
    shown_units: tuple[str, ...],
) -> None:
    shown = named("zyx", shown_units)
    level = Affine.diagonal(scale, translation)
    wanted = [
        n * (micrometres(axis.unit) or 1)
        for n, axis in zip(affine(level(voxel)), shown, strict=True)
    ]

    axes, (placed,), rest = in_world(
        named("kji", units), [Transform(scale, translation)], affine, shown
    )

    here = Affine.diagonal(placed.scale, placed.translation)(voxel)
    in_um = [n * (micrometres(axis.unit) or 1) for n, axis in zip(here, axes, strict=True)]
    if rest is None:
        found = in_um
    elif rest.axis_order is not None:
        found = [in_um[axis] for axis in rest.axis_order]
    else:
        found = [
            n * (micrometres(axis.unit) or 1) for n, axis in zip(rest(here), axes, strict=True)
        ]
    size = max(map(abs, wanted)) + 1
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6 * size)


@given(affines())
def test_only_what_is_turned_is_left_to_an_affine(affine: Affine) -> None:
    shown = named("zyx", ("micrometer",) * 3)

    _, _, rest = in_world(shown, [Transform((1.0,) * 3, (0.0,) * 3)], affine, shown)

    order = affine.axis_order
    assert (rest is None) == (order == (0, 1, 2))
    assert order is None or rest is None or rest.translation == (0, 0, 0)


def test_names_are_those_of_the_shown_system_unless_they_are_the_same_in_another_order() -> None:
    still = Affine.diagonal((1.0, 1.0), (0.0, 348.0))
    levels = [Transform((1.0, 1.0), (0.0, 0.0))]

    array, _, _ = in_world((Axis("dim_0"), Axis("dim_1")), levels, still, named("yx", ("um",) * 2))
    tile, placed, _ = in_world(named("yx", ("um",) * 2), levels, still, named("xy", ("um",) * 2))

    assert [axis.name for axis in array] == ["y", "x"]
    assert [axis.name for axis in tile] == ["y", "x"]
    assert placed[0].translation == (0, 348)
