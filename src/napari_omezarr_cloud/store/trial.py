"""Trying the ways into a place, step by step: what was asked, and what the server answered."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import AccessRefusedError, CloudError
from napari_omezarr_cloud.store.access import ways_in
from napari_omezarr_cloud.store.failures import answer_code
from napari_omezarr_cloud.store.place_access import access_for, ready, settled
from napari_omezarr_cloud.store.protocol import ByteRange
from napari_omezarr_cloud.store.regions import known_region
from napari_omezarr_cloud.store.remote import RemoteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import Entry

__all__ = ["AccessTrial", "TriedStep", "how_signed", "try_access"]

_DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_SOME = ByteRange(0, 1)


@dataclass(frozen=True)
class TriedStep:
    """One thing that was tried."""

    what: str
    """``sign in``, ``list``, ``read`` or ``write``."""
    how: str
    """As whom, in words and without a secret."""
    is_done: bool
    answer: str
    """What came of it: what was found, or the server's refusal."""

    def __str__(self) -> str:
        return f"{'yes' if self.is_done else 'no '}  {self.what}, {self.how}: {self.answer}"


@dataclass(frozen=True)
class AccessTrial:
    """What was tried at a place, in order."""

    place: str
    """Display form of where it was tried."""
    steps: tuple[TriedStep, ...]

    @property
    def can_read(self) -> bool | None:
        """Whether something could be read; None: there was nothing to read."""
        return self._outcome("read")

    @property
    def can_list(self) -> bool | None:
        """Whether a listing was answered; None: web servers have none."""
        return self._outcome("list")

    @property
    def can_write(self) -> bool | None:
        """Whether a small object could be written; None: that was not tried."""
        written = [step.is_done for step in self.steps if step.what == "write"]
        return written[0] if written else None

    def _outcome(self, what: str) -> bool | None:
        """Return how it ended over the last way in: what was refused before is forgotten then."""
        last = next((s.how for s in reversed(self.steps) if s.what != "write"), "")
        outcomes = [s.is_done for s in self.steps if s.what == what and s.how == last]
        return any(outcomes) if outcomes else None

    @property
    def verdict(self) -> str:
        """All in one sentence."""
        reading = _word(self.can_read, "there is nothing to read")
        listing = _word(self.can_list, "not tried")
        writing = _word(self.can_write, "not tried")
        return f"Reading: {reading}. Listing: {listing}. Writing: {writing}."

    def __str__(self) -> str:
        return "\n".join([self.place, *(f"  {step}" for step in self.steps), self.verdict])


def _word(outcome: bool | None, otherwise: str) -> str:
    return otherwise if outcome is None else "yes" if outcome else "no"


def how_signed(location: Location, *, anonymous: bool) -> str:
    """Return as whom requests to a settled location go, in words and without a secret."""
    if location.has_secret:
        return "with what is in the link"
    if location.kind == "file":
        return "as this computer's user"
    if anonymous:
        return "without signing in"
    if location.access.profile:
        return f"with the AWS profile “{location.access.profile}”"
    said = access_for(location)
    if said is not None and said.signs and said.way != "environment":
        where = ""
        if said.about.has_secrets:
            where = " from the keyring" if said.in_keyring else " for this run"
        return f"with the {said.about.title[:1].lower()}{said.about.title[1:]}{where}"
    return "with the environment's credentials"


async def try_access(
    location: Location,
    *,
    writes: bool = False,
    open_target: Callable[[Location], RemoteStore] | None = None,
) -> AccessTrial:
    """Try to read and list as opening does, over each way in until one lets us; runs on the loop.

    Parameters
    ----------
    location
        Of an image, or of the place that holds some.
    writes
        Also write one small object there, read it back and delete it. Nothing is written otherwise.
    open_target
        Opens a place for writing, where that is to be tried.
    """
    await ready(location)
    steps: list[TriedStep] = []
    for anonymous, candidate in ways_in(location):
        found = await _looked(candidate, anonymous)
        steps += found
        if any(step.is_done and step.what in ("read", "list") for step in found):
            break
    if writes and open_target is not None:
        steps.append(await _written(location, open_target))
    there = replace(settled(location), access=location.access)
    return AccessTrial(str(there), tuple(steps))


async def _looked(location: Location, anonymous: bool) -> list[TriedStep]:
    how = how_signed(location, anonymous=anonymous)
    try:
        store = RemoteStore(location, anonymous=anonymous)
    except CloudError as error:
        return [TriedStep("sign in", how, False, _said(error))]
    steps: list[TriedStep] = []
    entries: Sequence[Entry] = ()
    if location.kind != "http":  # plain web servers have no listings
        try:
            entries = await store.list()
        except CloudError as error:
            steps.append(TriedStep("list", how, False, _said(error)))
        else:
            count = len(entries)
            text = f"{count:,} {'entry' if count == 1 else 'entries'}"
            if region := known_region(location):
                text += f"; its region is {region}"
            steps.append(TriedStep("list", how, True, text))
    steps += [step async for step in _read(store, how, entries)]
    return steps


async def _read(store: RemoteStore, how: str, entries: Sequence[Entry]) -> AsyncIterator[TriedStep]:
    """Read what opening an image reads first; where there is none, a byte of any object."""
    answers = await asyncio.gather(*(store.get(k) for k in _DOCUMENTS), return_exceptions=True)
    pairs = list(zip(_DOCUMENTS, answers, strict=True))
    found = [(key, data) for key, data in pairs if data and not isinstance(data, BaseException)]
    if found:
        key, data = found[0]
        yield TriedStep("read", how, True, f"{key}, {len(data):,} bytes")
        return
    refusals = [error for error in answers if isinstance(error, CloudError)]
    file = next((entry.name for entry in entries if not entry.is_prefix), None)
    if file is not None:
        try:
            await store.get(file, _SOME)
        except CloudError as error:
            yield TriedStep("read", how, False, _said(error))
        else:
            yield TriedStep("read", how, True, f"one byte of {file}")
    elif refusals:
        text = _said(refusals[0])
        if isinstance(refusals[0], AccessRefusedError) and entries:
            text += " (which S3 also says of what is not there)"
        yield TriedStep("read", how, False, text)


async def _written(location: Location, open_target: Callable[[Location], RemoteStore]) -> TriedStep:
    key, data = f".omezarr-access-test-{uuid.uuid4().hex}", b"May be deleted."
    at = settled(location)
    how = how_signed(at, anonymous=at.access.anonymous is True)
    try:
        store = open_target(location)
        how = how_signed(store.signed_at, anonymous=store.is_anonymous)
        await store.put(key, data)
    except CloudError as error:
        return TriedStep("write", how, False, _said(error))
    try:
        back = await store.get(key)
    except CloudError as error:
        back, said = None, _said(error)
    else:
        said = "something else was read back"
    try:
        await store.delete(key)
    except CloudError as error:
        text = f"{key} was written and cannot be deleted ({_said(error)}): it is still there"
        return TriedStep("write", how, True, text)
    if back is None or bytes(back) != data:
        return TriedStep("write", how, False, f"an object was written and deleted, but {said}")
    return TriedStep("write", how, True, "a small object was written, read back and deleted")


def _said(error: CloudError) -> str:
    said = error.why or error.what
    if type(error) is AccessRefusedError:  # what to try is what is being tried
        code = answer_code(error)
        return f"{said}: {code}" if code else said
    return f"{said}. {error.hint}" if error.hint else said
