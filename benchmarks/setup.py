"""How it is measured: the same for all questions of one run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.window import BASELINE, MEMORY, OURS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Setup"]


@dataclass(frozen=True)
class Setup:
    """How it is measured."""

    folder: Path
    """Where the images are."""
    rounds: int
    """How often each way is measured."""
    quick: bool = False
    """To see that it runs, not to measure."""
    is_alone: bool = False
    """Whether only this plugin is measured."""

    @property
    def quiet_s(self) -> float:
        """A picture that has not changed for so long is complete."""
        return 0.2 if self.quick else 1.0

    @property
    def ways(self) -> list[str]:
        """Who can show an image here."""
        peers = [MEMORY] + [BASELINE] * bool(find_spec("napari_ome_zarr"))
        return [OURS] if self.is_alone else [OURS, *peers]
