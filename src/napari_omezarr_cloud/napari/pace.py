"""How fast something goes, and how long it will: in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_omezarr_cloud.write.estimate import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pace"]

_SETTLED = 2.0
"""Seconds before which a rate is no more than a guess."""


class Pace:
    """Counts from when it is made.

    Parameters
    ----------
    clock
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()

    def text(self, done: int, count: int, *, skipped: int = 0) -> str:
        """Return ``"120 of 300 blocks · 4.1 a second · 44 seconds left"``.

        Parameters
        ----------
        done, count
            Blocks; nothing is said while nobody knows how many there are.
        skipped
            Of those done, which had been done before: they say nothing about the rate.
        """
        if not count:
            return ""
        parts = [f"{done:,} of {count:,} blocks"]
        seconds = self._clock() - self._began
        own = done - skipped
        if own > 0 and seconds >= _SETTLED:
            rate = own / seconds
            often, unit = (rate, "second") if rate >= 1 else (60 * rate, "minute")
            parts.append(f"{often:.{0 if often >= 10 else 1}f} a {unit}")
            if done < count:
                parts.append(f"{duration_text((count - done) / rate)} left")
        return " · ".join(parts)
