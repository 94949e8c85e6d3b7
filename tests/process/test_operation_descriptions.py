"""The descriptions: complete, picklable, cheap to load; values checked, never clamped."""

from __future__ import annotations

import pickle
import runpy
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import (
    Operation,
    Parameter,
    get_operation,
    operations,
    validate,
)
from napari_omezarr_cloud.process.dtypes import unchanged
from napari_omezarr_cloud.process.halo import pixelwise

ROOT = Path(__file__).parents[2]

SPOTS = Operation(
    name="spots",
    title="Spots",
    group="Filters",
    function="somewhere:spots",
    kind="local",
    output="image",
    parameters=(
        Parameter(name="size", type="length", default=1.0, minimum=0.0, label="Size", help="…"),
        Parameter(
            name="count", type="int", default=3, minimum=1, maximum=9, label="Count", help="…"
        ),
        Parameter(name="dark", type="bool", default=False, label="Dark", help="…"),
        Parameter(
            name="shape",
            type="choice",
            default="disk",
            choices=("disk", "box"),
            label="S",
            help="…",
        ),
    ),
    halo_rule=pixelwise,
    dtype_rule=unchanged,
    help="For this test.",
)


@pytest.mark.parametrize("module", ["process", "process.registry", "process.recipe"])
def test_describing_operations_loads_neither_skimage_nor_scipy_nor_dask(module: str) -> None:
    code = (
        f"import sys, napari_omezarr_cloud.{module}\n"
        "from napari_omezarr_cloud.process import operations; operations()\n"
        "heavy = {'skimage', 'scipy', 'dask', 'zarr', 'napari', 'qtpy', 'yaml'}\n"
        "print(*heavy.intersection(m.partition('.')[0] for m in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


@pytest.mark.parametrize("op", operations().values(), ids=lambda op: op.name)
def test_every_description_is_complete(op: Operation) -> None:
    texts = [op.title, op.group, op.help, *(p.label for p in op.parameters)]
    texts += [p.help for p in op.parameters]

    assert all(text and text == text.strip() and "\n" not in text for text in texts)
    assert op.help.endswith(".")
    assert (op.halo_rule is None) == (op.kind in ("unbounded", "objects", "table"))
    assert op.output == "image" or op.colours != "each"
    assert validate(op, {}).keys() == {p.name for p in op.parameters}
    assert all(p.unit and p.minimum == 0 for p in op.parameters if p.type == "length")


@pytest.mark.parametrize("op", operations().values(), ids=lambda op: op.name)
def test_a_description_travels_to_another_process(op: Operation) -> None:
    there = pickle.loads(pickle.dumps(op))

    assert there.name == op.name and there.parameters == op.parameters
    assert there.halo({}, (0.5, 0.5)) == op.halo({}, (0.5, 0.5))


def test_the_page_of_operations_says_what_the_descriptions_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "operations_page.py"))

    written = script["PAGE"].read_text(encoding="utf-8")

    assert written == script["page"](), "run: python scripts/operations_page.py"


def test_there_are_operations_of_every_group() -> None:
    groups = [group for group, _ in groupby(op.group for op in operations().values())]

    assert len(groups) == len(set(groups)), "a group's operations stand together"
    assert len(operations()) >= 100


def test_names_are_unique_and_a_misspelt_one_finds_its_neighbour() -> None:
    assert all(op.name == name for name, op in operations().items())
    with pytest.raises(OperationError, match=r"'gausian'.*Did you mean gaussian"):
        get_operation("gausian")


def test_a_name_like_no_other_lists_what_there_is() -> None:
    with pytest.raises(OperationError, match="There are: gaussian, median"):
        get_operation("xyzzy")


def test_values_become_plain_and_defaults_are_filled_in() -> None:
    values = validate(SPOTS, {"size": np.float32(2), "count": 4.0, "dark": np.True_})

    assert values == {"size": 2.0, "count": 4, "dark": True, "shape": "disk"}
    assert [type(value) for value in values.values()] == [float, int, bool, str]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"size": -1}, "size = -1: Size must be a number of at least 0", id="below"),
        pytest.param({"count": 10}, "count = 10.*a whole number from 1 to 9", id="above"),
        pytest.param({"count": 1.5}, "a whole number", id="not whole"),
        pytest.param({"size": float("nan")}, "size = nan", id="nan"),
        pytest.param({"size": float("inf")}, "size = inf", id="infinite"),
        pytest.param({"size": "2"}, "size = '2'", id="text"),
        pytest.param({"size": True}, "size = True", id="a bool is no number"),
        pytest.param({"size": None}, "size = None", id="nothing"),
        pytest.param({"dark": 1}, "true or false", id="a number is no bool"),
        pytest.param({"shape": "star"}, "one of disk, box", id="no such choice"),
        pytest.param({"shape": []}, "one of disk, box", id="a list"),
        pytest.param({"sise": 1}, "no parameter 'sise'.*Did you mean size", id="misspelt"),
        pytest.param({1: 1}, "size, count, dark, shape", id="no name at all"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(values, message) -> None:
    with pytest.raises(OperationError, match=message):
        validate(SPOTS, values)


def test_a_statistic_may_be_left_to_the_image() -> None:
    assert validate(get_operation("threshold_otsu"), {"threshold": None}) == {"threshold": None}


@pytest.mark.parametrize(
    ("pixel_size", "expected"),
    [(None, (2.0, 100.0, "px")), (0.325, (0.65, 32.0, "µm")), (0.004, (0.008, 0.4, "µm"))],
)
def test_a_form_starts_from_numbers_that_suit_the_pixels(pixel_size, expected) -> None:
    sigma = get_operation("gaussian").parameters[0].for_pixel_size(pixel_size)

    assert (sigma.default, sigma.maximum, sigma.unit) == expected


@pytest.mark.parametrize(
    ("sigma", "spacing", "too_coarse"),
    [
        pytest.param(1.0, (0.5, 0.5), False, id="two pixels"),
        pytest.param(1.0, (4.0, 4.0), True, id="a quarter pixel"),
        pytest.param(1.0, (4.0, 0.5, 0.5), False, id="only z is coarse"),
        pytest.param(0.0, (4.0, 4.0), False, id="nothing was wanted"),
    ],
)
def test_a_length_below_half_a_pixel_is_too_coarse_to_preview(sigma, spacing, too_coarse) -> None:
    assert get_operation("gaussian").is_too_coarse({"sigma": sigma}, spacing) is too_coarse
