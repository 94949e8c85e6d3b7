"""What a whole-image run would take and what is at its place: found out beside the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.display import view_of
from napari_omezarr_cloud.napari.save_run import look
from napari_omezarr_cloud.process.derived import DerivedLevel

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.save_run import Occupied
    from napari_omezarr_cloud.write.hands import Hands
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["Examined", "examine", "unbounded_steps"]


@dataclass(frozen=True)
class Examined:
    """What is known of a run before it begins."""

    there: Occupied | None
    """What is at its place; None: nothing."""
    there_unknown: str
    """Why that could not be found out."""
    estimate: str
    """What it takes, or why that could not be measured."""


def examine(planned: SavePlan, hands: Hands) -> Examined:
    """Look at the place, and compute a block; waits."""
    there, unknown = None, ""
    try:
        there = look(planned)
    except CloudError as error:
        unknown = str(error)
    try:
        text = str(planned.estimate(threads=hands.side_by_side))
    except CloudError as error:
        text = str(error)
    return Examined(there, unknown, text[:1].upper() + text[1:] + "." * (not text.endswith(".")))


def unbounded_steps(layer: Any, number: int) -> list[str]:
    """Return the steps of a live layer that may look everywhere, each once."""
    view = view_of(layer)
    if view is None:
        return []
    left, seen, found = [view.level(number)], set(), []
    while left:
        level = left.pop()
        if level.key in seen or not isinstance(level, DerivedLevel):
            continue
        seen.add(level.key)
        compute = level.compute
        is_known = compute.makes_objects or compute.object_values is not None
        if compute.halo is None and compute.fold is None and not is_known:
            found.append(compute.name)
        left += [source.level for source in level.sources]
    return list(dict.fromkeys(reversed(found)))
