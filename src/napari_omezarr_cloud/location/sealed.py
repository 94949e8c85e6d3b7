"""Secrets that must not be pickled: a number goes instead, which is known to this process alone.

A process that was started by this one and given `sealed_texts` (in the variable `KEYS_VARIABLE` of
its environment) knows them, too. In any other the
text is empty, and what the environment or the keyring has there is used.
"""

from __future__ import annotations

import json
import os
import secrets
import threading

__all__ = ["KEYS_VARIABLE", "seal", "sealed_texts", "unseal"]

KEYS_VARIABLE = "OMEZARR_KEYS"

_lock = threading.Lock()
_numbers: dict[str, str] = {}
_texts: dict[str, str] = {}


def seal(text: str) -> str:
    """Return what may be pickled in place of a secret; empty for an empty one."""
    if not text:
        return ""
    with _lock:
        number = _numbers.get(text)
        if number is None:
            # By chance, and not computed from the text: short ones could be guessed from that.
            number = _numbers[text] = secrets.token_hex(8)
            _texts[number] = text
        return number


def unseal(number: str) -> str:
    """Return the secret again, or an empty text where it is not known; inverse of `seal`."""
    return _texts.get(number, "")


def sealed_texts() -> dict[str, str]:
    """Return all that was sealed, by number: for a process of the same person, never for a file."""
    with _lock:
        return dict(_texts)


def _from_environment() -> None:
    """Take over what the process that started this one has sealed."""
    raw = os.environ.get(KEYS_VARIABLE)
    if raw:
        _texts.update(json.loads(raw).get("queries", {}))
        _numbers.update({text: number for number, text in _texts.items()})


_from_environment()
