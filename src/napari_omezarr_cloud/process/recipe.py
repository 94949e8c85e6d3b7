"""A recipe: operations with their values, as text a person can read, edit and send.

It holds no path and no secret: what it is applied to is chosen when it is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.operation import Value, validate
from napari_omezarr_cloud.process.registry import get_operation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Recipe", "Step"]

_VERSION = 1
_HEADING = "# Recipe of napari-omezarr-cloud. Lengths are in µm (in pixels without units).\n"


@dataclass(frozen=True)
class Step:
    """One operation with a value for every parameter.

    Parameters
    ----------
    operation
        Its name.
    values
        By parameter name; defaults are filled in, so that a saved recipe keeps its meaning.

    Raises
    ------
    OperationError
        If there is no such operation or parameter, or a value is not allowed.
    """

    operation: str
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the values and fill in what is missing."""
        filled = validate(get_operation(self.operation), self.values)
        object.__setattr__(self, "values", filled)


@dataclass(frozen=True)
class Recipe:
    """Steps, each working on the result of the one before.

    See Also
    --------
    Recipe.to_yaml, Recipe.from_yaml
    """

    steps: tuple[Step, ...]

    def to_yaml(self) -> str:
        """Return the recipe as text; the inverse of `from_yaml`."""
        import yaml

        steps = [{"operation": s.operation, "values": dict(s.values)} for s in self.steps]
        content = {"version": _VERSION, "steps": steps}
        return _HEADING + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Return the recipe a text holds; the inverse of `to_yaml`.

        Raises
        ------
        OperationError
            If it is no recipe, one of a later version, or asks for something we do not have.
        """
        import yaml

        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as exc:
            raise _unreadable(f"it is no YAML: {' '.join(str(exc).split())}") from exc
        if not isinstance(content, dict) or "version" not in content:
            raise _unreadable("it does not begin with a version")
        if content["version"] != _VERSION:
            raise _unreadable(f"it has version {content['version']!r}, this program reads 1")
        _only_keys(content, {"version", "steps"})
        steps = content.get("steps")
        if not isinstance(steps, list):
            raise _unreadable("it has no list of steps")
        return cls(tuple(_parse_step(step) for step in steps))


def _parse_step(content: Any) -> Step:
    if not isinstance(content, dict) or not isinstance(content.get("operation"), str):
        raise _unreadable(f"a step has no operation: {content!r}")
    _only_keys(content, {"operation", "values"})
    values = content.get("values") or {}
    if not isinstance(values, dict):
        raise _unreadable(f"the values of {content['operation']} are no list of name: value")
    return Step(content["operation"], values)


def _only_keys(content: Mapping[str, Any], known: set[str]) -> None:
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise _unreadable(f"it holds {', '.join(unknown)}, which a recipe does not have")


def _unreadable(why: str) -> OperationError:
    return OperationError(
        "Could not read the recipe", why=why, hint="Compare it with a recipe saved from here."
    )
