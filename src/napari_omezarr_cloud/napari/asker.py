"""Who asks a reader for layers: napari tells readers the path, and not for which viewer.

A reader that knows its viewer can hide its layers until their display is there, put a placeholder
in place of a secret, and say in a sentence what a traceback would say to nobody. So we look at who
called: one of `ViewerModel`'s public methods, or nobody we know, and then layers are plain layers.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

__all__ = ["Asker", "who_asks"]

_METHODS = ("open", "open_sample")


@dataclass(frozen=True)
class Asker:
    """The viewer for which layers are read, and how it was asked."""

    viewer: Any = None
    """A ``Viewer`` or ``ViewerModel``; None where layers are read for no viewer."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that the person gave: ``viewer.open(link, name=…)``."""
    plugin: str | None = None
    """The reader that was named: ``viewer.open(link, plugin=…)``."""
    is_by_hand: bool = False
    """Asked by the window or the command line (a drop, a menu, a path), not by a script."""

    @property
    def has_window(self) -> bool:
        """Whether layers come on a canvas; a bare ``ViewerModel`` has none."""
        return hasattr(self.viewer, "window")


def who_asks() -> Asker:
    """Return for whom the calling function, at any depth, reads layers."""
    frame = inspect.currentframe()
    while frame is not None:
        if _is_a_viewers(frame):
            local, above = frame.f_locals, frame.f_back
            by_hand = above is not None and _module(above).startswith("napari._qt.")
            overrides, plugin = dict(local.get("kwargs", {})), local.get("plugin")
            return Asker(local["self"], overrides, plugin, by_hand)
        frame = frame.f_back
    return Asker()


def _is_a_viewers(frame: FrameType) -> bool:
    name, module = frame.f_code.co_name, _module(frame)
    return name in _METHODS and module == "napari.components.viewer_model"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
