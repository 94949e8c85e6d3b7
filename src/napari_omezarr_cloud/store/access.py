"""The way in: as the link or the person said; else anonymous first, then what the environment has.

What worked is remembered.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    CredentialsError,
    NotFoundError,
    ServerError,
    UnreachableError,
)
from napari_omezarr_cloud.location import Location, aliases, moved_note
from napari_omezarr_cloud.store.connection import connect
from napari_omezarr_cloud.store.credentials import has_credentials
from napari_omezarr_cloud.store.failures import may_mean_absent
from napari_omezarr_cloud.store.place_access import access_for, ready, settled
from napari_omezarr_cloud.store.protocol import Bytes, ByteStore
from napari_omezarr_cloud.store.refusal import RefusalStore
from napari_omezarr_cloud.store.sharing import SharingStore
from napari_omezarr_cloud.store.zipped import ZippedStore
from napari_omezarr_cloud.store.zips import open_zip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_omezarr_cloud.store.counting import Traffic

__all__ = ["OpenedStore", "open_store", "ways_in"]

Documents = dict[str, Bytes | None]


@dataclass(frozen=True)
class OpenedStore:
    """A store that let us in, and what the first round brought."""

    location: Location
    """Where it was found; an alias of the link's host if that is where the data are now."""
    store: ByteStore
    traffic: Traffic
    documents: Documents
    """By key; None where there is nothing."""
    notes: tuple[str, ...] = ()


_worked: dict[tuple[str, str | None, str], bool] = {}
"""Per kind, endpoint and bucket: whether anonymous access worked."""


async def open_store(
    location: Location, keys: Iterable[str], witness: Iterable[str]
) -> OpenedStore:
    """Read ``keys`` all at once, over the first way in that the server accepts.

    Parameters
    ----------
    location
        Root of what is to be opened.
    keys
        What to ask for in this round; absent ones cost no time beside the others.
    witness
        Those of ``keys`` of which one must be readable to count as let in.

    Raises
    ------
    CloudError
        What the first way said, if none of them led in.
    """
    keys, witness = list(keys), list(witness)
    refusals: list[CloudError] = []
    signed_as = ""
    empty: OpenedStore | None = None
    is_sure = False
    for place in aliases(location):
        for anonymous, candidate in ways_in(place):
            try:
                await ready(candidate)
                opened = await _try(candidate, anonymous, keys, witness)
            except (AccessRefusedError, NotFoundError, UnreachableError, ServerError) as error:
                refusals.append(error)
                if not anonymous:
                    signed_as = _identity(candidate)
                continue
            if any(opened.documents.values()):
                _worked[_host(candidate)] = anonymous
                moved = moved_note(location, place)
                opened = replace(opened, location=_as_linked(opened.location, place))
                return replace(opened, notes=(moved, *opened.notes)) if moved else opened
            if empty is None or not anonymous:
                empty, is_sure = opened, not anonymous
    # Strangers may be told that nothing is there; who is let in is told the truth.
    is_sure = is_sure or not any(isinstance(r, AccessRefusedError) for r in refusals)
    if empty is not None and is_sure:
        return empty
    refusal = min(refusals, key=_telling)
    if signed_as and type(refusal) is AccessRefusedError:
        refusal.hint = f"{signed_as} may not read it, or the keys are wrong or out of date."
    raise refusal


def _telling(error: CloudError) -> int:
    """Rank what was said: credentials or bucket that are none, before strangers' being refused."""
    kinds = (CredentialsError, NotFoundError)
    return next((n for n, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))


def _identity(location: Location) -> str:
    if profile := location.access.profile:
        return f"The profile {profile!r}"
    said = access_for(location)
    if said is not None and said.signs and said.way != "environment":
        return f"Who you are at {said.place} ({said.about.title.lower()})"
    return "The account of the environment's credentials"


def _as_linked(found: Location, linked: Location) -> Location:
    """Return where it was found, not saying "always sign" where only what is known here says so."""
    if found.access.profile is None and linked.access.anonymous is None:
        return replace(found, access=replace(found.access, anonymous=None))
    return found


def _host(location: Location) -> tuple[str, str | None, str]:
    return location.kind, location.endpoint, location.bucket


def ways_in(location: Location) -> Iterator[tuple[bool, Location]]:
    """Yield (anonymous, location with what was said of its place) in the order to be tried."""
    location = settled(location)
    access = location.access
    signed = location.as_s3() if location.kind == "http" else None
    if access.profile:
        yield False, signed or location
        return
    if location.kind == "http" and access.anonymous is False and access_for(location):
        yield False, location
        return
    if signed is not None and access.anonymous is not True and _is_entered(signed):
        yield False, settled(signed)
        yield True, location
        return
    if location.kind in ("http", "file") or access.anonymous is True:
        yield True, location
    elif access.anonymous is False:
        yield False, location
    else:
        order = [True, False] if has_credentials(location.kind) else [True]
        if _worked.get(_host(location)) is False:
            order.reverse()
        for anonymous in order:
            yield anonymous, location
    if signed is not None and access.anonymous is not True and _is_our_endpoint(signed):
        yield False, signed


def _is_entered(location: Location) -> bool:
    """Tell whether the person said with what to sign there."""
    said = access_for(location)
    return said is not None and said.signs


def _is_our_endpoint(location: Location) -> bool:
    """Sign only for hosts that the user's own environment names: a signature tells who asks."""
    ours = [os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL")]
    return location.access.profile is not None or (
        has_credentials(location.kind)
        and (location.endpoint or "") in [o.rstrip("/") for o in ours if o]
    )


async def _try(
    location: Location, anonymous: bool, keys: list[str], witness: list[str]
) -> OpenedStore:
    file, inside = _single_file(location)
    zipped = open_zip(file, anonymous=anonymous) if file is not None else None
    connection = zipped.connection if zipped else connect(location, anonymous=anonymous)
    store = ZippedStore(zipped, inside) if zipped else connection.store
    refusal = RefusalStore(SharingStore(store))
    answers = await asyncio.gather(*(refusal.get(key) for key in keys), return_exceptions=True)
    documents: Documents = {}
    errors: dict[str, CloudError] = {}
    for key, answer in zip(keys, answers, strict=True):
        if isinstance(answer, CloudError):
            errors[key] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            documents[key] = answer
    found = [key for key in witness if documents.get(key)]
    if errors and not found:
        raise next(iter(errors.values()))
    for key, error in errors.items():
        if may_mean_absent(error):
            documents[key] = None
        elif key in witness:
            raise error
        # Any other is left out, so that who needs it asks again and hears why it fails.
    refusal.witness = found[0] if found else None
    notes = (*connection.notes, *(zipped.notes if zipped else ()))
    return OpenedStore(location, refusal, connection.traffic, documents, notes)


def _single_file(location: Location) -> tuple[Location | None, str]:
    """Return the zip file that a location leads to or into, and the path inside it."""
    parts = location.key.split("/")
    for number, part in enumerate(parts):
        if part.lower().endswith((".zip", ".ozx")):
            key = "/".join(parts[: number + 1])
            if location.kind == "file" and Path(key).is_dir():
                continue  # a folder of that name: unpacked in place
            return replace(location, key=key), "/".join(parts[number + 1 :])
    return None, ""
