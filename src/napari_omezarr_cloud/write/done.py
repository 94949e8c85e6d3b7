"""What is done of a write, noted in the place that is written to, so that it is not done again.

A task that is done has a note of its own (``done/<task>``). One that is under way has one that
lists its finished units (``units/<task>``); that is rewritten now and then, and when the write is
cancelled, since a note per unit would take as long as copying the unit.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from napari_omezarr_cloud.pyramid import Index
    from napari_omezarr_cloud.store import RemoteStore
    from napari_omezarr_cloud.write.waves import Task

__all__ = ["Done"]

_DONE, _UNITS = f"{WRITE_NOTES}/done", f"{WRITE_NOTES}/units"
_RHYTHM_S = 1.0
"""How often the units of a task are noted: so much work is lost with a process that is killed."""
_LAST_WORDS_S = 1.0
"""How long it may take to note them when the write is cancelled."""


class Done:
    """Which tasks of a write are done, and which units of the others; changed by many threads.

    Parameters
    ----------
    store
        Root of the image that is written.
    """

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._tasks: set[str] = set()
        self._units: dict[str, _Units] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Find out what earlier runs have done; waits.

        Raises
        ------
        CloudError
            If that cannot be found out.
        """

        async def look() -> None:
            tasks, begun = await asyncio.gather(self._store.list(_DONE), self._store.list(_UNITS))
            self._tasks = {entry.name for entry in tasks}
            names = [entry.name for entry in begun if entry.name not in self._tasks]
            found = await asyncio.gather(*map(self._read, names))
            self._units = {
                name: _Units(units) for name, units in zip(names, found, strict=True) if units
            }

        io_thread().wait(look())

    async def _read(self, name: str) -> set[Index]:
        raw = await self._store.get(f"{_UNITS}/{name}")
        try:
            return {tuple(map(int, start)) for start in json.loads(bytes(raw or b"[]"))}
        except (ValueError, TypeError):  # of a write that was killed, or another version's
            return set()

    def look_again(self, task: Task) -> Collection[Index]:
        """Return what is noted by now of the units of a task, whoever has done them; waits.

        Raises
        ------
        CloudError
            If that cannot be found out.
        """
        units = io_thread().wait(self._read(task.name))
        self._units[task.name] = _Units(units)
        return units

    def has(self, task: Task) -> bool:
        """Tell whether a task is done."""
        return task.name in self._tasks

    def units(self, task: Task) -> Collection[Index]:
        """Return the units of a task, by the voxel each starts at, that are finished."""
        known = self._units.get(task.name)
        return frozenset() if known is None else frozenset(known.starts)

    def note(self, task: Task) -> None:
        """Note that a task need not be done again; waits."""
        io_thread().wait(self._store.put(f"{_DONE}/{task.name}", b"done"))
        with self._lock:
            self._units.pop(task.name, None)

    def note_unit(self, task: Task, start: Index) -> None:
        """Note, soon, that a unit of a task need not be done again; may wait."""
        with self._lock:
            units = self._units.setdefault(task.name, _Units())
            units.starts.add(start)
            is_time = not units.is_being_put and time.monotonic() - units.put_at > _RHYTHM_S
            if not is_time:
                units.is_unnoted = True
                return
            raw = units.begin()
        try:
            io_thread().wait(self._store.put(f"{_UNITS}/{task.name}", raw))
        finally:
            units.is_being_put = False

    def keep(self, task: Task | None = None) -> None:
        """Note all that was not yet, since nothing more is done; waits, but not long.

        Parameters
        ----------
        task
            Of which; None: of all.
        """
        with self._lock:
            left = [
                (name, each.begin())
                for name, each in self._units.items()
                if each.is_unnoted and (task is None or task.name == name)
            ]

        async def put() -> None:
            await asyncio.gather(
                *(self._store.put(f"{_UNITS}/{name}", raw) for name, raw in left),
                return_exceptions=True,  # why the write ended is told, and not this
            )

        if left:
            io_thread().wait_briefly(put(), _LAST_WORDS_S)


class _Units:
    """Units of one task, and what is noted of them."""

    def __init__(self, starts: Iterable[Index] = ()) -> None:
        self.starts = set(starts)
        self.is_unnoted = False
        self.is_being_put = False
        self.put_at = -math.inf

    def begin(self) -> bytes:
        """Return what is to be noted now."""
        self.is_unnoted, self.is_being_put, self.put_at = False, True, time.monotonic()
        return json.dumps(sorted(self.starts)).encode()
