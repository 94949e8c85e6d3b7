"""Users' own operations: a decorator over a plain function, and packages that bring some.

A package announces them as entry points of the group ``napari_omezarr_cloud.operations``; each
names a module (imported for its decorators), an `Operation`, or a list of them.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType, UnionType
from typing import (
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.docstring import ParameterText, parameter_texts, summary_of
from napari_omezarr_cloud.process.dtypes import (
    always_float32,
    given_dtype,
    label_dtype,
    mask_dtype,
    unchanged,
)
from napari_omezarr_cloud.process.functions import remember, remembered
from napari_omezarr_cloud.process.halo import reach_of
from napari_omezarr_cloud.process.literal import plain_literal
from napari_omezarr_cloud.process.operation import (
    Colours,
    Dims,
    DtypeRule,
    HaloRule,
    Input,
    InputKind,
    Kind,
    Operation,
    Output,
    Parameter,
    ParameterType,
)
from napari_omezarr_cloud.process.registry import add_operation, remove_operation

__all__ = ["ENTRY_POINTS", "load_installed", "operation"]

ENTRY_POINTS = "napari_omezarr_cloud.operations"
"""The group of entry points that is looked for."""

F = TypeVar("F", bound=Callable[..., Any])
Halo: TypeAlias = "int | Callable[..., float | Sequence[float]]"

_INPUT_KINDS: Mapping[str, InputKind] = {
    "labels": "labels",
    "label_image": "labels",
    "mask": "mask",
}
"""What an array is taken for by its name; any other is an image."""

_KINDS: Mapping[type, ParameterType] = {bool: "bool", int: "int", float: "float", str: "text"}

_RULES: Mapping[Output, tuple[DtypeRule, str]] = {
    "image": (always_float32, "biuf"),
    "mask": (mask_dtype, "b"),
    "labels": (label_dtype, "iu"),
}
"""Output → the dtype unless told otherwise, and the kinds of dtype it can have."""

_names: dict[str, str] = {}
"""Path of a function → the name of the operation it is."""


@overload
def operation(function: F, /) -> F: ...
@overload
def operation(
    *,
    name: str = ...,
    title: str = ...,
    group: str = ...,
    help: str = ...,
    parameters: Sequence[Parameter] = ...,
    lengths: Sequence[str] = ...,
    inputs: Sequence[Input] = ...,
    output: Output = ...,
    dtype: npt.DTypeLike | None = ...,
    halo: Halo | None = ...,
    dims: Dims = ...,
    colours: Colours | None = ...,
    holds_gil: bool = ...,
) -> Callable[[F], F]: ...
def operation(
    function: Any = None,
    /,
    *,
    name: str = "",
    title: str = "",
    group: str = "Your own",
    help: str = "",
    parameters: Sequence[Parameter] = (),
    lengths: Sequence[str] = (),
    inputs: Sequence[Input] = (),
    output: Output = "image",
    dtype: npt.DTypeLike | None = None,
    halo: Halo | None = None,
    dims: Dims = "any",
    colours: Colours | None = None,
    holds_gil: bool = False,
) -> Any:
    """Make a function an operation: in the Process dock, in recipes and in ``noc.apply``.

    The function stays as it is and can be called as before. Its arguments without a default are
    the arrays it takes (``yx`` or ``zyx``), those with one are what can be set. Defining it again
    (running a cell of a notebook once more) replaces it.

    Parameters
    ----------
    name
        The word in recipes and scripts; the function's name unless given.
    title, group, help
        What the window shows: a few words, the heading above them, one line. Unless given, they
        come from the function's name and the first sentence of its docstring.
    parameters
        Descriptions of arguments whose annotation and default do not say enough.
    lengths
        Arguments that are lengths in µm. As an operation, the function gets them in pixels of the
        level it runs on: a tuple, one number per axis.
    inputs
        What each array must be, in order. Unless given, an array called ``labels`` or
        ``label_image`` takes labels, one called ``mask`` a mask, any other grey values.
    output
        ``"image"``, ``"mask"`` or ``"labels"``; of the shape of the arrays.
    dtype
        Of the result: ``"same"`` as the first array, or a numpy dtype. Unless given, float32 for
        images, bool for masks, int32 for labels.
    halo
        How many pixels around a pixel count for its result: a number, or a function of the
        arguments it names (lengths as arrays in pixels, one number per axis). With it, large
        images are computed chunk by chunk. Without it, what is in view is computed as one array.
    dims
        ``"any"`` if the function works on planes and volumes, ``"plane"`` to give it each plane
        of a volume.
    colours
        Of a colour picture: ``"each"`` treats every colour alone, ``"together"`` gives the
        function all of them as a last axis, ``"none"`` refuses it.
    holds_gil
        Run it in another process: for what keeps the window from answering, or takes so long that
        *Cancel* should end it. A function that cannot be imported, such as one of a notebook, runs
        in this process all the same.

    Raises
    ------
    OperationError
        If the signature cannot be made a form, or the name is taken.
    """

    def register(function: F) -> F:
        signature = _signature_of(function)
        arrays = _inputs_of(function, signature, inputs)
        settable = tuple(_parameters_of(function, signature, arrays, parameters, lengths))
        called = name or function.__name__
        for word, known in ((dims, get_args(Dims)), (colours or "none", get_args(Colours))):
            if word not in known:
                raise _refused(function, f"{word!r} is none of {', '.join(known)}")
        op = Operation(
            name=called,
            title=title or _words(called),
            group=group,
            function=f"{function.__module__}:{function.__qualname__}",
            kind=_kind_of(output, halo),
            output=output,
            help=help or summary_of(function) or f"{function.__name__}, a function of your own.",
            dtype_rule=_dtype_rule_of(function, output, dtype),
            halo_rule=None if halo is None else _halo_rule(function, settable, halo),
            parameters=settable,
            inputs=arrays,
            dims=dims,
            colours=colours or ("each" if output == "image" else "none"),
            holds_gil=holds_gil,
        )
        add_operation(op)
        earlier = _names.get(op.function, op.name)
        if earlier != op.name:
            remove_operation(earlier)
        _names[remember(function)] = op.name
        return function

    return register if function is None else register(function)


# ---- the signature ------------------------------------------------------------------------------


def _words(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _refused(function: Any, why: str, hint: str = "") -> OperationError:
    called = getattr(function, "__name__", None) or repr(function)
    return OperationError(f"{called} cannot be made an operation", why=why, hint=hint)


def _signature_of(function: Any) -> inspect.Signature:
    if not inspect.isroutine(function):
        raise _refused(function, "it is no function", "Write one around it.")
    if function.__name__ == "<lambda>":
        raise _refused(function, "it has no name of its own", "Define it with def.")
    try:
        return inspect.signature(function)
    except ValueError as exc:
        raise _refused(
            function, "it does not tell its arguments", "Write a function around it."
        ) from exc


def _inputs_of(
    function: Any, signature: inspect.Signature, given: Sequence[Input]
) -> tuple[Input, ...]:
    """Return the arrays: what stands in front without a default."""
    for each in signature.parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            stars = "*" if each.kind == each.VAR_POSITIONAL else "**"
            raise _refused(
                function,
                f"nobody can tell what {stars}{each.name} takes",
                "Name its arguments one by one.",
            )
        if each.default is not each.empty and each.kind == each.POSITIONAL_ONLY:
            raise _refused(
                function,
                f"{each.name} cannot be given by name",
                f"Put the / in front of {each.name}.",
            )
        if each.default is each.empty and each.kind == each.KEYWORD_ONLY:
            raise _refused(function, f"{each.name} has no default", "Give it one.")
    names = [p.name for p in signature.parameters.values() if p.default is p.empty]
    if not names:
        raise _refused(
            function, "it takes no array", "Its first argument, without a default, is the image."
        )
    if given and len(given) != len(names):
        raise _refused(
            function,
            f"it takes {len(names)} arrays ({', '.join(names)}), and {len(given)} are described",
            "Arguments that can be set need a default.",
        )
    return tuple(given) or tuple(Input(name, _INPUT_KINDS.get(name, "image")) for name in names)


def _parameters_of(
    function: Any,
    signature: inspect.Signature,
    arrays: Sequence[Input],
    described: Sequence[Parameter],
    lengths: Sequence[str],
) -> Iterator[Parameter]:
    settable = list(signature.parameters.values())[len(arrays) :]
    names = [each.name for each in settable]
    by_name = {each.name: each for each in described}
    for name in [*by_name, *lengths]:
        if name not in names:
            raise _refused(
                function,
                f"it has no argument {name} that can be set",
                f"There are: {', '.join(names)}." if names else "",
            )
    texts = parameter_texts(function)
    for each in settable:
        if each.name in by_name:
            yield by_name[each.name]
        else:
            text = texts.get(each.name, ParameterText())
            annotation = _annotation_of(function, each)
            yield _parameter(function, each, annotation, text, is_length=each.name in lengths)


def _annotation_of(function: Any, each: inspect.Parameter) -> Any:
    """Return an annotation as a type, where it is written as a text too (PEP 563)."""
    if not isinstance(each.annotation, str):
        return each.annotation

    def alone() -> None: ...

    # One by one: that of the image may be imported for type checkers only.
    alone.__annotations__ = {each.name: each.annotation}
    around = inspect.getclosurevars(function).nonlocals
    try:
        return get_type_hints(alone, function.__globals__, dict(around))[each.name]
    except Exception:  # its name cannot be told, or it is no annotation at all
        return each.empty


def _parameter(
    function: Any,
    each: inspect.Parameter,
    annotation: Any,
    text: ParameterText,
    *,
    is_length: bool,
) -> Parameter:
    label = _words(each.name)
    kind, choices = _type_of(each, annotation)
    if is_length:
        is_number = kind in ("int", "float") and each.default >= 0
        kind = "length" if is_number else None
    if kind is None:
        raise _refused(
            function,
            f"there is no field for {each.name} = {each.default!r}",
            "A length is a number from 0 on."
            if is_length
            else "Use a number, a bool, a text, a Literal of words, a tuple or None.",
        )
    default: Any = each.default
    if kind in ("float", "length"):
        default = float(default)
    return Parameter(
        name=each.name,
        type=kind,
        default=plain_literal(default) if kind == "literal" else default,
        label=label,
        help=text.help or f"{label}.",
        choices=choices,
        minimum=0.0 if is_length else None,
        step=0.5 if is_length else None,
        unit="µm" if is_length else None,
    )


def _type_of(
    each: inspect.Parameter, annotation: Any
) -> tuple[ParameterType | None, tuple[str, ...]]:
    """Return the type of a parameter, and its choices; None where there is no field for it."""
    default, origin = each.default, get_origin(annotation)
    if origin is Literal:
        words = get_args(annotation)
        if all(isinstance(word, str) for word in words):
            return ("choice", words) if default in words else (None, ())
    declared = annotation if isinstance(annotation, type) and annotation in _KINDS else None
    kind = float if declared is float and type(default) is int else type(default)
    if kind in _KINDS and origin not in (Union, UnionType):
        return (_KINDS[kind], ()) if declared in (None, kind) else (None, ())
    try:
        plain_literal(default)
    except ValueError:
        return None, ()
    return "literal", ()


# ---- what comes out, and how far it looks -----------------------------------------------------


def _kind_of(output: Output, halo: Halo | None) -> Kind:
    if halo is not None:
        return "local"
    return "objects" if output == "labels" else "unbounded"


def _dtype_rule_of(function: Any, output: Output, dtype: npt.DTypeLike | None) -> DtypeRule:
    if output not in _RULES:
        raise _refused(function, f"its output is {output!r}", "Use image, mask or labels.")
    rule, kinds = _RULES[output]
    if dtype is None:
        return rule
    if isinstance(dtype, str) and dtype == "same":
        return unchanged
    try:
        wanted = np.dtype(dtype)
    except TypeError as exc:
        raise _refused(
            function, f"there is no dtype {dtype!r}", 'Use "same" or a dtype of numpy.'
        ) from exc
    if wanted.kind not in kinds or wanted == np.float16:
        raise _refused(function, f"a layer of {output} cannot hold {wanted}")
    return partial(given_dtype, dtype=wanted.newbyteorder("="))


def _halo_rule(function: Any, parameters: Sequence[Parameter], halo: Halo) -> HaloRule:
    if not callable(halo):
        if isinstance(halo, bool) or not isinstance(halo, int | np.integer) or halo < 0:
            raise _refused(
                function, f"its halo is {halo!r}", "A halo is a whole number of pixels from 0 on."
            )
        return partial(reach_of, pixels=int(halo))
    names = list(inspect.signature(halo).parameters)
    known = [parameter.name for parameter in parameters]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _refused(
            function,
            f"its halo asks for {', '.join(unknown)}",
            f"It can be told: {', '.join(known)}." if known else "Nothing can be set on it.",
        )
    return partial(_reach, halo=halo, names=tuple(names), title=function.__name__)


def _reach(
    values: Mapping[str, Any],
    ndim: int,
    *,
    halo: Callable[..., Any],
    names: Sequence[str],
    title: str,
) -> tuple[int, ...]:
    """Ask a user's function for the halo; lengths are arrays, so that ``4 * sigma`` is a number."""
    asked = {name: values[name] for name in names}
    try:
        reach = halo(**{k: np.array(v) if isinstance(v, tuple) else v for k, v in asked.items()})
        per_axis = np.broadcast_to(np.asarray(reach, dtype=np.float64), (ndim,))
    except Exception as exc:  # whatever a user's function raises
        raise OperationError(f"{title} cannot tell its halo", why=str(exc)) from exc
    if not (np.isfinite(per_axis).all() and (per_axis >= 0).all()):
        raise OperationError(f"{title} cannot tell its halo", why=f"it gave {reach}")
    return tuple(int(pixels) for pixels in np.ceil(per_axis - 1e-6))


# ---- installed packages -------------------------------------------------------------------------

_loading = threading.RLock()
_is_begun = _is_done = False


def load_installed() -> None:
    """Add the operations of installed packages; does it once.

    A package whose operations cannot be loaded is named in a warning, and the rest goes on.
    """
    global _is_begun, _is_done
    if _is_done:
        return
    with _loading:
        if _is_begun:  # by this thread: what is imported here may ask for operations itself
            return
        _is_begun = True
        problems = [problem for entry in _entries() if (problem := _load(entry))]
        _is_done = True
    for problem in problems:
        warnings.warn(str(problem), stacklevel=3)


def _entries() -> list[EntryPoint]:
    found = entry_points(group=ENTRY_POINTS)
    return sorted(found, key=lambda entry: (_distribution(entry), entry.name))


def _load(entry: EntryPoint) -> OperationError | None:
    """Add what an entry point names; return what went wrong."""
    try:
        for op in _operations_in(entry.load()):
            add_operation(op)
    except (Exception, SystemExit) as exc:  # importing others' code can do anything
        why = str(exc) if isinstance(exc, OperationError) else f"{type(exc).__name__}: {exc}"
        return OperationError(
            f"Could not load the operations of {_distribution(entry)} "
            f"(entry point {entry.name} = {entry.value})",
            why=why.rstrip("."),
            hint="Update or uninstall that package.",
        )
    return None


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package"


def _operations_in(value: Any) -> list[Operation]:
    """Return the operations an entry point gives; a module has added its own by being imported."""
    if isinstance(value, ModuleType) or _is_decorated(value):
        return []
    found = list(value) if isinstance(value, list | tuple) else [value]
    for each in found:
        if not isinstance(each, Operation):
            raise TypeError(f"{each!r} is no operation")
    return found


def _is_decorated(value: Any) -> bool:
    path = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    return callable(value) and remembered(path) is value
