"""A recipe: operations with their values, as text a person can read, edit and send.

It holds no path and no secret: what it is applied to is chosen when it is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.operation import Value, validate
from napari_omezarr_cloud.process.registry import get_operation
from napari_omezarr_cloud.write.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

__all__ = ["Recipe", "RecipeInput", "Step", "StepDims"]

StepDims = Literal["plane", "volume"]

_VERSION = 1
_HEADING = "# Recipe of napari-omezarr-cloud. Lengths are in µm (in pixels without units).\n"
_MAX_CHARACTERS = 1 << 20

_MAX_VALUES = 10_000
"""Aliases make a small YAML text a huge object."""

_short = Repr()
_short.maxstring = _short.maxother = 60


@dataclass(frozen=True)
class RecipeInput:
    """One image that a recipe is applied to.

    Parameters
    ----------
    name
        What its steps call it.
    channel
        Index of the channel that is meant where an image with several is given; None takes all.
    """

    name: str
    channel: int | None = None


@dataclass(frozen=True)
class Step:
    """One operation with a value for every parameter.

    Parameters
    ----------
    operation
        Its name.
    values
        By parameter name; defaults are filled in, so that a saved recipe keeps its meaning.
    inputs
        Names of recipe inputs or of earlier steps. Empty: the result of the step before; of the
        first step, the inputs of the recipe.
    dims
        ``"plane"`` treats each plane alone, ``"volume"`` looks along z too.
    name
        What later steps call the result.

    Raises
    ------
    OperationError
        If there is no such operation or parameter, or a value is not allowed.
    """

    operation: str
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)
    inputs: tuple[str, ...] = ()
    dims: StepDims = "plane"
    name: str = ""

    def __post_init__(self) -> None:
        """Check the values and fill in what is missing."""
        op = get_operation(self.operation)
        object.__setattr__(self, "values", validate(op, self.values))
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.dims not in get_args(StepDims):
            raise OperationError(
                f"{op.title} cannot run along {_short.repr(self.dims)}",
                why="dims are plane or volume",
            )
        if self.inputs and len(self.inputs) != len(op.inputs):
            raise OperationError(
                f"{op.title} needs {len(op.inputs)} input(s)",
                why=f"{len(self.inputs)} are named: {', '.join(self.inputs)}",
            )


@dataclass(frozen=True)
class Recipe:
    """Steps, each working on the result of the one before or on what it names.

    Parameters
    ----------
    steps
        At least one; the result of the last is the result of the recipe.
    inputs
        What it is applied to.

    Raises
    ------
    OperationError
        If there is no step, or one names what is not there.

    See Also
    --------
    Recipe.to_yaml, Recipe.from_yaml, Recipe.save, Recipe.load
    """

    steps: tuple[Step, ...]
    inputs: tuple[RecipeInput, ...] = (RecipeInput("image"),)

    def __post_init__(self) -> None:
        """Check that every step finds its inputs."""
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not self.steps:
            raise OperationError("A recipe needs at least one step")
        names = [each.name for each in self.inputs] + [step.name for step in self.steps]
        twice = {name for name in names if name and names.count(name) > 1}
        if twice or not all(each.name for each in self.inputs):
            raise OperationError(
                "The names in the recipe are not clear",
                why=f"{' and '.join(sorted(twice))} stands for several"
                if twice
                else "one is empty",
            )
        _ = self.references

    @property
    def references(self) -> tuple[tuple[str | int, ...], ...]:
        """What each step works on: names of recipe inputs, or numbers of earlier steps."""
        given: dict[str, str | int] = {each.name: each.name for each in self.inputs}
        found: list[tuple[str | int, ...]] = []
        for number, step in enumerate(self.steps):
            found.append(tuple(self._of(step, number, given)))
            if step.name:
                given[step.name] = number
        return tuple(found)

    def _of(self, step: Step, number: int, given: Mapping[str, str | int]) -> list[str | int]:
        op = get_operation(step.operation)
        if not step.inputs:
            default: list[str | int] = [number - 1] if number else [x.name for x in self.inputs]
            if number and len(op.inputs) == 1:
                return default
            if not number and len(default) >= len(op.inputs):
                return default[: len(op.inputs)]
            raise OperationError(
                f"{op.title} needs {len(op.inputs)} inputs",
                why="the recipe does not say which",
                hint=f"Name them: inputs: [{', '.join(i.name for i in op.inputs)}]",
            )
        missing = [name for name in step.inputs if name not in given]
        if missing:
            raise OperationError(
                f"{op.title} cannot find its input",
                why=f"nothing before it is called {_short.repr(missing[0])}",
                hint=f"There are: {', '.join(given)}.",
            )
        return [given[name] for name in step.inputs]

    def with_values(self, number: int, values: Mapping[str, Value]) -> Recipe:
        """Return this recipe with other values of one step; those not given stay."""
        steps = list(self.steps)
        steps[number] = replace(steps[number], values={**steps[number].values, **values})
        return replace(self, steps=tuple(steps))

    def with_channels(self, channels: Sequence[int | None]) -> Recipe:
        """Return this recipe for other channels, one per input."""
        pairs = zip(self.inputs, channels, strict=True)
        return replace(self, inputs=tuple(replace(each, channel=c) for each, c in pairs))

    def to_yaml(self) -> str:
        """Return the recipe as text; the inverse of `from_yaml`."""
        import yaml

        content: dict[str, Any] = {"version": _VERSION}
        if self.inputs != (RecipeInput("image"),):
            content["inputs"] = [_input_content(each) for each in self.inputs]
        content["steps"] = [_step_content(step) for step in self.steps]
        return _HEADING + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Return the recipe a text holds; the inverse of `to_yaml`.

        Raises
        ------
        OperationError
            If it is no recipe, one of a later version, or asks for something we do not have.
        """
        content = _parsed(text)
        if not isinstance(content, dict) or "version" not in content:
            raise _unreadable("it does not begin with a version")
        if content["version"] != _VERSION:
            found = _short.repr(content["version"])
            raise _unreadable(f"it has version {found}, this program reads {_VERSION}")
        _only_keys(content, {"version", "inputs", "steps"})
        steps = content.get("steps")
        if not isinstance(steps, list):
            raise _unreadable("it has no list of steps")
        inputs = content.get("inputs", ["image"])
        if not isinstance(inputs, list) or not inputs:
            raise _unreadable("its inputs are no list of names")
        return cls(
            tuple(_parse_step(step) for step in steps),
            tuple(_parse_input(each) for each in inputs),
        )

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the recipe to a file, as text.

        Parameters
        ----------
        path
            Where to.
        overwrite
            Whether a file that is there may be replaced. It is, in one step.

        Raises
        ------
        OperationError
            If there is a file already, or it cannot be written.
        """
        what = "Could not save the recipe"

        def write(new: Path) -> None:
            new.write_text(self.to_yaml(), encoding="utf-8")

        try:
            write_whole(Path(path), write, overwrite=overwrite)
        except FileExistsError as error:
            why = "there is a file of this name already"
            hint = "Choose another name, or say overwrite=True."
            raise OperationError(what, where=str(path), why=why, hint=hint) from error
        except OSError as error:
            why = error.strerror or str(error)
            raise OperationError(what, where=str(path), why=why) from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Recipe:
        """Return the recipe in a file.

        Raises
        ------
        OperationError
            If the file cannot be read or holds no recipe.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(_MAX_CHARACTERS + 1)
        except UnicodeDecodeError as error:
            raise _unreadable("it is no text", where=str(path)) from error
        except OSError as error:
            raise _unreadable(error.strerror or str(error), where=str(path)) from error
        return cls.from_yaml(text)


def _input_content(each: RecipeInput) -> str | dict[str, Any]:
    return each.name if each.channel is None else {"name": each.name, "channel": each.channel}


def _step_content(step: Step) -> dict[str, Any]:
    content: dict[str, Any] = {"operation": step.operation}
    if step.inputs:
        content["inputs"] = list(step.inputs)
    if step.dims != "plane":
        content["dims"] = step.dims
    content["values"] = {name: _plain(value) for name, value in step.values.items()}
    if step.name:
        content["name"] = step.name
    return content


def _plain(value: Any) -> Any:
    """Return a value as YAML knows it; it has no tuples."""
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _parsed(text: str) -> Any:
    import yaml

    if len(text) > _MAX_CHARACTERS:
        raise _unreadable("it is longer than a recipe can be")
    try:
        content = yaml.safe_load(text)
        _count(content, 0)
    except yaml.YAMLError as error:
        raise _unreadable(f"it is no YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a date that is none
        raise _unreadable("it is no YAML that a recipe is written in") from error
    return content


def _count(content: Any, before: int) -> int:
    """Count what a text holds, aliases written out; stops where it is too much."""
    count = before + 1
    if count > _MAX_VALUES:
        raise _unreadable("it holds more than a recipe can")
    if isinstance(content, dict):
        content = [*content, *content.values()]
    if isinstance(content, list | tuple | set):
        for each in content:
            count = _count(each, count)
    return count


def _parse_input(content: Any) -> RecipeInput:
    if isinstance(content, str) and content:
        return RecipeInput(content)
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise _unreadable(f"an input has no name: {_short.repr(content)}")
    _only_keys(content, {"name", "channel"})
    channel = content.get("channel")
    is_index = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
    if channel is not None and not is_index:
        raise _unreadable(f"the channel of {content['name']} is no number from 0 on")
    return RecipeInput(content["name"], channel)


def _parse_step(content: Any) -> Step:
    if not isinstance(content, dict) or not isinstance(content.get("operation"), str):
        raise _unreadable(f"a step has no operation: {_short.repr(content)}")
    _only_keys(content, {"operation", "inputs", "dims", "values", "name"})
    name = content["operation"]
    values = content.get("values") or {}
    if not isinstance(values, dict):
        raise _unreadable(f"the values of {name} are no list of name: value")
    inputs = content.get("inputs") or []
    if not isinstance(inputs, list) or not all(isinstance(each, str) for each in inputs):
        raise _unreadable(f"the inputs of {name} are no list of names")
    called = content.get("name") or ""
    if not isinstance(called, str):
        raise _unreadable(f"the name of the result of {name} is no text")
    return Step(name, values, tuple(inputs), content.get("dims") or "plane", called)


def _only_keys(content: Mapping[str, Any], known: set[str]) -> None:
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        told = _short.repr(unknown[0]).strip("'") if len(unknown) == 1 else ", ".join(unknown[:4])
        raise _unreadable(f"it holds {told}, which a recipe does not have")


def _unreadable(why: str, where: str = "") -> OperationError:
    return OperationError(
        "Could not read the recipe",
        where=where,
        why=why,
        hint="Compare it with a recipe saved from here.",
    )
