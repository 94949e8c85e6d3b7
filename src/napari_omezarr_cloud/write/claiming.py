"""Who writes at a place: said in the notes of a write, so that two never write there at once.

The notes hold the plan and its writer, in one document that is changed by compare-and-swap. A
writer says every few seconds that it is still at work, and looks whether the place is still its
own. One that was killed is found out: by its process where that was on this computer, elsewhere by
its silence, which is listened to: its clock may be another than ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
import time
import uuid
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    BusyError,
    ChangedError,
    CloudError,
    ExistsError,
)
from napari_omezarr_cloud.ngff.writing import json_bytes
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari_omezarr_cloud.store import RemoteStore

__all__ = ["HOW_TO_OVERWRITE", "PLAN_KEY", "Claim", "Notes", "Writer"]

PLAN_KEY = f"{WRITE_NOTES}/plan.json"

HOW_TO_OVERWRITE = "say that it may be overwritten (--overwrite, in Python overwrite=True)"

_RENEW_S = 20.0
_SILENT_S = 120.0
"""After which a writer on another computer is taken for dead: several times what it may be late."""
_WATCH_S = 45.0
"""How long it is listened to before its place is taken: twice what a writer is silent."""
_LOOKS = 9
"""How often it is looked meanwhile."""
_WAKE_S = 1.0
"""How often a writer looks at the clock: a computer that was asleep has been silent for longer."""
_SETTLE_S = 1.0
"""How long two who begin at once may need to see each other, where the server does not guard."""

_RELEASE_S = 1.0
"""How long a server may take to hear that a writer has ended."""

_at_work: set[str] = set()
"""Tokens of the writers of this process."""


@dataclass(frozen=True)
class Writer:
    """A process that writes, or did."""

    token: str
    host: str
    machine: str
    """Tells computers, and containers, of one name apart."""
    pid: int
    seen: float
    """When it last said that it is at work, in seconds since 1970."""

    @classmethod
    def here(cls) -> Writer:
        """Return a new one in this process."""
        return cls(uuid.uuid4().hex, platform.node(), _machine(), os.getpid(), time.time())

    @classmethod
    def of(cls, value: Any) -> Writer | None:
        """Return the writer that notes tell of; None: nobody that we know."""
        try:
            found = cls(**value)
            return replace(found, pid=int(found.pid), seen=float(found.seen))
        except (TypeError, ValueError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this computer."""
        return self.machine == _machine()

    @property
    def is_at_work(self) -> bool:
        """Whether it is, as far as can be told from here."""
        if abs(time.time() - self.seen) > _SILENT_S:
            return False
        if not self.is_here:
            return True
        return self.token in _at_work if self.pid == os.getpid() else _runs(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@cache
def _machine() -> str:
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # containers of one computer
    return " ".join(parts)


def _runs(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # there os.kill would end it; its silence will tell
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


@dataclass(frozen=True)
class Notes:
    """What the notes of a write say."""

    identity: dict[str, Any]
    """What it is known by: its plan, and where the voxels come from."""
    writer: Writer | None = None
    replaced_by: str | None = None
    """Key of the whole image that is on its way to this place; None: it is written here."""
    is_rubbish: bool = False
    """Whether nothing is left to do but to delete: what is there, or notes of a replacement."""

    @classmethod
    def of(cls, raw: Any) -> Notes | None:
        """Return what a document says; None: there is none. One that is broken says nothing."""
        if raw is None:
            return None
        try:
            value = json.loads(bytes(raw))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            return cls({})
        identity = {name: value[name] for name in ("plan", "origin") if name in value}
        to = value.get("replaced by")
        return cls(
            identity,
            Writer.of(value.get("writer")),
            to if isinstance(to, str) else None,
            value.get("is rubbish") is True,
        )

    def to_bytes(self) -> bytes:
        """Return the document."""
        more: dict[str, Any] = {}
        if self.writer is not None:
            more["writer"] = asdict(self.writer)
        if self.replaced_by is not None:
            more["replaced by"] = self.replaced_by
        if self.is_rubbish:
            more["is rubbish"] = True
        return json_bytes({**self.identity, **more})

    def refuse_if_busy(self, where: str) -> None:
        """Raise a `BusyError` if its writer is at work."""
        if self.writer is not None and self.writer.is_at_work:
            raise self.busy(where)

    def busy(self, where: str) -> BusyError:
        """Return the error that says who is writing there."""
        return BusyError(
            "Nothing was written",
            where=where,
            why=f"{self.writer} is writing there",
            hint="Wait until it has ended, or choose another name. If it was killed, save again in "
            f"{_SILENT_S / 60:.0f} minutes: that goes on where it was.",
        )

    def in_words(self) -> str:
        """Return what was being written, to be put behind "the beginning of"."""
        plan = self.identity.get("plan")
        if not isinstance(plan, dict):
            return "another save"
        try:
            shape = " × ".join(str(int(n)) for n in plan["levels"][0]["shape"])
            return f"another save (“{plan['name']}”, {shape})"
        except (KeyError, IndexError, TypeError, ValueError):
            return "another save"


class Claim:
    """That this process writes at a place.

    Parameters
    ----------
    store
        Root of the image that is written.
    identity
        Of what is written.
    on_lost
        Called, in the thread of the I/O, when the place has become somebody else's.
    """

    def __init__(
        self,
        store: RemoteStore,
        identity: dict[str, Any],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self.identity = identity
        self._writer = Writer.here()
        self._is_rubbish = False
        self._on_lost = on_lost
        self._beat: Future[None] | None = None
        self.lost: ChangedError | None = None
        """Set when the place has become somebody else's."""

    def _document(self, writer: Writer | None) -> bytes:
        return Notes(self.identity, writer, is_rubbish=self._is_rubbish).to_bytes()

    async def take(self) -> bool:
        """Take the place; tell whether the same was begun there before.

        Raises
        ------
        BusyError
            If somebody is writing there.
        ExistsError
            If there is the beginning of something else; or if none of this was begun, and anything
            else is there.
        CloudError
            If nothing can be written there.
        """
        was_begun = False

        def change(raw: bytes | None) -> bytes:
            nonlocal was_begun
            notes = Notes.of(raw)
            was_begun = notes is not None
            if notes is not None:
                notes.refuse_if_busy(self._store.where)
                if notes.identity != self.identity or notes.is_rubbish:
                    raise ExistsError(
                        "Nothing was written",
                        where=self._store.where,
                        why=f"the beginning of {notes.in_words()} is there",
                        hint="Do that again to go on with it, choose another name, or "
                        f"{HOW_TO_OVERWRITE}.",
                    )
            return self._document(self._writer)

        await self._changed(change)
        if not was_begun:
            await self._see_that_it_is_empty()
        return was_begun

    async def _see_that_it_is_empty(self) -> None:
        """Refuse what somebody has begun and ended since it was looked what is there."""
        try:
            names = {entry.name for entry in await self._store.list()} - {WRITE_NOTES, ""}
        except AccessRefusedError:
            return  # who may not list cannot tell
        if not names:
            return
        self.end()
        await self._store.delete(PLAN_KEY)
        if self._store.location.kind == "file":
            with contextlib.suppress(OSError):
                Path(self._store.location.key, WRITE_NOTES).rmdir()
        raise ExistsError(
            "Nothing was written",
            where=self._store.where,
            why=f"something has come there meanwhile ({', '.join(sorted(names)[:5])})",
            hint="Look at what is there now, and choose another name.",
        )

    async def take_to_delete(self) -> None:
        """Take the place, whatever was begun there, to delete all of it.

        Raises
        ------
        BusyError
            If somebody is writing there.
        CloudError
            If nothing can be written there.
        """
        self._is_rubbish = True

        def change(raw: bytes | None) -> bytes:
            notes = Notes.of(raw)
            if notes is not None and not self._is_mine(notes):
                notes.refuse_if_busy(self._store.where)
            return self._document(self._writer)

        await self._changed(change)

    async def _changed(self, change: Callable[[bytes | None], bytes]) -> None:
        await self._listen()
        unguarded = await exchange(self._store, PLAN_KEY, change)
        _at_work.add(self._writer.token)
        if unguarded:
            await asyncio.sleep(_SETTLE_S)
            await self.check()
        if self._beat is None:
            self._beat = io_thread().submit(self._keep())

    async def _listen(self) -> None:
        """Wait whether a writer on another computer, which seems to have ended, says anything."""
        before = await self._writer_there()
        if before is None or before.is_here or before.is_at_work:
            return  # who is at work is refused when the place is taken
        for _ in range(_LOOKS):
            await asyncio.sleep(_WATCH_S / _LOOKS)
            after = await self._writer_there()
            if after is None or after.token != before.token:
                return
            if after.seen != before.seen:
                raise Notes(self.identity, after).busy(self._store.where)

    async def _writer_there(self) -> Writer | None:
        notes = Notes.of(await self._store.get(PLAN_KEY))
        return None if notes is None else notes.writer

    async def check(self) -> None:
        """See that the place is still ours.

        Raises
        ------
        ChangedError
            If it is not.
        CloudError
            If that cannot be found out.
        """
        self._refuse_if_lost(Notes.of(await self._store.get(PLAN_KEY)))

    def _is_mine(self, notes: Notes) -> bool:
        return notes.writer is not None and notes.writer.token == self._writer.token

    def _refuse_if_lost(self, notes: Notes | None) -> None:
        if notes is not None and self._is_mine(notes):
            return
        why = "what was being written there was deleted meanwhile"
        hint = "What was written since then lies there and is no image: delete it, and save again."
        if notes is not None:
            why = f"{notes.writer or 'somebody else'} has taken it over"
            hint = "Look at what is there now, and save again."
        raise ChangedError(
            "The image was not finished", where=self._store.where, why=why, hint=hint
        )

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_WAKE_S)
            if abs(time.time() - self._writer.seen) < _RENEW_S:
                continue
            try:
                await self._renew()
            except ChangedError as error:
                self.lost = error
                self._on_lost()
                return
            except CloudError:
                # Whoever writes voxels will hear the same.
                await asyncio.sleep(_RENEW_S)

    async def _renew(self) -> None:
        def change(raw: bytes | None) -> bytes:
            self._refuse_if_lost(Notes.of(raw))
            self._writer = replace(self._writer, seen=time.time())
            return self._document(self._writer)

        await exchange(self._store, PLAN_KEY, change)

    def end(self) -> None:
        """Say nothing more: the notes are, or are about to be, deleted."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        _at_work.discard(self._writer.token)

    def release(self) -> None:
        """Leave the place to who comes next, with all that was done; waits."""
        if self._beat is None:
            return
        self.end()

        def change(raw: bytes | None) -> bytes:
            self._refuse_if_lost(Notes.of(raw))
            return self._document(None)

        # Unless it is said, the next one finds out by the process that is gone.
        io_thread().wait_briefly(exchange(self._store, PLAN_KEY, change), _RELEASE_S)
