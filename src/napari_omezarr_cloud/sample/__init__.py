"""Images to try things on, made without a network: real pictures and a synthetic time-lapse."""

from __future__ import annotations

from .microscopy import write_microscopy
from .volume import write_cell_volume

__all__ = ["write_cell_volume", "write_microscopy"]
