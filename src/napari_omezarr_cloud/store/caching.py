"""The disk cache as a wrapper of a store: documents are always asked for, the rest once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import OperationError, UnreachableError
from napari_omezarr_cloud.store.disk.entry import Entry, name_of
from napari_omezarr_cloud.store.disk.ledger import Row
from napari_omezarr_cloud.store.disk.stamp import (
    ABSENT,
    Answers,
    SeenDocuments,
    is_document,
    validator,
)
from napari_omezarr_cloud.store.protocol import ByteRange
from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.counting import Traffic
    from napari_omezarr_cloud.store.disk import DiskCache
    from napari_omezarr_cloud.store.protocol import Bytes, ByteStore

__all__ = ["KEEPING", "CachingStore", "Collector", "identity", "is_private"]

_PATIENCE_S = 8.0
"""How long a document that is on the disk is waited for before the network counts as gone."""
_PROBE_S = 15.0
"""How long nothing is asked of a network that was gone."""
_MOST_PARTS = 20_000
_ABSENCE_SHARE, _ABSENCE_MOST_S = 0.1, 7 * 86400.0
"""That there is no chunk is believed for a tenth of the time for which its image has not changed
(as HTTP caches guess, RFC 9111, 4.2.2): an image that is still being written gets more chunks."""


@dataclass
class _Heard:
    """When anybody answered anything."""

    at: float = 0.0


_heard = _Heard()


@dataclass
class Collector:
    """Notes all that was read while it was set, so that it can be kept."""

    names: set[bytes] = field(default_factory=set)
    nbytes: int = 0
    """Of all entries, each counted once."""
    is_private: bool = False
    """Whether credentials were needed for any of it."""

    def note(self, name: bytes, nbytes: int, *, is_private: bool) -> None:
        """Take note of an entry."""
        if name not in self.names:
            self.names.add(name)
            self.nbytes += nbytes
            self.is_private |= is_private


KEEPING: ContextVar[Collector | None] = ContextVar("KEEPING", default=None)
"""Set while a region is fetched to be kept; what comes is then on the disk before it is used."""


def identity(location: Location) -> str:
    """Return what a place is called in the cache: without query, profile, region or any secret."""
    server = f"{location.kind}|{location.endpoint or ''}|{location.account or ''}"
    return f"{server}|{location.bucket}/{location.key}".rstrip("/")


def is_private(location: Location, *, anonymous: bool) -> bool:
    """Tell whether anything that not everybody has is sent with the requests."""
    return location.has_secret or not anonymous or location.access.profile is not None


class CachingStore(StoreWrapper):
    """Wrap a store so that what was read is read from the disk the next time.

    Metadata documents are asked for each time; their versions (ETag, Last-Modified, else a
    checksum) are part of the name of each chunk, so that chunks of an image that has changed are
    never found. Where the network is gone, documents come from the disk, too, and what is not
    there is refused at once.

    Parameters
    ----------
    inner
        Asks the network.
    cache
        Where the bytes are kept.
    location
        Of the store's root.
    answers
        Knows what the server said of the documents that ``inner`` brought.
    traffic
        Counts the hits, and says whether the network is gone.
    anonymous
        Whether requests go without a signature.
    single_file
        Key of the one file that holds everything (a zip): its first part is what a document is.
    """

    def __init__(
        self,
        inner: ByteStore,
        cache: DiskCache,
        location: Location,
        answers: Answers,
        traffic: Traffic,
        *,
        anonymous: bool,
        single_file: str | None = None,
    ) -> None:
        super().__init__(inner)
        self._cache = cache
        self._root = identity(location)
        self._is_private = is_private(location, anonymous=anonymous)
        self._answers = answers
        self._traffic = traffic
        self._single_file = single_file
        self._seen = SeenDocuments()
        self._parts: dict[tuple[int, int], None] = {}
        self._probe_at = 0.0
        self._why_offline = ""
        self.oldest: float | None = None
        """When the oldest document that came from the disk was stored; None: none did."""

    @property
    def offline_note(self) -> str | None:
        """What to tell the person if documents came from the disk."""
        if self.oldest is None:
            return None
        when = time.strftime("%d %B %Y, %H:%M", time.localtime(self.oldest))
        return (
            f"Offline: shown from the disk cache, as of {when} ({self._why_offline}). "
            "What is not in it is missing."
        )

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        is_file = key == self._single_file and self._seen.version(key) is None
        if is_file or (_is_whole(byte_range) and is_document(key)):
            return await self._document(key, byte_range, is_file=is_file)
        found = self._seen.version(key)
        if found is None:
            return await self._inner.get(key, byte_range)
        version, changed = found
        name = self._name(key, byte_range, version)
        if key == self._single_file and byte_range is not None and byte_range.length is not None:
            self._note_part(byte_range.start, byte_range.length)
        entry = await self._cache.read(name)
        if entry is not None and (entry.data is not None or _is_believed(entry, changed)):
            return self._hit(name, entry)
        if self._is_gone():
            if entry is not None:
                return self._hit(name, entry)
            raise self._missing(key)
        try:
            data = await self._inner.get(key, byte_range)
        except UnreachableError as error:
            if entry is None:
                if self._why_offline:
                    self._lost(error.why)
                raise
            self._lost(error.why)
            return self._hit(name, entry)
        self._is_back()
        await self._keep(key, name, Entry(data, time.time()), is_document=False)
        return data

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        found = self._seen.version(key)
        if found is None:
            return
        names = [self._name(key, byte_range, found[0])]
        if key == self._single_file and byte_range is not None and byte_range.length is not None:
            stop = byte_range.start + byte_range.length
            names += [
                self._name(key, ByteRange(start, length), found[0])
                for start, length in self._parts
                if start < stop and byte_range.start < start + length
            ]
        # Waited for: who asks again at once must not find it.
        with suppress(OperationError):  # a cache that cannot be used keeps nothing either
            await asyncio.wrap_future(self._cache.call(lambda ledger: ledger.drop(names)))

    async def put(self, key: str, data: Bytes) -> None:
        await self._inner.put(key, data)
        await self._forget(key)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)
        await self._forget(key)

    async def _forget(self, key: str) -> None:
        with suppress(OperationError):  # the write itself has been done
            await asyncio.wrap_future(self._cache.forget(self._thing(key)))

    # ---- documents -----------------------------------------------------------------------------

    async def _document(
        self, key: str, byte_range: ByteRange | None, *, is_file: bool
    ) -> Bytes | None:
        name = self._name(key, byte_range, b"")
        if self._is_gone():
            entry = await self._cache.read(name)
            if entry is None:
                raise self._missing(key)
        else:
            entry = await self._asked_or_stored(key, byte_range, name)
        if is_file and entry.validator != ABSENT:
            self._seen.note_file(key, entry.validator, entry.modified)
        else:
            self._seen.note(key, entry.validator, entry.modified)
        return entry.data

    async def _asked_or_stored(self, key: str, byte_range: ByteRange | None, name: bytes) -> Entry:
        asking = asyncio.ensure_future(self._inner.get(key, byte_range))
        try:
            why = await self._trouble(asking)
            if why is not None:
                entry = await self._cache.read(name)
                if entry is not None and not (asking.done() and asking.exception() is None):
                    self._lost(why)
                    return self._from_disk(name, entry)
            return await self._answered(key, name, await asking)
        finally:
            asking.cancel()

    async def _trouble(self, asking: asyncio.Future[Bytes | None]) -> str | None:
        """Return why the network counts as gone; None where there is an answer."""
        started = time.monotonic()
        while True:
            done, _ = await asyncio.wait({asking}, timeout=_PATIENCE_S)
            if done:
                error = asking.exception()
                return error.why if isinstance(error, UnreachableError) else None
            if _heard.at < started:  # on a slow line others' answers come, and this one will
                return "no answer came in time"
            started = time.monotonic()

    async def _answered(self, key: str, name: bytes, data: Bytes | None) -> Entry:
        self._is_back()
        stamp = self._answers.stamp(key)
        modified = None if stamp is None or data is None else stamp.last_modified
        entry = Entry(data, time.time(), validator(stamp, data), modified)
        await self._keep(key, name, entry, is_document=True)
        return entry

    def _from_disk(self, name: bytes, entry: Entry) -> Entry:
        self._hit(name, entry)
        self.oldest = min(self.oldest or entry.stored_at, entry.stored_at)
        return entry

    # ---- the rest ------------------------------------------------------------------------------

    def _thing(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _name(self, key: str, byte_range: ByteRange | None, version: bytes) -> bytes:
        part = None if _is_whole(byte_range) else byte_range
        return name_of(self._thing(key), part, version, is_private=self._is_private)

    def _note_part(self, start: int, length: int) -> None:
        """Remember which parts of a file were asked for, in case one of them makes no sense."""
        self._parts[start, length] = None
        if len(self._parts) > _MOST_PARTS:
            del self._parts[next(iter(self._parts))]

    def _hit(self, name: bytes, entry: Entry) -> Bytes | None:
        collector = KEEPING.get()
        if collector is not None:
            collector.note(name, entry.nbytes, is_private=self._is_private)
        self._traffic.disk_hits += 1
        self._traffic.disk_nbytes += 0 if entry.data is None else len(entry.data)
        return entry.data

    async def _keep(self, key: str, name: bytes, entry: Entry, *, is_document: bool) -> None:
        row = Row(
            name, self._thing(key), entry.nbytes, is_document, self._is_private, entry.validator
        )
        is_taken = self._cache.put(row, entry)
        collector = KEEPING.get()
        if collector is not None:
            collector.note(name, entry.nbytes, is_private=self._is_private)
            if not is_taken:
                await asyncio.wrap_future(self._cache.call(lambda ledger: None))
                self._cache.put(row, entry)

    def _is_gone(self) -> bool:
        return time.monotonic() < self._probe_at

    def _lost(self, why: str) -> None:
        self._probe_at = time.monotonic() + _PROBE_S
        self._why_offline = why
        self._traffic.is_offline = True

    def _is_back(self) -> None:
        _heard.at = time.monotonic()
        self._probe_at, self._why_offline = 0.0, ""
        self._traffic.is_offline = False

    def _missing(self, key: str) -> UnreachableError:
        return UnreachableError(
            "Could not read",
            where=self.where,
            key=key,
            why=f"it is not in the disk cache, and the network is gone ({self._why_offline})",
            hint="It is asked for again when the network is back.",
        )


def _is_whole(byte_range: ByteRange | None) -> bool:
    """Tell whether all of an object is asked for; how much that may be at most does not matter."""
    return byte_range is None or (byte_range.start == 0 and byte_range.length is None)


def _is_believed(absence: Entry, changed: float | None) -> bool:
    """Tell whether a missing chunk can be taken to be missing still."""
    if changed is None:
        return False
    trusted = min(_ABSENCE_SHARE * (absence.stored_at - changed), _ABSENCE_MOST_S)
    return time.time() - absence.stored_at < trusted
