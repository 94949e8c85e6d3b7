"""Secrets by place: in memory for this run, or in the system's keyring; never in a file of ours."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.location import hide
from napari_omezarr_cloud.location.sealed import KEYS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Secrets", "drop", "keep", "keyring_name", "look_up", "typed"]

_SERVICE = "napari-omezarr-cloud"
_lock = threading.Lock()
_typed: dict[str, Secrets] = {}
"""What was typed or fetched from the keyring, by place."""


@dataclass(frozen=True)
class Secrets:
    """Keys of one place by name; they show themselves nowhere and cannot be pickled."""

    values: Mapping[str, str] = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def keep(place: str, secrets: Secrets, *, in_keyring: bool) -> None:
    """Remember the secrets of a place until the program ends, or in the keyring as well.

    May wait for the person to unlock the keyring: never on the GUI thread or the I/O loop.

    Raises
    ------
    CloudError
        If the keyring does not take them; they are remembered for this run all the same.
    """
    hide(*secrets.values.values())
    with _lock:
        _typed[place] = secrets
    if in_keyring:
        text = json.dumps(dict(secrets.values))
        hint = "They hold until the program ends."
        _ask(lambda ring: ring.set_password(_SERVICE, place, text), place, hint, keeps=True)


def look_up(place: str, *, in_keyring: bool) -> Secrets | None:
    """Return the secrets of a place; None where nobody knows them.

    May wait for the person to unlock the keyring, once; what is in memory is there at once.

    Raises
    ------
    CloudError
        If the keyring cannot be asked.
    """
    with _lock:
        found = _typed.get(place)
    if found is not None or not in_keyring:
        return found
    hint = "Unlock it, or say anew how to get in."
    text = _ask(lambda ring: ring.get_password(_SERVICE, place), place, hint)
    try:
        values = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        return None
    hide(*values.values())
    with _lock:
        return _typed.setdefault(place, Secrets(values))


def drop(place: str, *, in_keyring: bool) -> None:
    """Forget the secrets of a place, also in the keyring.

    Raises
    ------
    CloudError
        If the keyring cannot be asked.
    """
    with _lock:
        _typed.pop(place, None)
    if in_keyring:

        def delete(ring: Any) -> None:
            if ring.get_password(_SERVICE, place) is not None:
                ring.delete_password(_SERVICE, place)

        _ask(delete, place, "Unlock it, or delete the entry with its own program.")


def typed() -> dict[str, dict[str, str]]:
    """Return all that is in memory: for a process of the same person, never for a file."""
    with _lock:
        return {place: dict(secrets.values) for place, secrets in _typed.items()}


def keyring_name() -> str | None:
    """Return what the system's keyring is called; None where there is none. May take a second."""
    try:
        import keyring

        found = keyring.get_keyring()
        return str(found.name) if _is_safe(found) else None
    except Exception:  # a backend that somebody chose and that does not load
        return None


def _is_safe(ring: Any) -> bool:
    """Tell whether a keyring keeps secrets as such: some write plain files, or nothing at all.

    keyring recommends those of priority 1 and more; others are for who chooses them.
    """
    from keyring.core import load_config, load_env

    return ring.priority >= 1 or (ring.priority > 0 and bool(load_env() or load_config()))


def _ask(do: Callable[[Any], Any], place: str, hint: str, *, keeps: bool = False) -> Any:
    what = "Could not use the system's keyring"
    try:
        import keyring
    except ImportError as error:
        install = "Install it with: pip install 'napari-omezarr-cloud[keyring]'."
        why = "the package keyring is not installed"
        raise CloudError(what, where=place, why=why, hint=f"{install} {hint}") from error
    why = "there is none that keeps secrets safe"
    try:
        if not keeps or _is_safe(keyring.get_keyring()):
            return do(keyring)
    except Exception as error:  # each backend has its own; its text may quote what it was given
        why = f"it is locked, refused, or not there ({type(error).__name__})"
    raise CloudError(what, where=place, why=why, hint=hint)


def _from_environment() -> None:
    """Take over what the process that started this one knows; see `place_access.for_workers`."""
    raw = os.environ.get(KEYS_VARIABLE)
    if raw:
        for place, values in json.loads(raw).get("secrets", {}).items():
            hide(*values.values())
            _typed[place] = Secrets(values)


_from_environment()
