"""Users' own operations: a decorated function, one defined again, and what packages bring."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from scipy import ndimage

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import Recipe, Step, get_operation, operations, registry, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = np.arange(60, dtype=np.uint16).reshape(6, 10)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Take away what a test has added."""
    before = set(operations())
    yield
    for name in set(operations()) - before:
        registry.remove_operation(name)


def add(image, number: float = 1.0):
    """Add a number to every pixel. It is that simple."""
    return image + number


def test_a_decorated_function_is_an_operation_and_still_a_function() -> None:
    same = noc.operation(add)

    op = operations()["add"]
    assert same is add
    assert (op.title, op.group, op.help) == ("Add", "Your own", "Add a number to every pixel.")
    assert (op.kind, op.output, op.halo({}, (1.0, 1.0))) == ("unbounded", "image", None)
    result = run(op, [IMAGE], {"number": 0.5})
    np.testing.assert_array_equal(result, IMAGE + 0.5)
    assert result.dtype == op.output_dtype([IMAGE.dtype]) == np.float32


def test_a_form_is_made_from_the_signature() -> None:
    @noc.operation(lengths=("sigma",), group="Spots")
    def spots(
        image,
        sigma: float = 2,
        mode: Literal["bright", "dark"] = "dark",
        n: int = 3,
        quick: bool = False,
        *,
        note="as it is",
        limits: tuple[float, float] | None = None,
        offset=0.5,
    ):
        """Find spots.

        Parameters
        ----------
        sigma : float
            Size of a spot. Smaller ones are noise.
        """
        return image

    parameters = {p.name: p for p in operations()["spots"].parameters}

    types = {name: p.type for name, p in parameters.items()}
    assert types == {
        "sigma": "length",
        "mode": "choice",
        "n": "int",
        "quick": "bool",
        "note": "text",
        "limits": "literal",
        "offset": "float",
    }
    assert parameters["sigma"].default == 2.0
    assert (parameters["sigma"].unit, parameters["sigma"].help) == ("µm", "Size of a spot.")
    assert parameters["mode"].choices == ("bright", "dark")
    assert parameters["limits"].accept([0, 1.5], "Spots") == (0, 1.5)
    assert parameters["note"].accept("(a, b", "Spots") == "(a, b"


def test_lengths_reach_the_function_in_pixels_of_each_axis() -> None:
    given = []

    @noc.operation(lengths=["sigma"], halo=lambda sigma: 4 * sigma, dtype="same")
    def blur(image, sigma: float = 1.0):
        given.append(sigma)
        return ndimage.gaussian_filter(image, sigma)

    op = operations()["blur"]
    result = run(op, [IMAGE], {"sigma": 1.0}, spacing=(2.0, 0.5))

    assert given == [(0.5, 2.0)]
    assert op.kind == "local"
    assert op.halo({"sigma": 1.0}, (2.0, 0.5)) == (2, 8)
    assert result.dtype == np.uint16


def test_a_halo_can_be_a_number_of_pixels() -> None:
    noc.operation(halo=3, name="near")(add)

    assert operations()["near"].halo({}, (0.1, 0.1)) == (3, 3)


def test_arguments_without_a_default_are_the_arrays_it_takes() -> None:
    @noc.operation(output="labels")
    def grow(image, labels, /, steps: int = 1):
        return labels, steps

    op = operations()["grow"]
    assert [(i.name, i.kind) for i in op.inputs] == [("image", "image"), ("labels", "labels")]
    assert op.kind == "objects"
    result = run(op, [IMAGE, IMAGE > 3], {})
    np.testing.assert_array_equal(result, IMAGE > 3)
    assert result.dtype == np.int32


def test_descriptions_given_by_hand_win() -> None:
    @noc.operation(
        name="above_both",
        title="Above both",
        parameters=[
            noc.Parameter(
                name="low", type="float", default=0.2, label="Low", help="…", minimum=0, maximum=1
            )
        ],
        inputs=[noc.Input("image"), noc.Input("seeds", "mask")],
        output="mask",
        dims="plane",
    )
    def function(a, b, low=0.5):
        assert a.ndim == 2 and b.dtype == bool
        return (a > low) & b

    result = run(operations()["above_both"], [np.stack([IMAGE] * 3), np.ones((3, 6, 10))], {})

    assert result.dtype == bool and result.sum() == 3 * 59
    with pytest.raises(OperationError, match="Low must be a number from 0 to 1"):
        run(operations()["above_both"], [IMAGE, IMAGE], {"low": 2})


def test_running_a_cell_again_redefines_the_operation() -> None:
    cell = "@noc.operation{}\ndef shift(image, by: int = {}):\n    return image + by + {}\n"
    notebook: dict[str, Any] = {"noc": noc, "__name__": "__main__"}
    exec(cell.format("", 1, 0), notebook)
    first = get_operation("shift")
    exec(cell.format("", 2, 10), notebook)

    second = get_operation("shift")
    assert [op.parameters[0].default for op in (first, second)] == [1, 2]
    assert run(second, [IMAGE], {}).flat[0] == 12
    assert run(first, [IMAGE], {}).flat[0] == 1, "what was made before stays what it was"
    exec(cell.format("(name='move')", 3, 0), notebook)
    assert "move" in operations() and "shift" not in operations()


def test_a_recipe_knows_an_operation_of_ones_own() -> None:
    noc.operation(add)
    recipe = Recipe((Step("add", {"number": 3}),))

    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


@pytest.mark.parametrize("module", ["elsewhere", "__main__"])
def test_a_name_that_is_taken_names_the_other(module: str) -> None:
    def gaussian(image):
        return image

    gaussian.__module__ = module
    with pytest.raises(OperationError, match=r"already an operation 'gaussian'.*Gaussian blur"):
        noc.operation(gaussian)
    noc.operation(add)
    with pytest.raises(
        OperationError, match=r"'add': it is Add \(Your own\), .*:add.*another name"
    ):
        noc.operation(name="add")(gaussian)
    assert get_operation("gaussian").title == "Gaussian blur"


class Mode(Enum):
    ONE = 1


def no_array(sigma=1.0): ...
def many(image, *more): ...
def open_ended(image, **more): ...
def positional(image, sigma=1.0, /): ...
def needed(image, *, sigma): ...
def an_enum(image, mode=Mode.ONE): ...
def a_callable(image, function=print): ...
def not_a_choice(image, mode: Literal["a", "b"] = "c"): ...
def not_a_number(image, sigma: float = "2"): ...  # type: ignore[assignment]
def plain(image, sigma: float = 1.0, name: str = "a"): ...


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (no_array, {}, "no_array cannot be made an operation: it takes no array"),
        (many, {}, r"what \*more takes"),
        (open_ended, {}, r"what \*\*more takes"),
        (positional, {}, "sigma cannot be given by name"),
        (needed, {}, "sigma has no default"),
        (an_enum, {}, "no field for mode = <Mode.ONE"),
        (a_callable, {}, "no field for function"),
        (not_a_choice, {}, "no field for mode = 'c'"),
        (not_a_number, {}, "no field for sigma = '2'"),
        (lambda image: image, {}, "no name of its own"),
        (Mode, {}, "it is no function"),
        (plain, {"lengths": ["name"]}, "A length is a number"),
        (plain, {"lengths": ["sgima"]}, "no argument sgima.*There are: sigma, name"),
        (plain, {"inputs": [noc.Input("a"), noc.Input("b")]}, "takes 1 arrays"),
        (plain, {"output": "table"}, "its output is 'table'"),
        (plain, {"output": "mask", "dtype": "uint8"}, "a layer of mask cannot hold uint8"),
        (plain, {"dtype": "complex64"}, "cannot hold complex64"),
        (plain, {"dtype": "float33"}, "there is no dtype 'float33'"),
        (plain, {"halo": -1}, "its halo is -1"),
        (plain, {"halo": lambda radius: radius}, "asks for radius"),
        (plain, {"dims": "planes"}, "'planes' is none of any, plane"),
        (plain, {"name": "my blur"}, "cannot be called 'my blur'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_an_operation_is_told_why(function, options, message) -> None:
    before = dict(operations())

    with pytest.raises(OperationError, match=message):
        noc.operation(**options)(function)

    assert operations() == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(None, "it gave nothing", id="nothing"),
        pytest.param(3.25, "it gave 3.25", id="a number"),
        pytest.param(np.zeros((4, 2)), "a table of 4 × 2 numbers", id="a table"),
        pytest.param("done", "the text 'done'", id="a text"),
        pytest.param({"area": [1, 2]}, "a table of area", id="a dictionary"),
        pytest.param([1, 2.5], "it gave 1, 2.5", id="few numbers"),
        pytest.param((np.zeros(3), "x"), "0, 0, 0 and the text 'x'", id="several things"),
        pytest.param(object(), "an object of type object", id="something else"),
    ],
)
def test_a_function_that_gives_no_image_is_told_what_it_gave(given: Any, told: str) -> None:
    noc.operation(name="giver")(lambda_named(lambda image: given))

    with pytest.raises(OperationError, match=f"Giver gave no image of this size.*{told}"):
        run(get_operation("giver"), [IMAGE], {})


class OddError(Exception):
    """Not one of Python's."""


@pytest.mark.parametrize(
    ("error", "told"),
    [(OddError("the lamp is off"), "the lamp is off"), (KeyError("z"), "KeyError: 'z'")],
)
def test_a_function_that_raises_shows_its_own_message(error: Exception, told: str) -> None:
    def fail(image):
        raise error

    noc.operation(fail)

    with pytest.raises(OperationError, match=f"Fail failed on uint16.*{told}"):
        run(get_operation("fail"), [IMAGE], {})


def test_a_halo_that_cannot_be_told_is_no_traceback() -> None:
    @noc.operation(halo=lambda n: 1 / n)
    def divide(image, n: int = 0):
        return image

    with pytest.raises(OperationError, match=r"divide cannot tell its halo: division by zero"):
        get_operation("divide").halo({}, (1.0, 1.0))


def lambda_named(function: Any) -> Any:
    def giver(image):
        return function(image)

    return giver


# ---- installed packages: in a process of its own, since a registry loads them once -------------


@pytest.fixture
def install(tmp_path: Path) -> Any:
    """``install("spots", {"blobs": "spots:OPS"}, code)`` installs a distribution with a module."""

    def make(name: str, points: dict[str, str], code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[napari_omezarr_cloud.operations]\n{lines}\n")

    return make


def in_a_fresh_python(path: Path, code: str) -> tuple[str, str]:
    """Return what a Python with these distributions prints, and its warnings."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    return done.stdout.strip(), done.stderr


MODULE = """
import napari_omezarr_cloud as noc

@noc.operation
def negative(image):
    "Turn bright to dark."
    return -image.astype(float)

OPERATIONS = [noc.Operation(
    name="twice", title="Twice", group="Spots", function="spots:double", kind="unbounded",
    output="image", help="Twice.", dtype_rule=lambda dtypes: dtypes[0],
)]
ONE = OPERATIONS[0]

def double(image):
    return 2 * image
"""
RUN = """
import numpy as np
from napari_omezarr_cloud.process import get_operation, operations, run
print(*(run(get_operation(n), [np.ones((2, 2), "f4")], {}).max() for n in ("negative", "twice")))
"""


@pytest.mark.parametrize(
    "points",
    [
        pytest.param({"all": "spots", "list": "spots:OPERATIONS"}, id="a module and a list"),
        pytest.param({"one": "spots:negative", "two": "spots:ONE"}, id="one by one"),
    ],
)
def test_packages_bring_operations_by_entry_points(install, tmp_path: Path, points) -> None:
    install("spots", points, MODULE)

    printed, warned = in_a_fresh_python(tmp_path, RUN)

    assert printed == "-1.0 2.0"
    assert warned == ""


def test_a_broken_package_is_named_and_breaks_nothing_else(install, tmp_path: Path) -> None:
    install("broken", {"first": "broken", "second": "broken:x"}, "import nothing_of_this_name")
    install("leaving", {"out": "leaving"}, "raise SystemExit(3)")
    install("odd", {"number": "odd:N", "gone": "odd:GONE"}, "N = 3")
    install("rival", {"one": "rival"}, MODULE.replace("def negative", "def gaussian"))
    install("spots", {"all": "spots", "list": "spots:OPERATIONS"}, MODULE)

    printed, warned = in_a_fresh_python(tmp_path, RUN + "operations()")

    assert printed == "-1.0 2.0"
    for told in (
        "broken 1.2 (entry point first = broken): ModuleNotFoundError: No module named "
        "'nothing_of_this_name'",
        "broken 1.2 (entry point second = broken:x)",
        "leaving 1.2 (entry point out = leaving): SystemExit: 3",
        "odd 1.2 (entry point number = odd:N): TypeError: 3 is no operation",
        "odd 1.2 (entry point gone = odd:GONE): AttributeError",
        "rival 1.2 (entry point one = rival): There is already an operation 'gaussian'",
    ):
        assert warned.count(told) == 1, warned
    assert "spots" not in warned.replace("Spots", "")
