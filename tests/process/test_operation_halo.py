"""A block with its halo, run and cut, is the same part of the whole run at once: no seams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import (
    Operation,
    Parameter,
    get_operation,
    operations,
    run,
    statistic,
)
from napari_omezarr_cloud.process.dtypes import unchanged
from napari_omezarr_cloud.process.halo import footprint_reach
from tests.fixtures.operation_inputs import grey, inputs_of

LOCAL = sorted(
    name for name, op in operations().items() if op.kind in ("local", "global") and op.halo_rule
)
DTYPES = ["uint8", "uint16", "float32"]
# Where the defaults leave nothing of noise that the surroundings could change.
MORE_TO_SEE = {
    "black_tophat": {"radius": 3.0},
    "remove_outliers": {"threshold": 9.0},
    "threshold_local": {"offset": 0.0},
    "threshold_sauvola": {"k": 0.0},
    "white_tophat": {"radius": 3.0},
}


def some_values(parameter: Parameter) -> st.SearchStrategy:
    if parameter.statistic is not None:
        return st.none()
    if parameter.type == "length":
        return st.floats(0, 3)
    if parameter.type == "choice":
        return st.sampled_from(parameter.choices)
    if parameter.type == "bool":
        return st.booleans()
    low = 0 if parameter.minimum is None else parameter.minimum
    high = 100 if parameter.maximum is None else parameter.maximum
    if parameter.type == "int":
        return st.integers(int(low), min(int(high), 4))
    return st.floats(low, high)


def reaches(name: str) -> bool:
    return get_operation(name).halo({}, (1, 1)) != (0, 0)


@st.composite
def blocks(draw: st.DrawFn, ndim: int) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """A shape and a block in it that may touch any border."""
    sides = st.integers(1, 33 if ndim == 2 else 11)
    shape = tuple(draw(sides) for _ in range(ndim))
    starts = [draw(st.integers(0, size - 1)) for size in shape]
    stops = [draw(st.integers(a + 1, b)) for a, b in zip(starts, shape, strict=True)]
    return shape, tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))


def run_on_block(op, arrays, values, spacing, block):
    """Run on the block and its halo, clipped at the image's border; return the block."""
    halo = op.halo(values, spacing)
    sides = zip(block, halo, arrays[0].shape, strict=False)
    source = tuple(slice(max(b.start - h, 0), min(b.stop + h, size)) for b, h, size in sides)
    result = run(op, [array[source] for array in arrays], values, spacing=spacing, rgb=is_rgb(op))
    pairs = zip(block, source, strict=True)
    return result[tuple(slice(b.start - s.start, b.stop - s.start) for b, s in pairs)]


def measured_or_any(op: Operation, arrays: list[np.ndarray]) -> dict[str, float]:
    try:
        return statistic(op, arrays, {}, rgb=is_rgb(op))
    except OperationError:  # two peaks, in an image of one pixel
        return {p.name: 50.0 for p in op.parameters if p.statistic}


def is_rgb(op: Operation) -> bool:
    return op.colours == "together"


@pytest.mark.parametrize("ndim", [2, 3], ids=["plane", "volume"])
@pytest.mark.parametrize("name", LOCAL)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_block_with_its_halo_equals_the_whole(name: str, ndim: int, data) -> None:
    op = get_operation(name)
    shape, block = data.draw(blocks(ndim))
    spacing = (1.7, 0.6, 0.65)[-ndim:]
    values = {p.name: data.draw(some_values(p)) for p in op.parameters}
    seed = data.draw(st.integers(0, 9))
    arrays = inputs_of(op, shape, data.draw(st.sampled_from(DTYPES)), seed)
    values |= measured_or_any(op, arrays)

    whole = run(op, arrays, values, spacing=spacing, rgb=is_rgb(op))
    part = run_on_block(op, arrays, values, spacing, block)

    assert part.dtype == whole.dtype == op.output_dtype([array.dtype for array in arrays])
    if whole.dtype.kind == "f":
        largest = float(np.abs(whole[np.isfinite(whole)]).max(initial=1.0))
        np.testing.assert_allclose(part, whole[block], rtol=1e-6, atol=1e-6 * largest)
    else:
        np.testing.assert_array_equal(part, whole[block])


@pytest.mark.parametrize("name", [name for name in LOCAL if reaches(name)])
def test_the_halo_is_needed(name: str) -> None:
    op = get_operation(name)
    arrays = inputs_of(op, (60, 60), "uint8")
    values = statistic(op, arrays, {}) | MORE_TO_SEE.get(name, {})
    block = (slice(20, 40), slice(20, 40))

    alone = run(op, [array[block] for array in arrays], values)

    assert not np.allclose(alone, run(op, arrays, values)[block], equal_nan=True)


@pytest.mark.parametrize(
    ("name", "values", "spacing", "halo"),
    [
        pytest.param("gaussian", {"sigma": 2}, (1, 1), (8, 8), id="four sigma"),
        pytest.param("gaussian", {"sigma": 1}, (2, 0.5, 0.5), (2, 8, 8), id="in µm, flat voxels"),
        pytest.param("median", {"radius": 2.9}, (1, 1), (2, 2), id="whole pixels of the radius"),
        pytest.param("median", {"radius": 0.3}, (0.1, 0.1), (3, 3), id="float rounding"),
        pytest.param("white_tophat", {"radius": 3}, (1, 1), (6, 6), id="erosion and dilation"),
        pytest.param("sobel", {}, (1, 1, 1), (1, 1, 1), id="3 x 3 x 3"),
        pytest.param("threshold_otsu", {}, (1, 1), (0, 0), id="pixelwise once known"),
        pytest.param("label", {}, (1, 1), None, id="objects have none"),
    ],
)
def test_halo_is_in_pixels_of_the_level(name, values, spacing, halo) -> None:
    assert get_operation(name).halo(values, spacing) == halo


def test_an_operation_on_planes_looks_at_no_other_plane() -> None:
    median = get_operation("median")
    by_plane = Operation(
        name="plane_median",
        title="Median of each plane",
        group="Filters",
        function=median.function,
        kind="local",
        output="image",
        parameters=median.parameters,
        dims="plane",
        halo_rule=lambda values, ndim: footprint_reach(values, ndim, parameter="radius"),
        dtype_rule=unchanged,
        help="For this test.",
    )
    volume = grey((3, 20, 20), seed=1)

    result = run(by_plane, [volume], {"radius": 2}, spacing=(1, 1, 1))

    assert by_plane.halo({"radius": 2}, (1, 1, 1)) == (0, 2, 2)
    np.testing.assert_array_equal(result[1], run(median, [volume[1]], {"radius": 2}))
