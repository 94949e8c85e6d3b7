"""What the signature of a user's function says: which arrays it takes, and what can be set."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.docstring import ParameterText, parameter_texts
from napari_omezarr_cloud.process.literal import plain_literal
from napari_omezarr_cloud.process.operation import Input, InputKind, Parameter, ParameterType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["inputs_of", "parameters_of", "refused", "signature_of", "words"]

_INPUT_KINDS: Mapping[str, InputKind] = {
    "labels": "labels",
    "label_image": "labels",
    "mask": "mask",
}
"""What an array is taken for by its name; any other is an image."""

_KINDS: Mapping[type, ParameterType] = {bool: "bool", int: "int", float: "float", str: "text"}


def words(name: str) -> str:
    """Return a name of Python as words: ``my_filter`` is ``My filter``."""
    return name.replace("_", " ").strip().capitalize()


def refused(function: Any, why: str, hint: str = "") -> OperationError:
    """Return the error that a function cannot be an operation."""
    called = getattr(function, "__name__", None) or repr(function)
    return OperationError(f"{called} cannot be made an operation", why=why, hint=hint)


def signature_of(function: Any) -> inspect.Signature:
    """Return the signature of a function; raises `refused` for what is none."""
    if not inspect.isroutine(function):
        raise refused(function, "it is no function", "Write one around it.")
    if function.__name__ == "<lambda>":
        raise refused(function, "it has no name of its own", "Define it with def.")
    try:
        return inspect.signature(function)
    except ValueError as exc:
        raise refused(
            function, "it does not tell its arguments", "Write a function around it."
        ) from exc


def inputs_of(
    function: Any, signature: inspect.Signature, given: Sequence[Input]
) -> tuple[Input, ...]:
    """Return the arrays: what stands in front without a default."""
    for each in signature.parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            stars = "*" if each.kind == each.VAR_POSITIONAL else "**"
            raise refused(
                function,
                f"nobody can tell what {stars}{each.name} takes",
                "Name its arguments one by one.",
            )
        if each.default is not each.empty and each.kind == each.POSITIONAL_ONLY:
            raise refused(
                function,
                f"{each.name} cannot be given by name",
                f"Put the / in front of {each.name}.",
            )
        if each.default is each.empty and each.kind == each.KEYWORD_ONLY:
            raise refused(function, f"{each.name} has no default", "Give it one.")
    names = [p.name for p in signature.parameters.values() if p.default is p.empty]
    if not names:
        raise refused(
            function, "it takes no array", "Its first argument, without a default, is the image."
        )
    if given and len(given) != len(names):
        raise refused(
            function,
            f"it takes {len(names)} arrays ({', '.join(names)}), and {len(given)} are described",
            "Arguments that can be set need a default.",
        )
    return tuple(given) or tuple(Input(name, _INPUT_KINDS.get(name, "image")) for name in names)


def parameters_of(
    function: Any,
    signature: inspect.Signature,
    arrays: Sequence[Input],
    described: Sequence[Parameter],
    lengths: Sequence[str],
) -> Iterator[Parameter]:
    """Yield what can be set: arguments with a default, and those that were described."""
    settable = list(signature.parameters.values())[len(arrays) :]
    names = [each.name for each in settable]
    by_name = {each.name: each for each in described}
    for name in [*by_name, *lengths]:
        if name not in names:
            raise refused(
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
    label = words(each.name)
    kind, choices = _type_of(each, annotation)
    if is_length:
        is_number = kind in ("int", "float") and each.default >= 0
        kind = "length" if is_number else None
    if kind is None:
        raise refused(
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
