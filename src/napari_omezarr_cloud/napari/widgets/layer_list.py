"""Following which layers a viewer has, in which order, and what they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["follow_list", "follow_new", "leave_list"]


def follow_list(viewer: Any, callback: Callable[..., None]) -> None:
    """Call back when a layer comes, goes, moves or is renamed.

    Of a layer that comes later, the callback must connect itself to the name: `follow_new`.
    """
    for emitter in _emitters(viewer):
        emitter.connect(callback)


def leave_list(viewer: Any, callback: Callable[..., None]) -> None:
    """Call back no more."""
    for emitter in _emitters(viewer):
        emitter.disconnect(callback)


def follow_new(event: Any, callback: Callable[..., None]) -> None:
    """Follow the name of a layer that has just come, where an event tells of one."""
    if event is not None and event.type == "inserted":
        event.value.events.name.connect(callback)


def _emitters(viewer: Any) -> list[Any]:
    events = viewer.layers.events
    names = [layer.events.name for layer in viewer.layers]
    return [events.inserted, events.removed, events.reordered, *names]
