"""What a person can set on an operation: name, type, range, unit and meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.literal import plain_literal

__all__ = ["Parameter", "ParameterType", "Value"]

ParameterType = Literal["float", "int", "bool", "choice", "length", "text", "literal"]
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"

_NOUNS = {"float": "a number", "length": "a number", "int": "a whole number"}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting of an operation; the form, the shell, the recipe and the docs derive from it.

    Attributes
    ----------
    name
        The keyword of the function; scikit-image's own name where it has one.
    type
        ``"length"`` is a number in µm where the image has length units, else in level-0 pixels.
        ``"text"`` is any text; ``"literal"`` a number, a word, ``None`` or a tuple of them, which
        a person types as in Python.
    default
        Used where nothing is set. ``None`` needs a ``statistic`` or a ``literal``.
    label, help
        What the form shows: a word or two, and one line.
    minimum, maximum
        Inclusive limits; ``None`` is no limit. Lengths have no maximum of their own, since a
        recipe must mean the same on images of every size.
    step
        What one click in the form changes.
    choices
        The words to choose from, for ``"choice"``.
    unit
        As shown after the value.
    statistic
        Path of a function that measures this value from the image when it is ``None``.
    is_of_detail
        Whether the statistic is of the finest detail, such as noise, of which a coarse level has
        less: then it is taken from the middle of the finest one.
    is_required
        Whether there is no default, so that nothing can be computed until a value is given.
    """

    name: str
    type: ParameterType
    default: Value
    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str | None = None
    statistic: str | None = None
    is_of_detail: bool = False
    is_required: bool = False

    @property
    def expected(self) -> str:
        """What is allowed, as words: ``"a number of at least 0"``."""
        if self.type == "choice":
            return "one of " + ", ".join(self.choices)
        if self.type == "bool":
            return "true or false"
        if self.type == "text":
            return "a text"
        if self.type == "literal":
            return "a value as Python has it: 3, 0.5, None, (1, 2) or a word"
        automatic = ", or nothing for automatic" if self.statistic else ""
        return _NOUNS[self.type] + self._range() + automatic

    def accept(self, value: object, operation: str) -> Value:
        """Return ``value`` as a plain Python value of this parameter's type.

        Parameters
        ----------
        value
            From a form, a recipe or a script; numpy scalars are fine.
        operation
            Title of the operation, for the message.

        Raises
        ------
        OperationError
            If the value has the wrong type or is out of range; it names both and what is allowed.
        """
        if self.is_required and (value is None or (isinstance(value, str) and not value)):
            raise OperationError(
                f"{operation} needs a value for {self.name}",
                why="it has no default",
                hint=self.help,
            )
        if value is None and self.statistic is not None:
            return None
        if self.type == "literal":
            try:
                return plain_literal(value)
            except ValueError as exc:
                raise self._refused(value, operation) from exc
        plain = self._plain(value)
        if plain is None:
            raise self._refused(value, operation)
        return plain

    def for_pixel_size(self, pixel_size: float | None) -> Parameter:
        """Return this parameter with a default, step and range that suit pixels of this size.

        The numbers of a length are then about the same count of pixels for a nanometre electron
        micrograph and for a slide scan: a form starts from them.

        Parameters
        ----------
        pixel_size
            Finest pixel size on screen, in µm; ``None`` where the image has no length units.
        """
        if self.type != "length" or not isinstance(self.default, float):
            return self
        size = 1.0 if pixel_size is None else pixel_size
        return replace(
            self,
            default=_rounded(self.default * size),
            maximum=_rounded(100 * size),
            step=_rounded(size / 2),
            unit="px" if pixel_size is None else "µm",
        )

    def _refused(self, value: object, operation: str) -> OperationError:
        automatic = self.default is None and self.statistic is not None
        default = f"The default is {'automatic' if automatic else self.default}."
        return OperationError(
            f"{operation} cannot use {self.name} = {value!r}",
            why=f"{self.label} must be {self.expected}",
            hint="" if self.is_required else default,
        )

    def _plain(self, value: object) -> Value:
        """Return the value as bool, int, float or str; None where it is not allowed."""
        if self.type == "choice":
            return str(value) if value in self.choices else None
        if self.type == "text":
            return value if isinstance(value, str) else None
        if isinstance(value, bool | np.bool_):
            return bool(value) if self.type == "bool" else None
        if self.type == "bool" or not isinstance(value, Real):
            return None
        number = float(value)
        if not math.isfinite(number) or not self._within(number):
            return None
        if self.type != "int":
            return number
        return int(number) if number.is_integer() else None

    def _within(self, number: float) -> bool:
        above = self.minimum is None or number >= self.minimum
        return above and (self.maximum is None or number <= self.maximum)

    def _range(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f" of at least {self.minimum:g}"
        return "" if self.maximum is None else f" of at most {self.maximum:g}"


def _rounded(number: float) -> float:
    """Two digits: nobody wants to read 0.31256 in a form."""
    return float(f"{number:.2g}")
