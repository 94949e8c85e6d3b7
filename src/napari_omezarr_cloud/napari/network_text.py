"""The Network dock in words: counts and causes as short plain texts. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.chunks.cache import Ahead
    from napari_omezarr_cloud.chunks.missing import Missing
    from napari_omezarr_cloud.errors import CloudError
    from napari_omezarr_cloud.store.places import Counts

__all__ = [
    "best_place",
    "count_rows",
    "headline",
    "mebibytes",
    "missing_text",
    "size",
    "speed",
]

_MOST_KEYS = 20


def size(nbytes: float) -> str:
    """Return bytes in the unit that suits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= factor:
            return f"{nbytes / factor:,.1f} {unit}"
    return f"{nbytes:,.0f} B"


def mebibytes(nbytes: float) -> str:
    """Return bytes in MB of 2²⁰, as the settings count them."""
    return f"{nbytes / (1 << 20):,.0f} MB"


def speed(bytes_per_s: float) -> str:
    """Return a rate in MB/s."""
    return f"{bytes_per_s / 1e6:,.2f} MB/s"


def headline(counts: Counts, *, is_paused: bool) -> str:
    """Return in one line what is going on."""
    if is_paused:
        waiting = f"{counts.queued:,} requests wait" if counts.queued else "nothing waits"
        return f"Paused: {waiting}."
    if counts.is_offline:
        return "Offline: what is in the disk cache is shown."
    if counts.in_flight or counts.queued:
        waiting = f", {counts.queued:,} waiting" if counts.queued else ""
        return f"Loading: {counts.in_flight:,} requests in flight{waiting}."
    return "Idle: nothing is being loaded."


def count_rows(
    counts: Counts, bytes_per_s: float, wanted: int, found: int, ahead: Ahead | None = None
) -> list[tuple[str, str]]:
    """Return what is shown of a place, or of all together, as names and values.

    Parameters
    ----------
    counts
        Of its requests.
    bytes_per_s
        How fast bytes come now.
    wanted, found
        Chunks of looks at its layers, and how many of these were in memory.
    ahead
        Chunks that came before anybody looked at them, where it is known: of all together.
    """
    latency = counts.latency_s
    absent = f" ({counts.absent:,} not stored)" if counts.absent else ""
    share = f"{found:,} of {wanted:,} ({found / wanted:.0%})" if wanted else "–"
    disk = f"{counts.disk_hits:,} ({size(counts.disk_nbytes)})" if counts.disk_hits else "–"
    rows = [
        ("In flight", f"{counts.in_flight:,}"),
        ("Waiting", f"{counts.queued:,}"),
        ("Answered", f"{counts.done:,}{absent}"),
        ("Failed", f"{counts.failed:,}"),
        ("Given up", f"{counts.cancelled:,}"),
        ("Received", size(counts.nbytes)),
        ("Speed", speed(bytes_per_s)),
        ("Per request", "–" if latency is None else f"{latency * 1000:,.0f} ms"),
        ("From memory", share),
        ("From disk", disk),
    ]
    if counts.paid_requests:
        rows.append(
            ("Paid by you", f"{size(counts.paid_nbytes)}, {counts.paid_requests:,} requests")
        )
    if ahead is not None:
        rows.append(("Loaded ahead", f"{ahead.loaded:,}, looked at since: {ahead.used:,}"))
    return rows


def best_place(source: str, places: Iterable[str]) -> str | None:
    """Return the place in which a source lies: itself, or the nearest folder above."""
    above = (each for each in places if source == each or source.startswith(each.rstrip("/") + "/"))
    return max(above, key=len, default=None)


def missing_text(missing: Missing, absent: int, *, is_paused: bool) -> str:
    """Return why parts of the picture are missing, the causes that can be mended first."""
    parts = [
        *_failures(missing.failed),
        _counted(missing.stopped, "stopped by you. Retry loads what you stopped."),
        _counted(missing.under_way, "waiting: paused." if is_paused else "on the way."),
        _counted(missing.not_asked, "not asked for yet: others come first."),
        _counted(absent, "not stored: blank in the image itself, nothing is wrong."),
    ]
    return "\n".join(part for part in parts if part) or "Nothing is missing."


def _counted(count: int, what: str) -> str:
    return f"{_chunks(count)} {what}" if count else ""


def _chunks(count: int) -> str:
    return f"{count:,} chunk{'s' * (count != 1)}"


def _failures(errors: Iterable[CloudError]) -> list[str]:
    """Return a paragraph for each cause: how many, why, which keys."""
    errors = list(errors)
    causes = Counter(error.why or error.what for error in errors)
    paragraphs = []
    for cause, count in causes.most_common():
        keys = [e.key for e in errors if (e.why or e.what) == cause and e.key]
        keys = list(dict.fromkeys(keys))
        lines = [f"  {key}" for key in keys[:_MOST_KEYS]]
        if len(keys) > _MOST_KEYS:
            lines.append(f"  … and {len(keys) - _MOST_KEYS:,} more")
        paragraphs.append("\n".join([f"{_chunks(count)} could not be read: {cause}.", *lines]))
    return paragraphs
