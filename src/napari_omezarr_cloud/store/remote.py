"""A place in the network or on disk, read and written through obstore."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    CredentialsError,
    NotFoundError,
    ServerError,
    UnsupportedError,
)
from napari_omezarr_cloud.settings import settings
from napari_omezarr_cloud.store.clients import build_obstore, shared_obstore
from napari_omezarr_cloud.store.counting import Traffic
from napari_omezarr_cloud.store.credentials import fingerprint, hide_environment
from napari_omezarr_cloud.store.disk.stamp import is_document
from napari_omezarr_cloud.store.failures import (
    NoRangesError,
    PageError,
    is_broken_answer,
    tells_of_bucket,
    translate,
)
from napari_omezarr_cloud.store.gate import Gate
from napari_omezarr_cloud.store.line import Line
from napari_omezarr_cloud.store.place_access import changes, settled, stamp
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, Entry
from napari_omezarr_cloud.store.providers import signs_as
from napari_omezarr_cloud.store.regions import find_region, known_region
from napari_omezarr_cloud.store.web_reader import WebReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["GATE", "ObjectFound", "RemoteStore", "Version"]

Version = Mapping[str, str]
"""Which version of an object: its ETag, and its generation where the service counts them."""


@dataclass(frozen=True)
class ObjectFound:
    """What a server says of an object without sending it."""

    key: str
    """Below the store's root."""
    nbytes: int
    e_tag: str | None = None
    modified: float | None = None
    """In seconds since 1970, UTC."""

    @classmethod
    def of(cls, key: str, meta: Mapping[str, Any]) -> ObjectFound:
        """Return what obstore's ``ObjectMeta`` says."""
        modified = meta["last_modified"].timestamp()
        # 1970 stands for a server that does not say.
        # Some listings leave out the quotes that belong to an ETag.
        tag = (meta.get("e_tag") or "").removeprefix("W/").strip('"') or None
        return cls(key, int(meta["size"]), tag, modified if modified > 0 else None)

    def is_same(self, other: ObjectFound) -> bool:
        """Tell whether it is the same version of the object, as far as is said of them."""
        if self.nbytes != other.nbytes:
            return False
        if self.e_tag == other.e_tag:
            return True
        # A listing may state another kind of tag than an answer; the time is the same one.
        return self.modified is not None and self.modified == other.modified


GATE = Gate(settings().requests, Line())
"""Requests in flight of this process: as many as its line bears, and at most as set."""

_BROKEN_ANSWER_TRIES = 3
_ANEW_AFTER_S = 30.0
"""After which a profile whose keys are refused is asked for others."""
_MOST_DOCUMENT, _MOST_WHOLE = 2**26, 2**31 + 2**24
"""Bytes of a metadata document, and of anything else, that are read at once."""


class RemoteStore:
    """Bytes below one location; the only place that sends requests."""

    def __init__(
        self,
        location: Location,
        *,
        anonymous: bool,
        gate: Gate = GATE,
        on_answer: Callable[[str, Any], None] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """Make a store.

        ``on_answer`` is called with each key read and obstore's ObjectMeta; ``traffic`` is told
        who waits for a turn, and how long answers took.
        """
        self.location = location
        self.anonymous = anonymous
        self._gate = gate
        self._on_answer = on_answer
        self._traffic = traffic or Traffic()
        self._builds = 0
        self._build(location)

    def _build(self, at: Location) -> None:
        """Make the clients for what is known of the place now."""
        self._at = at
        self._said, self._changes = stamp(self.location), changes()
        anonymous = self.anonymous if at.access.anonymous is None else at.access.anonymous
        self._reader, self._prefix = shared_obstore(at, anonymous=anonymous)
        self._writer = None if self._prefix else self._reader
        self._is_anonymous = anonymous
        self._signed_with = None if anonymous else fingerprint()
        if not anonymous:
            hide_environment()
        self._traffic.is_paid = at.access.requester_pays and not anonymous
        self._region = known_region(at)
        self._built_at = time.monotonic()
        self._builds += 1

    def _renew_if_said(self) -> None:
        """Take over what the person has said of the place meanwhile: other keys, another way."""
        if self._changes == changes():
            return
        self._changes = changes()
        if stamp(self.location) != self._said:
            self._build(settled(self.location, is_forced=True))

    async def _is_renewed(self, error: CloudError, asked_with: int) -> bool:
        """After a failure, tell whether it makes sense to ask again in another way.

        The person may have signed in elsewhere; the environment's credentials are then taken over.
        A profile is asked for keys once more. The bucket may be in another region.
        """
        if isinstance(error, AccessRefusedError):
            self._renew_if_said()
            if self._builds == asked_with and self._may_sign_anew(error):
                self._build(self._at)
        elif region := await find_region(self._at, error):
            if self._at.access.region not in (None, region):
                error.hint = f"Its region is {region}."
            elif self._builds == asked_with and self._region != region:
                self._build(self._at)
        return self._builds != asked_with

    def _may_sign_anew(self, error: AccessRefusedError) -> bool:
        """Tell whether there may be other credentials by now than those that were refused."""
        if self._signed_with is None:
            return False
        if self._signed_with != fingerprint():
            return True
        age_s = time.monotonic() - self._built_at
        return isinstance(error, CredentialsError) and signs_as(self._at) and age_s > _ANEW_AFTER_S

    @property
    def where(self) -> str:
        return str(self.location)

    @property
    def signed_at(self) -> Location:
        """The location as it is asked for now: with what was said of its place."""
        return self._at

    @property
    def is_anonymous(self) -> bool:
        """Whether requests go without anything that tells who asks."""
        return self._is_anonymous

    @property
    def _store(self) -> Any:
        """Its own client, for all but reading."""
        if isinstance(self._reader, WebReader):
            raise UnsupportedError(
                "Could not list or write",
                where=self.where,
                why="web servers are only read, neither listed nor written to",
            )
        if self._writer is None:
            self._writer = build_obstore(self._at, anonymous=self._is_anonymous)
        return self._writer

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        async with self._gate.enter(self._traffic):
            for tries_left in reversed(range(_BROKEN_ANSWER_TRIES)):
                data: Bytes | None = None
                self._renew_if_said()
                asked_with = self._builds
                started = time.perf_counter()
                try:
                    data = await self._get(key, byte_range)
                except Exception as error:  # obstore's own, of many types: translated in one place
                    if not _is_absent(error):
                        # obstore retries before the first byte; an answer that breaks off is ours.
                        if is_broken_answer(error) and tries_left:
                            await asyncio.sleep(0.05)
                            continue
                        failure = translate(error, "Could not read", self._at, key)
                        if await self._is_renewed(failure, asked_with) and tries_left:
                            continue
                        break
                self._traffic.recent_s.append(time.perf_counter() - started)
                return data
        raise failure

    async def _get(self, key: str, byte_range: ByteRange | None) -> Bytes:
        self._refuse_pipes(key)
        path = self._prefix + key
        try:
            answer = await self._reader.get_async(path, options=_options(byte_range))
        except NotSupportedError:
            if byte_range is None or not (byte_range.start < 0 or byte_range.whole_up_to):
                raise
            answer = await self._get_otherwise(key, byte_range)
        self._refuse_too_large(answer, key, byte_range)
        data = await self._body(answer)
        self._refuse_page(key, answer)
        if self._on_answer is not None:
            self._on_answer(key, answer.meta)
        return data

    def _refuse_page(self, key: str, answer: Any) -> None:
        content_type = str(answer.attributes.get("Content-Type", ""))
        if self.location.kind != "file" and content_type.startswith("text/html"):
            raise PageError(
                "Could not read",
                where=self.where,
                key=key,
                why="the server sent an HTML page instead of the file",
                hint="Is the link a web page, or does it need a login? Open it in a browser.",
            )

    async def _body(self, answer: Any) -> memoryview:
        together, started = self._gate.inside, time.perf_counter()
        data = memoryview(await answer.bytes_async())
        if self.location.kind != "file":
            self._gate.note(len(data), time.perf_counter() - started, together)
        return data

    def _refuse_pipes(self, key: str) -> None:
        """Refuse what is neither file nor folder: opening a pipe waits for ever for its writer."""
        if self.location.kind != "file":
            return
        try:
            mode = os.stat(Path(self.location.key, key)).st_mode
        except (OSError, ValueError):
            return  # obstore says what is wrong with it
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ServerError(
                "Could not read",
                where=self.where,
                key=key,
                why="it is neither a file nor a folder, but a pipe, a socket or a device",
            )

    def _refuse_too_large(self, answer: Any, key: str, byte_range: ByteRange | None) -> None:
        """Stop before the bytes are fetched: files that lie about their size fill the memory."""
        most = _MOST_DOCUMENT if is_document(key) else _MOST_WHOLE
        if byte_range is not None and byte_range.at_most is not None:
            most = byte_range.at_most
        start, stop = answer.range
        if stop - start > most:
            raise ServerError(
                "Could not read",
                where=self.where,
                key=key,
                why=f"it has {stop - start:,} bytes, and no more than {most:,} are expected there",
                hint="The file may be damaged, or its metadata those of another.",
            )

    async def _get_otherwise(self, key: str, byte_range: ByteRange) -> Any:
        """Ask where a range was not served: without a suffix, which Azure does not know; whole."""
        reader, path = self._reader, self._prefix + key
        if byte_range.start < 0:
            try:
                first = await reader.get_async(path, options={"range": (0, 1)})
            except NotSupportedError:
                if not byte_range.whole_up_to:
                    raise
            else:
                size = int(first.meta["size"])
                start = max(0, size + byte_range.start)
                return await reader.get_async(path, options={"range": (start, size)})
        whole = await reader.get_async(path)
        size = int(whole.meta["size"])
        if size > byte_range.whole_up_to:
            raise NoRangesError(
                "Could not read",
                where=self.where,
                key=key,
                why=f"the server cannot send parts of a file, and this one has {size / 1e6:,.0f} "
                f"MB; it is read whole up to {byte_range.whole_up_to / 1e6:,.0f} MB",
            )
        return whole

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        """Do nothing: nothing is kept."""

    async def put(self, key: str, data: Bytes) -> None:
        raw = bytes(data)
        await self._ask("Could not write", key, lambda: obstore.put_async(self._store, key, raw))

    async def upload(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Write one object piece by piece; nothing is there before all of it is."""
        await self._ask(
            "Could not write",
            key,
            lambda: obstore.put_async(self._store, key, pieces, use_multipart=True),
        )

    async def find(self, key: str) -> ObjectFound | None:
        """Return what the server says of an object; None where there is none."""
        path = self._prefix + key

        async def first_byte() -> Any:
            return (await self._reader.get_async(path, options={"range": (0, 1)})).meta

        try:
            try:
                meta = await self._ask("Could not look", key, lambda: self._reader.head_async(path))
            except AccessRefusedError:
                if self.location.kind != "http" or not self.location.query:
                    raise
                # A link is signed for reading, which looking is not.
                meta = await self._ask("Could not look", key, first_byte)
        except NotFoundError:
            return None
        return ObjectFound.of(key, meta)

    async def read_version(self, key: str) -> tuple[bytes, Version] | None:
        """Return an object and which version of it was read; None where there is none."""

        async def read() -> tuple[bytes, Version]:
            answer = await obstore.get_async(self._store, key)
            known = {name: answer.meta.get(name) for name in ("e_tag", "version")}
            found = {name: str(value) for name, value in known.items() if value}
            return bytes(await answer.bytes_async()), found

        try:
            return await self._ask("Could not read", key, read)  # type: ignore[no-any-return]
        except NotFoundError:
            return None

    async def put_version(self, key: str, data: Bytes, version: Version | None) -> bool:
        """Write an object if it is still what was read; tell whether it was.

        Parameters
        ----------
        key, data
            What is written where.
        version
            Of what was read; None: there was nothing. A server that does not know
            conditions writes in any case.

        Raises
        ------
        UnsupportedError
            If this kind of place knows no conditions: a local folder.
        """
        mode: Any = "create" if version is None else dict(version)
        raw = bytes(data)

        async def put() -> bool:
            try:
                await obstore.put_async(self._store, key, raw, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            except (NotImplementedError, NotSupportedError) as error:
                raise UnsupportedError(
                    "Could not write", where=self.where, key=key, why="it knows no conditions"
                ) from error
            return True

        return await self._ask("Could not write", key, put)  # type: ignore[no-any-return]

    async def delete(self, key: str) -> None:
        try:
            await self._ask("Could not delete", key, lambda: obstore.delete_async(self._store, key))
        except NotFoundError:
            return  # as object stores do

    async def copy(self, key: str, to: str) -> None:
        """Copy one object below this root; an object store does it without sending it to us."""
        await self._ask("Could not copy", key, lambda: obstore.copy_async(self._store, key, to))

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        found = await self._ask(
            "Could not list",
            prefix or "/",
            lambda: obstore.list_with_delimiter_async(self._store, prefix or None),
        )
        base = prefix.rstrip("/") + "/" if prefix else ""
        folders = [Entry(p[len(base) :].rstrip("/"), True) for p in found["common_prefixes"]]
        files = [Entry(o["path"][len(base) :], False, o["size"]) for o in found["objects"]]
        return [*folders, *files]

    async def _ask(self, what: str, key: str, request: Callable[[], Awaitable[Any]]) -> Any:
        async with self._gate.enter():
            for _ in range(2):
                self._renew_if_said()
                asked_with = self._builds
                try:
                    return await request()
                except Exception as error:  # as in get
                    failure = translate(error, what, self._at, key)
                if not await self._is_renewed(failure, asked_with):
                    break
        raise failure


def _is_absent(error: Exception) -> bool:
    """Tell whether there is nothing of that key, in a place that is there."""
    return isinstance(error, FileNotFoundError | NotADirectoryError) and not tells_of_bucket(error)


def _options(byte_range: ByteRange | None) -> Any:
    if byte_range is None or (byte_range.at_most is not None and byte_range.length is None):
        return None
    if byte_range.start < 0:
        return {"range": {"suffix": -byte_range.start}}
    if byte_range.length is None:
        return {"range": {"offset": byte_range.start}}
    return {"range": (byte_range.start, byte_range.start + byte_range.length)}
