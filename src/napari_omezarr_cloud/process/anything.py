"""Any function of scikit-image that takes an image, as an operation made from its signature.

Nobody described these: numbers are in pixels, images go in as they are, and what comes back is told
by a run. Importing this loads no scikit-image; asking for a function does.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.docstring import ParameterText, parameter_texts, summary_of
from napari_omezarr_cloud.process.dtypes import label_dtype, unchanged
from napari_omezarr_cloud.process.halo import ellipsoid
from napari_omezarr_cloud.process.literal import plain_literal
from napari_omezarr_cloud.process.operation import (
    Input,
    Operation,
    Parameter,
    ParameterType,
)
from napari_omezarr_cloud.process.skimage_tables import (
    EXCEPTIONS,
    FIRST,
    GIVES_COLOURS,
    HIDDEN,
    LABELLING,
    LEFT_OUT,
    OF_COLOURS,
    SECOND,
    SECOND_IF_NEEDED,
    SUBPACKAGES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["GROUP", "PREFIX", "AnyFunction", "any_functions", "any_operation", "call"]

PREFIX = "skimage"

GROUP = "Any function of scikit-image"
"""The heading above them."""

_WORD = re.compile(r"'([\w.+-]+)'")


@dataclass(frozen=True)
class AnyFunction:
    """A function that can be run, before anything is made of it.

    Attributes
    ----------
    name
        For `any_operation`: ``"skimage.filters.frangi"``.
    title
        ``"filters.frangi"``.
    help
        The first sentence of its docstring, as plain text.
    """

    name: str
    title: str
    help: str


@cache
def any_functions() -> tuple[AnyFunction, ...]:
    """Return every function of scikit-image that can be run on an image.

    Imports all of scikit-image's image packages the first time, which takes about a second: call
    it in a thread where somebody waits.
    """
    return tuple(
        AnyFunction(f"{PREFIX}.{title}", title, summary_of(function))
        for title, function in _functions()
        if not _refusal(title, function)
    )


@cache
def any_operation(name: str) -> Operation:
    """Return a function of scikit-image as an operation.

    Parameters
    ----------
    name
        ``"skimage.filters.frangi"``; imports that package.

    Raises
    ------
    OperationError
        If there is no such function, or it cannot be run on images; with the reason.
    """
    title = name.removeprefix(f"{PREFIX}.")
    function = _function(title)
    if function is None:
        near = get_close_matches(title, [each.title for each in any_functions()], n=3)
        raise OperationError(
            f"There is no operation {name!r}",
            why="scikit-image has no function of this name that takes an image",
            hint=f"Did you mean {' or '.join(f'{PREFIX}.{n}' for n in near)}?" if near else "",
        )
    refusal = _refusal(title, function)
    if refusal:
        raise OperationError(f"{name} cannot be run here", why=refusal)
    arguments = list(inspect.signature(function).parameters.values())
    inputs = tuple(_inputs(title, arguments))
    texts = parameter_texts(function)
    parameters = (
        _parameter(each, texts.get(each.name, ParameterText())) for each in arguments[len(inputs) :]
    )
    gives_labels = title in LABELLING
    return Operation(
        name=name,
        title=title,
        group=GROUP,
        function=f"{__name__}:call",
        kind="unbounded",
        output="labels" if gives_labels else "any",
        dtype_rule=label_dtype if gives_labels else unchanged,
        parameters=tuple(each for each in parameters if each is not None),
        inputs=inputs,
        fixed=(("skimage_function", title),),
        colours="together" if title in OF_COLOURS else "none",
        # Nobody measured it: it may hold up the window, and may have to be stopped.
        holds_gil=True,
        help=summary_of(function) or f"The function {name}.",
    )


def call(*arrays: npt.NDArray[Any], skimage_function: str, **values: Any) -> Any:
    """Return what a function of scikit-image gives, called as its users would.

    Parameters
    ----------
    *arrays
        The images; copies go in, since some functions write to them or refuse read-only arrays.
    skimage_function
        ``"filters.frangi"``.
    **values
        Only those that differ from the function's own defaults are passed on.
    """
    op = any_operation(f"{PREFIX}.{skimage_function}")
    subpackage, _, name = skimage_function.rpartition(".")
    function = getattr(import_module(f"{PREFIX}.{subpackage}"), name)
    defaults = {p.name: p.default for p in op.parameters if not p.is_required}
    keywords = {
        name: _as_argument(name, value, arrays[0].ndim)
        for name, value in values.items()
        if name not in defaults or value != defaults[name]
    }
    arguments = inspect.signature(function).parameters
    colours = arguments.get("channel_axis")
    if op.colours == "none" and colours is not None and colours.default is not None:
        keywords["channel_axis"] = None
        if "convert2lab" in arguments:
            keywords["convert2lab"] = False
    return function(*(np.array(array) for array in arrays), **keywords)


def _as_argument(name: str, value: Any, ndim: int) -> Any:
    """Return a value as scikit-image wants it: footprints and kernels are arrays."""
    if name == "footprint" and isinstance(value, int | float) and not isinstance(value, bool):
        return ellipsoid((float(value),) * ndim).astype(np.uint8)
    if isinstance(value, tuple) and value and all(isinstance(row, tuple) for row in value):
        return np.array(value)
    return value


# ---- finding them -----------------------------------------------------------------------------


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for subpackage in SUBPACKAGES:
        for name in sorted(import_module(f"{PREFIX}.{subpackage}").__all__):
            title = f"{subpackage}.{name}"
            function = _function(title)
            if function is not None:
                yield title, function


def _function(title: str) -> Callable[..., Any] | None:
    """Return a public function that takes an image first; None where there is none."""
    subpackage, _, name = title.rpartition(".")
    if subpackage not in SUBPACKAGES:
        return None
    module = import_module(f"{PREFIX}.{subpackage}")
    function = getattr(module, name, None) if name in module.__all__ else None
    if not inspect.isroutine(function):
        return None
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except ValueError:
        return None
    return function if arguments and arguments[0].name in FIRST else None


def _refusal(title: str, function: Callable[..., Any]) -> str:
    """Return why a function cannot be run here; empty where it can."""
    if title in LEFT_OUT:
        return LEFT_OUT[title]
    if title.startswith("color.") and title not in OF_COLOURS:
        return GIVES_COLOURS
    if summary_of(function).lower().startswith(("**deprecated", ".. deprecated", "deprecated")):
        return "scikit-image will take it away"
    return ""


# ---- its inputs and parameters ----------------------------------------------------------------


def _inputs(title: str, arguments: Sequence[inspect.Parameter]) -> Iterator[Input]:
    first, *rest = arguments
    yield Input(first.name, EXCEPTIONS.get((title, first.name), FIRST[first.name]))
    if not rest:
        return
    second = rest[0]
    kind = SECOND.get(second.name)
    if kind is None and second.default is second.empty:
        kind = SECOND_IF_NEEDED.get(second.name)
    if kind is not None:
        yield Input(second.name, EXCEPTIONS.get((title, second.name), kind))


def _parameter(argument: inspect.Parameter, text: ParameterText) -> Parameter | None:
    """Return how an argument is set; None where it stays at its default."""
    is_open = argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
    if is_open or argument.name in HIDDEN:
        return None
    is_required = argument.default is argument.empty
    try:
        default = None if is_required else plain_literal(argument.default)
    except ValueError:  # a function, a class, an array
        return None
    if isinstance(default, float) and not math.isfinite(default):
        return None
    choices = _choices(text.type, default)
    kind = _type(default, text.type, has_choices=bool(choices))
    help = text.help
    if kind == "literal" and text.type:
        help = f"{help} Type: {text.type}.".strip()
    if argument.name == "footprint":
        help = f"{help} A number is the radius of a disk or ball in pixels.".strip()
    return Parameter(
        name=argument.name,
        type=kind,
        default=float(default) if kind == "float" and isinstance(default, int) else default,
        label=argument.name,
        help=help or f"The argument {argument.name}.",
        choices=choices,
        step=_step(default),
        is_required=is_required,
    )


def _type(default: Any, written: str, *, has_choices: bool) -> ParameterType:
    if isinstance(default, bool):
        return "bool"
    if has_choices:
        return "choice"
    if isinstance(default, int):
        is_float = any(word in written for word in ("float", "scalar", "number"))
        return "float" if is_float else "int"
    return "float" if isinstance(default, float) else "literal"


def _choices(written: str, default: Any) -> tuple[str, ...]:
    """Return the words of ``{'a', 'b'}``, as numpydoc writes choices."""
    braces = re.search(r"\{([^{}]*)\}", written)
    if braces is None or not isinstance(default, str) or "..." in braces.group(1):
        return ()
    words = tuple(dict.fromkeys(_WORD.findall(braces.group(1))))
    return words if default in words else ()


def _step(default: Any) -> float | None:
    """Return what one click changes: a tenth of the default's own size."""
    if not isinstance(default, float) or default == 0:
        return None
    return float(10.0 ** math.floor(math.log10(abs(default)) - 0.5))
