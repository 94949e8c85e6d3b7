"""The cache of one process: reads in a few threads, all that changes it in one."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.settings import (
    Settings,
    in_force,
    in_force_everywhere,
    value_in_environment,
)
from napari_omezarr_cloud.store.disk.entry import DamagedError, Entry, pack, unpack
from napari_omezarr_cloud.store.disk.ledger import Kept, Ledger, Row, Totals
from napari_omezarr_cloud.store.disk.place import cache_folder, default_max_bytes
from napari_omezarr_cloud.store.io_thread import forbid_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["DiskCache", "Usage", "disk_cache", "follow_settings", "is_switched_off"]

T = TypeVar("T")

_READERS = 2
_READ_TOGETHER = 8
"""Files per task of a reader: handing over costs as much as reading one."""

_LINGER_S, _LINGER_MOST_S = 0.3, 3.0
"""What came is written together when no more has come for a while, so not while a picture is being
made; and in any case after a few seconds."""
_TOUCH_S = 5.0
_HURRY_BYTES = 64 << 20
_MOST_WAITING = 128 << 20
"""Bytes waiting to be written; what comes on top is not kept."""
_REST_S = 60.0
"""After the disk was full or could not be written to."""
_AT_EXIT_S = 5.0
_OLD_TEMPORARY_S = 3600.0
_SWEEP_S = 86400.0


@dataclass(frozen=True)
class Usage:
    """What the cache holds, and what it was good for in this process."""

    folder: str
    max_bytes: int = 0
    """0: it is switched off."""
    nbytes: int = 0
    entries: int = 0
    kept_nbytes: int = 0
    """Of ``nbytes``: kept for offline use, not given up for want of room."""
    kept_entries: int = 0
    free_nbytes: int = 0
    """What is left on the disk."""
    private: bool = False
    """Whether what needs credentials is kept, too."""
    hits: int = 0
    """Reads answered from the disk in this process, and their bytes."""
    hit_nbytes: int = 0
    misses: int = 0
    stored: int = 0
    """Entries written by this process."""
    damaged: int = 0
    """Files that were not what had been written; dropped, and asked for again."""
    problem: str = ""
    """Why nothing is written, if that is so."""


@dataclass(frozen=True)
class _Put:
    row: Row
    entry: Entry


class DiskCache:
    """Bytes by name in a folder, shared with the user's other programs.

    Reading, writing and the ledger have threads of their own; no method that is not said to wait
    does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = os.getpid()
        self._readers = ThreadPoolExecutor(_READERS, "omezarr-disk", initializer=forbid_waiting)
        self._asked: list[tuple[bytes, asyncio.Future[Entry | None]]] = []
        self._wake = threading.Condition()
        self._puts: deque[_Put] = deque()
        self._waiting_bytes = 0
        self._touched: set[bytes] = set()
        self._damaged: set[bytes] = set()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._is_closing = False
        self._ledger: Ledger | None = None
        self._settings = Settings()
        self._rest_until = 0.0
        self._usage = Usage(str(folder))
        self._writer = threading.Thread(target=self._work, name="omezarr-disk-write", daemon=True)
        self._writer.start()

    # ---- on the loop: reads and writes, without waiting for the disk -----------------------------

    async def read(self, name: bytes) -> Entry | None:
        """Return an entry, or None; awaits on the loop while a thread reads."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Entry | None] = loop.create_future()
        self._asked.append((name, answer))
        if len(self._asked) == 1:
            loop.call_soon(self._hand_over, loop)
        return await answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._asked = self._asked, []
        asked = [each for each in asked if not each[1].done()]
        try:
            for first in range(0, len(asked), _READ_TOGETHER):
                self._readers.submit(self._read_all, loop, asked[first : first + _READ_TOGETHER])
        except RuntimeError:  # the program is ending: no thread takes anything any more
            for _, answer in asked:
                if not answer.done():
                    answer.set_result(None)

    def _read_all(
        self,
        loop: asyncio.AbstractEventLoop,
        asked: Sequence[tuple[bytes, asyncio.Future[Entry | None]]],
    ) -> None:
        found = [(answer, self._read(name)) for name, answer in asked]

        def tell() -> None:
            for answer, entry in found:
                if not answer.done():
                    answer.set_result(entry)

        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell)

    def _read(self, name: bytes) -> Entry | None:
        try:
            raw = self._path(name).read_bytes()
        except OSError:
            self._count(misses=1)
            return None
        try:
            entry = unpack(name, raw)
        except DamagedError:
            self._count(misses=1, damaged=1)
            self._mention(self._damaged, name)
            return None
        self._count(hits=1, hit_nbytes=len(raw))
        self._mention(self._touched, name)
        return entry

    def _mention(self, names: set[bytes], name: bytes) -> None:
        with self._wake:
            if not names:  # else the writer knows already that there is something to do
                self._wake.notify()
            names.add(name)

    def put(self, row: Row, entry: Entry) -> bool:
        """Have an entry written soon; False where too much is waiting already."""
        with self._wake:
            if self._is_closing or self._waiting_bytes + row.nbytes > _MOST_WAITING:
                return False
            self._waiting_bytes += row.nbytes
            self._puts.append(_Put(row, entry))
            if len(self._puts) == 1 or self._waiting_bytes > _HURRY_BYTES:
                self._wake.notify()
            return True

    def call(self, work: Callable[[Ledger], T]) -> Future[T]:
        """Have something done with the ledger, after all that was put before.

        Raises
        ------
        OperationError
            From the future: if the cache cannot be used.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._is_closing:
                future.set_exception(self._unusable("it has been closed"))
            else:
                self._calls.append((lambda: self._with_ledger(work), future))
                self._wake.notify()
        return future

    # ---- any thread; those that return a value wait for it ---------------------------------------

    @property
    def usage(self) -> Usage:
        """As it was when the disk was last written to; never waits."""
        return self._usage

    def info(self) -> Usage:
        """Return what is on disk now; waits for what was put before.

        Raises
        ------
        OperationError
            If the cache cannot be used.
        """
        self.call(lambda ledger: None).result()
        return self._usage

    def clear(self, *, kept: bool = False) -> None:
        """Delete everything; what is kept for offline use only if asked to.

        Raises
        ------
        OperationError
            If the cache cannot be used.
        """

        def empty(ledger: Ledger) -> None:
            ledger.clear(kept=kept)
            if kept:
                self._sweep()

        self.call(empty).result()

    def forget(self, thing: str) -> Future[None]:
        """Delete what there is of an object, or of all that is below a folder."""
        return self.call(lambda ledger: ledger.forget(thing))

    def kept(self) -> list[Kept]:
        """Return the regions that are kept for offline use.

        Raises
        ------
        OperationError
            If the cache cannot be used.
        """
        return self.call(lambda ledger: ledger.kept()).result()

    def close(self) -> None:
        """Write what is waiting, for a few seconds at most, and end."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._writer.join(_AT_EXIT_S)
        self._readers.shutdown(wait=False, cancel_futures=True)

    # ---- the writer's thread -------------------------------------------------------------------

    def _work(self) -> None:
        self._safely(self._start)
        while True:
            with self._wake:
                self._await_work()
                puts, self._puts = self._puts, deque()
                touched, self._touched = self._touched, set()
                damaged, self._damaged = self._damaged, set()
                calls, self._calls = self._calls, deque()
                is_closing = self._is_closing
                self._waiting_bytes = 0
            if puts or touched or damaged:
                self._safely(partial(self._write, puts, touched, damaged))
            for work, future in calls:
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(work())
                    except Exception as error:  # the caller's, whatever it is
                        future.set_exception(error)
            if is_closing:
                if self._ledger is not None:
                    self._ledger.close()
                return

    def _start(self) -> None:
        self._follow_settings()
        if self.folder.is_dir():
            self._opened()
            self._note_usage()
            self._sweep_daily()

    def _await_work(self) -> None:
        def is_urgent() -> bool:
            return bool(self._calls or self._is_closing or self._waiting_bytes > _HURRY_BYTES)

        def is_there() -> bool:
            return bool(self._puts or self._touched or self._damaged) or is_urgent()

        self._wake.wait_for(is_there)
        if not self._puts and not self._damaged:
            self._wake.wait_for(lambda: self._puts or is_urgent(), _TOUCH_S)
        give_up = time.monotonic() + _LINGER_MOST_S
        while time.monotonic() < give_up:
            count = len(self._puts)
            if self._wake.wait_for(is_urgent, _LINGER_S) or len(self._puts) == count:
                return

    def _safely(self, work: Callable[[], None]) -> None:
        """Do something that only the cache misses when it fails."""
        try:
            work()
        except (OSError, sqlite3.Error, OperationError) as error:
            self._rest_until = time.monotonic() + _REST_S
            self._usage = replace(self._usage, problem=str(error)[:200])

    def _with_ledger(self, work: Callable[[Ledger], T]) -> T:
        try:
            self._follow_settings()
            done = work(self._opened())
            self._note_usage()
            return done
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(str(error)[:200]) from error

    def _unusable(self, why: str) -> OperationError:
        return OperationError(
            "Could not use the disk cache",
            where=str(self.folder),
            why=why,
            hint="OMEZARR_CACHE_DIR names another folder; OMEZARR_DISK_CACHE_MB=0 does without.",
        )

    def _follow_settings(self) -> None:
        """Take the settings again if they have changed; another program may have done that."""
        settings, before = in_force_everywhere().settings, self._settings
        self._settings = settings
        if _of_the_disk(settings) == _of_the_disk(before):
            return
        if not self.folder.is_dir():
            return  # nothing to do, and no folder is made before there is something to put in it
        ledger = self._opened()
        max_bytes = self._max_bytes(ledger)
        if max_bytes:  # switched off is not cleared: other programs may have it on
            ledger.make_room(max_bytes)
        self._note_usage()

    def _max_bytes(self, ledger: Ledger) -> int:
        if self._settings.disk_bytes is not None:
            return self._settings.disk_bytes
        return default_max_bytes(self.folder, ledger.totals().nbytes)

    def _write(self, puts: Sequence[_Put], touched: set[bytes], damaged: set[bytes]) -> None:
        self._follow_settings()
        settings = self._settings
        may_write = time.monotonic() > self._rest_until and settings.disk_bytes != 0
        wanted = [
            put for put in puts if may_write and (settings.disk_private or not put.row.is_private)
        ]
        if not wanted and not self.folder.is_dir():
            return
        ledger = self._opened()
        try:
            if damaged:
                ledger.drop(damaged)
            if touched:
                ledger.touch(touched)
            if wanted:
                self._store(ledger, wanted)
        except sqlite3.OperationalError:
            raise  # locked for long, or a full disk: the ledger itself is sound
        except sqlite3.DatabaseError:
            self._begin_anew()
        self._note_usage()

    def _store(self, ledger: Ledger, puts: Sequence[_Put]) -> None:
        max_bytes = self._max_bytes(ledger)
        # One that takes the place of nearly everything else is not worth it.
        latest = {put.row.name: put for put in puts if put.row.nbytes <= max_bytes // 2}
        gone = ledger.put([put.row for put in latest.values()], max_bytes)
        written = 0
        try:
            for name in latest.keys() - gone:
                self._write_file(name, latest[name].entry)
                written += 1
        except OSError:
            ledger.drop(latest)
            raise
        # Others may have made room meanwhile, before these files were there to be deleted.
        ledger.unlink_unknown(latest)
        self._count(stored=written)

    def _write_file(self, name: bytes, entry: Entry) -> None:
        path = self._path(name)
        fresh = self.folder / "new" / f"{self.pid}-{name.hex()}"
        head, body = pack(name, entry)
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(head)
                file.write(body)
            try:
                os.replace(fresh, path)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                os.replace(fresh, path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self.folder / text[:2] / text[2:]

    def _unlink(self, name: bytes) -> None:
        with contextlib.suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _opened(self) -> Ledger:
        if self._ledger is None:
            self._make_folder()
            file = self.folder / "ledger.sqlite"
            try:
                self._ledger = Ledger(file, self._unlink)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # cut off by a power failure: what it counted is unknown
                self._begin_anew()
                self._ledger = Ledger(file, self._unlink)
        return self._ledger

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid"):
            found = self.folder.lstat()
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise PermissionError("others than you may write to or read from its folder")
        new = self.folder / "new"
        new.mkdir(mode=0o700, exist_ok=True)
        now = time.time()
        for left in new.iterdir():  # by programs that were killed
            with contextlib.suppress(OSError):
                if now - left.stat().st_mtime > _OLD_TEMPORARY_S:
                    left.unlink()
        file = self.folder / "ledger.sqlite"
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))

    def _begin_anew(self) -> None:
        """Throw everything away: a ledger that cannot be read counts nothing."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        for name in ("ledger.sqlite", "ledger.sqlite-journal"):
            (self.folder / name).unlink(missing_ok=True)
        self._sweep()
        self._make_folder()

    def _sweep_daily(self) -> None:
        """Delete files that the ledger does not know: of programs killed at the wrong moment."""
        marker = self.folder / "swept"
        now = time.time()
        if marker.exists() and now - marker.stat().st_mtime < _SWEEP_S:
            return
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o600))
        os.utime(marker)
        found = []
        for folder in self.folder.iterdir():
            if folder.is_dir() and len(folder.name) == 2:
                with os.scandir(folder) as files:
                    found += [bytes.fromhex(folder.name + file.name) for file in files]
        self._opened().unlink_unknown(found)

    def _sweep(self) -> None:
        """Delete all entries' files, also those that no ledger knows of."""
        for each in self.folder.iterdir():
            if each.is_dir() and len(each.name) == 2:
                shutil.rmtree(each, ignore_errors=True)

    # ---- statistics ----------------------------------------------------------------------------

    def _count(self, **more: int) -> None:
        with self._wake:
            now = self._usage
            self._usage = replace(now, **{name: getattr(now, name) + n for name, n in more.items()})

    def _note_usage(self) -> None:
        ledger = self._opened()
        totals: Totals = ledger.totals()
        max_bytes = self._max_bytes(ledger)
        with self._wake:
            self._usage = replace(
                self._usage,
                max_bytes=max_bytes,
                nbytes=totals.nbytes,
                entries=totals.entries,
                kept_nbytes=totals.kept_nbytes,
                kept_entries=totals.kept_entries,
                free_nbytes=shutil.disk_usage(self.folder).free,
                private=self._settings.disk_private,
                problem="",
            )


def _of_the_disk(settings: Settings) -> tuple[int | None, bool]:
    return settings.disk_bytes, settings.disk_private


def is_switched_off() -> bool:
    """Tell whether the environment says that there is to be no disk cache; asks no disk."""
    return value_in_environment("disk_bytes") == 0


_current: DiskCache | None = None
_lock = threading.Lock()


def disk_cache() -> DiskCache:
    """Return the cache of this process; after a fork, which stops all threads, a new one."""
    global _current
    with _lock:
        folder = cache_folder()
        if _current is None or _current.pid != os.getpid() or _current.folder != folder:
            in_force()  # what makes no sense in the settings is told, once
            _current = DiskCache(folder)
            atexit.register(_close_at_exit, _current)
        return _current


def _close_at_exit(cache: DiskCache) -> None:
    if cache.pid == os.getpid():
        cache.close()


def follow_settings() -> None:
    """Follow what was chosen, now; private data are deleted where they are not allowed; waits.

    Raises
    ------
    OperationError
        If the cache cannot be used.
    """
    cache = disk_cache()
    cache.info()
    if not in_force_everywhere().settings.disk_private:
        cache.call(lambda ledger: ledger.clear_private()).result()
