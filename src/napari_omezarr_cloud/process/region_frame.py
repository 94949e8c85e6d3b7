"""Where the voxels of measured objects lie, and what was found missing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Frame", "Notes"]


@dataclass(frozen=True)
class Frame:
    """Where voxels lie."""

    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    axes: tuple[str, ...]
    unit: str

    def power(self, exponent: int) -> str:
        """Return the unit of areas (2) or volumes (3)."""
        return f"{self.unit}{'²' if exponent == 2 else '³'}" if self.unit else ""


class Notes:
    """Sentences about what could not be measured."""

    def __init__(self) -> None:
        self.sentences: tuple[str, ...] = ()

    def add(self, sentence: str) -> None:
        """Note something, once."""
        if sentence not in self.sentences:
            self.sentences += (sentence,)

    def missing(self, name: str, count: int, why: str) -> None:
        """Note that something is empty for some objects; nothing if there are none."""
        if count:
            objects = "1 object" if count == 1 else f"{count} objects"
            self.add(f"{name} is empty for {objects}: {why}.")
