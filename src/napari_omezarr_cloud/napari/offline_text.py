"""*Keep this region offline* in words: boxes, levels, what it takes and how it ended. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_omezarr_cloud.napari.network_text import mebibytes
from napari_omezarr_cloud.napari.region_text import bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.offline import (
        Kept,
        LevelNeeds,
        OfflinePlan,
        OfflineProgress,
        Usage,
    )
    from napari_omezarr_cloud.pyramid import Region

__all__ = [
    "box_text",
    "ended_text",
    "estimate_text",
    "kept_text",
    "level_text",
    "progress_text",
    "usage_text",
]


def box_text(names: Sequence[str], displayed: Sequence[int], region: Region) -> str:
    """Return where a box lies on screen, in voxels of level 0: ``"x 0-1300 · y 20-970"``."""
    return " · ".join(
        f"{names[axis]} {region.start[axis]:,}–{region.stop[axis]:,}"
        for axis in reversed(displayed)
    )


def level_text(
    needs: LevelNeeds, displayed: Sequence[int], *, share: float | None, is_on_screen: bool
) -> str:
    """Return what a level is and what it takes.

    Parameters
    ----------
    needs
        Of the level.
    displayed
        Axes that are on screen.
    share
        Bytes on disk per byte of voxels, as other levels have shown; None: not known.
    is_on_screen
        Whether it is the level that is shown.
    """
    pixels = " × ".join(f"{needs.shape[axis]:,}" for axis in reversed(displayed))
    if needs.nbytes is not None:
        size = f"about {bytes_text(needs.nbytes)}"
    elif share is not None:
        size = f"about {bytes_text(round(needs.decoded_nbytes * share))}"
    else:
        size = f"at most {bytes_text(needs.decoded_nbytes)}"
    here = " (on screen)" if is_on_screen else ""
    return f"{needs.number}{here}: {pixels} px · {_chunks(needs.chunks)} · {size}"


def estimate_text(levels: Sequence[int], planned: OfflinePlan | None, why_not: str) -> str:
    """Return what the chosen levels take; ``planned`` is None until it is known.

    ``why_not`` says why there is no room for it; empty where there is.
    """
    if not levels:
        return "Tick a level."
    if planned is None:
        return "Estimating from a few chunks…"
    if why_not:
        return (
            f"Not enough room: {why_not}. Enlarge the disk cache in the settings, release "
            "what is kept, or take fewer levels."
        )
    return f"It takes {_chunks(planned.chunks)}, about {bytes_text(planned.nbytes)} on the disk."


def usage_text(usage: Usage) -> str:
    """Return how much room there is: of the disk cache, and of the disk."""
    held = f", {mebibytes(usage.kept_nbytes)} of it kept for offline use"
    return (
        f"The disk cache holds {mebibytes(usage.nbytes)} of at most "
        f"{mebibytes(usage.max_bytes)}{held if usage.kept_nbytes else ''}. "
        f"{mebibytes(usage.free_nbytes)} are free on the disk."
    )


def progress_text(progress: OfflineProgress) -> str:
    """Return how far it has come."""
    done = progress.done + progress.failed
    failed = f", {progress.failed:,} could not be had" if progress.failed else ""
    return f"{done:,} of {_chunks(progress.chunks)}{failed} · {bytes_text(progress.nbytes)}"


def ended_text(kept: Kept, progress: OfflineProgress | None) -> str:
    """Return how it ended, and what to do where not all is there."""
    if kept.is_whole:
        return f"Kept: {bytes_text(kept.nbytes)}. It opens without a network now."
    failed = "Some chunks" if progress is None else _chunks(progress.failed)
    why = f": {progress.problem}" if progress is not None and progress.problem else ""
    return f"Kept, but not whole. {failed} could not be had{why}. Resume tries again."


def kept_text(kept: Kept) -> str:
    """Return what a region is that is kept."""
    since = time.strftime("%d %B %Y", time.localtime(kept.created))
    state = "" if kept.is_whole else " · not whole"
    return f"{kept.title} · {kept.what} · {bytes_text(kept.nbytes)} · since {since}{state}"


def _chunks(count: int) -> str:
    return f"{count:,} chunk{'s' * (count != 1)}"
