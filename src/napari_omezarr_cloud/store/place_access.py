"""How to get into places: what the person said, kept in a file without secrets.

What is said of a place holds for all below it; of several, the nearest counts. What a link says
itself counts more.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError, CredentialsError
from napari_omezarr_cloud.location import Access, Location
from napari_omezarr_cloud.location.sealed import KEYS_VARIABLE, sealed_texts
from napari_omezarr_cloud.settings import replace_json, settings_file
from napari_omezarr_cloud.store import keys
from napari_omezarr_cloud.store.aws_profiles import chosen_profile, profile_named
from napari_omezarr_cloud.store.keys import Secrets
from napari_omezarr_cloud.store.way_in import (
    PlaceAccess,
    check,
    from_json,
    tidy,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "PlaceAccess",
    "access_file",
    "access_for",
    "all_access",
    "changes",
    "choose_access",
    "for_workers",
    "forget_access",
    "place_of",
    "ready",
    "secrets_for",
    "settled",
    "stamp",
]


_lock = threading.RLock()
_for_this_run: dict[str, PlaceAccess] = {}
_lasting: dict[str, PlaceAccess] = {}
_read_at: tuple[int, int] | None = None
_versions: dict[str, int] = {}
_changes = 0


def access_file() -> Path:
    """Return where it is kept which place is entered how."""
    return settings_file().with_name("access.json")


def place_of(location: Location) -> str:
    """Return the place that people mean by default: the bucket or container, or the web server."""
    access = Access(region=None)
    return str(replace(location, key="", query="", access=access))


def all_access() -> tuple[PlaceAccess, ...]:
    """Return what was said of all places; the file is read again when it has changed."""
    with _lock:
        _read()
        return tuple({**_lasting, **_for_this_run}.values())


def access_for(location: Location) -> PlaceAccess | None:
    """Return what was said of the nearest place above a location; None: nothing."""
    if location.kind == "file":
        return None
    best: tuple[tuple[bool, int], PlaceAccess] | None = None
    for each in all_access():
        root = each.location
        is_exact = root.covers(location)
        # Who says where a bucket is says so for links that do not.
        meant = location if location.endpoint else replace(location, endpoint=root.endpoint)
        if not (is_exact or root.covers(meant)):
            continue
        rank = (is_exact, len(root.key))
        if best is None or rank > best[0]:
            best = rank, each
    return best[1] if best else None


def settled(location: Location, *, is_forced: bool = False) -> Location:
    """Return a location with what was said of its place; no secrets, and asks nobody.

    Parameters
    ----------
    location
        As its link says.
    is_forced
        What was said of the place counts more than the link: it was said later.
    """
    said = access_for(location)
    if said is None:
        return _at_profiles_server(location)
    access, query = location.access, location.query
    anonymous, profile = access.anonymous, access.profile
    if is_forced or (anonymous is None and profile is None):
        anonymous, profile = _simple(said)
    if is_forced and location.kind == "az" and said.signs:
        query = ""
    access = Access(
        anonymous,
        profile,
        access.region or said.region or said.location.access.region,
        access.requester_pays or said.requester_pays,
    )
    endpoint = location.endpoint or said.location.endpoint
    return _at_profiles_server(replace(location, endpoint=endpoint, query=query, access=access))


def _at_profiles_server(location: Location) -> Location:
    """Return a bucket at the server that its profile names, where nothing else names one."""
    if location.kind != "s3" or location.endpoint or location.access.anonymous is True:
        return location
    profile = location.access.profile or chosen_profile()
    return replace(location, endpoint=profile_named(profile).endpoint) if profile else location


def _simple(said: PlaceAccess) -> tuple[bool | None, str | None]:
    """Return whether to sign, and the profile."""
    if not said.signs:
        return (True if said.way == "anonymous" else None), None
    return False, said.profile if said.way == "profile" else None


def secrets_for(location: Location) -> tuple[PlaceAccess, Mapping[str, str]] | None:
    """Return what was said of a settled location's place, with its secrets; None: nothing.

    Then the environment decides. May wait for the keyring, unless it is `ready`.

    Raises
    ------
    CredentialsError
        If there should be secrets and are none.
    """
    if location.access.anonymous is not False or location.access.profile:
        return None
    said = access_for(location)
    if said is None or said.way in ("automatic", "anonymous", "environment", "profile"):
        return None
    if not said.about.has_secrets:
        return said, {}
    found = keys.look_up(said.place, in_keyring=said.in_keyring)
    if found is None:
        raise CredentialsError(
            "Could not sign in",
            where=said.place,
            why="the keys for this place are not in this computer's keyring",
            hint="Give them again: “Access to this place…” in napari, or `omezarr access set`.",
        )
    return said, found.values


async def ready(location: Location) -> None:
    """Wait for the keyring, which the person may have to unlock, beside the I/O loop."""
    said = access_for(location)
    if said is not None and said.in_keyring:
        await asyncio.to_thread(keys.look_up, said.place, in_keyring=True)


def choose_access(chosen: PlaceAccess, secrets: Mapping[str, str] | None = None) -> None:
    """Say how to get into a place, from now on, also for what is open there.

    May wait for the keyring: never on the GUI thread or the I/O loop.

    Parameters
    ----------
    chosen
        What is said.
    secrets
        By the names of the way's fields. What it needs and is left out is kept as known; None
        keeps all.

    Raises
    ------
    LinkError
        If the place has no such way, or something that it needs is missing.
    CloudError
        If the file or the keyring cannot be written; it holds for this run all the same.
    """
    with _lock:
        _read()
        before = _for_this_run.get(chosen.place) or _lasting.get(chosen.place)
    if before is not None and before.way == chosen.way:
        known = keys.look_up(chosen.place, in_keyring=before.in_keyring)
        secrets = _completed(secrets, {} if known is None else known.values, chosen)
    check(chosen, secrets or {})
    needs = chosen.about.has_secrets
    chosen = chosen if needs else replace(chosen, in_keyring=False)
    if before is not None and before.in_keyring and not chosen.in_keyring:
        keys.drop(chosen.place, in_keyring=True)
    if needs and secrets is not None:
        given = {name: tidy(name, value) for name, value in secrets.items() if value.strip()}
        try:
            keys.keep(chosen.place, Secrets(given), in_keyring=chosen.in_keyring)
        except CloudError:
            _put(replace(chosen, in_keyring=False))
            raise
    _put(chosen)


def _completed(
    given: Mapping[str, str] | None, known: Mapping[str, str], chosen: PlaceAccess
) -> Mapping[str, str] | None:
    if given is None:
        return known or None
    # A session token that is not given again belongs to the keys of before.
    needed = {field.name for field in chosen.about.fields if field.is_needed}
    kept = {name: value for name, value in known.items() if name in needed}
    return {**kept, **{name: value for name, value in given.items() if value.strip()}}


def _put(chosen: PlaceAccess) -> None:
    with _lock:
        _read()
        _for_this_run.pop(chosen.place, None)
        before = dict(_lasting)
        _lasting.pop(chosen.place, None)
        (_lasting if chosen.is_lasting else _for_this_run)[chosen.place] = chosen
        _note_change(chosen.place)
        if _lasting != before:
            _save()


def forget_access(place: str) -> bool:
    """Forget what was said of a place, and its secrets; tell whether anything was.

    Raises
    ------
    CloudError
        If the file or the keyring cannot be changed.
    """
    with _lock:
        _read()
        said = _for_this_run.get(place) or _lasting.get(place)
    if said is None:
        return False
    keys.drop(place, in_keyring=said.in_keyring)
    with _lock:
        _for_this_run.pop(place, None)
        was_lasting = _lasting.pop(place, None) is not None
        _note_change(place)
        if was_lasting:
            _save()
    return True


def changes() -> int:
    """Return a number that grows whenever something is said of a place."""
    return _changes


def stamp(location: Location) -> object:
    """Return what differs from before once something else was said of a location's place."""
    said = access_for(location)
    return None if said is None else (said, _versions.get(said.place, 0))


def for_workers() -> dict[str, str]:
    """Return a variable for the environment of processes of ours on this machine.

    With it they get in where this process does, though secrets are in no pickle. Workers that are
    started elsewhere have environments and keyrings of their own.
    """
    with _lock:
        run = [to_json(each) for each in _for_this_run.values()]
    known = {"places": run, "secrets": keys.typed(), "queries": sealed_texts()}
    return {KEYS_VARIABLE: json.dumps(known)} if any(known.values()) else {}


def _note_change(place: str) -> None:
    global _changes
    _versions[place] = _versions.get(place, 0) + 1
    _changes += 1


def _read() -> None:
    """Read the file again if another program has changed it; one that is damaged says nothing."""
    global _read_at, _changes
    try:
        found = access_file().stat()
        at = (found.st_mtime_ns, found.st_size)
    except OSError:
        at = None
    if at == _read_at:
        return
    _read_at = at
    _lasting.clear()
    _changes += 1
    if at is None:
        return
    try:
        said = json.loads(access_file().read_bytes())["places"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return
    for each in said if isinstance(said, list) else ():
        known = from_json(each)
        if known is not None:
            _lasting[known.place] = known


def _save() -> None:
    global _read_at
    file = access_file()
    try:
        replace_json(file, {"version": 1, "places": [to_json(e) for e in _lasting.values()]})
        found = file.stat()
    except OSError as error:
        raise CloudError(
            "Could not save how to get in",
            where=str(file),
            why=(error.strerror or type(error).__name__).lower(),
            hint="It holds until the program ends.",
        ) from error
    _read_at = (found.st_mtime_ns, found.st_size)


def _from_environment() -> None:
    raw = os.environ.get(KEYS_VARIABLE)
    if not raw:
        return
    for each in json.loads(raw).get("places", []):
        said = from_json(each)
        if said is not None:
            _for_this_run[said.place] = said


_from_environment()
