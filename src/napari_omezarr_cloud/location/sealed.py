"""Secrets that must not be pickled: a number goes instead, which is known to this process alone.

A process that was started by this one and given `sealed_texts` knows them, too. In any other the
text is empty, and what the environment or the keyring has there is used.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["know_sealed", "seal", "sealed_texts", "unseal"]

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


def know_sealed(texts: Mapping[str, str]) -> None:
    """Take over what another process has sealed."""
    with _lock:
        for number, text in texts.items():
            _texts[number] = text
            _numbers.setdefault(text, number)
