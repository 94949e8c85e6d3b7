"""What a function's docstring says of it: one line, and one line per parameter, as plain text."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ParameterText", "parameter_texts", "summary_of"]

_ROLE = re.compile(r":[\w:]+:`([^`<]*?)(?:\s*<[^`>]*>)?`")
_CITATION = re.compile(r"\s*\[\w+\]_")


@dataclass(frozen=True)
class ParameterText:
    """What is said of one parameter: its type, as written, and its first sentence."""

    type: str = ""
    help: str = ""


def summary_of(function: Callable[..., Any]) -> str:
    """Return the first sentence of a docstring, ending in a full stop; empty without one."""
    paragraph = (inspect.getdoc(function) or "").split("\n\n")[0]
    return _sentence(paragraph)


def parameter_texts(function: Callable[..., Any]) -> Mapping[str, ParameterText]:
    """Return what a docstring (numpydoc, Google or Sphinx style) says of each parameter."""
    from docstring_parser import ParseError, parse

    try:
        found = parse(inspect.getdoc(function) or "").params
    except ParseError:
        return {}
    texts = {}
    for each in found:
        text = ParameterText(_flat(each.type_name or ""), _sentence(each.description or ""))
        for name in each.arg_name.split(","):  # numpydoc describes "low, high" together
            texts[name.strip().lstrip("*")] = text
    return texts


def _sentence(text: str) -> str:
    flat = _flat(text.split("\n\n")[0])
    first = re.match(r".*?[.!?](?=\s+[A-Z`(]|$)", flat)
    sentence = (first.group() if first else flat).rstrip(":;, ")
    return sentence if not sentence or sentence[-1] in ".!?" else f"{sentence}."


def _flat(text: str) -> str:
    text = _CITATION.sub("", _ROLE.sub(r"\1", text)).replace("`", "")
    return " ".join(text.split())
