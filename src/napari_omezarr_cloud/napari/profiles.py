"""Names of the profiles in the user's AWS configuration; their keys are left where they are."""

from __future__ import annotations

import configparser
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["profile_names"]

_CONFIG = ("AWS_CONFIG_FILE", "~/.aws/config")
_CREDENTIALS = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")


def profile_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the profiles that the AWS configuration names, in its order, each once.

    Parameters
    ----------
    environ
        Where ``AWS_CONFIG_FILE`` and ``AWS_SHARED_CREDENTIALS_FILE`` are looked up; without them
        the files are ``~/.aws/config`` and ``~/.aws/credentials``.
    """
    # The configuration says [profile name] and [default]; its [sso-session …] is none.
    marked = [_words(section) for section in _sections(*_CONFIG, environ)]
    names = [
        words[-1]
        for words in marked
        if words == ["default"] or (len(words) == 2 and words[0] == "profile")
    ]
    return list(dict.fromkeys(names + _sections(*_CREDENTIALS, environ)))


def _sections(variable: str, default: str, environ: Mapping[str, str]) -> list[str]:
    """Return the sections of a file; none if it is not there or cannot be understood."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read(Path(environ.get(variable) or default).expanduser(), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError, RuntimeError):
        return []
    return parser.sections()


def _words(section: str) -> list[str]:
    try:
        return shlex.split(section)  # names with blanks are quoted
    except ValueError:
        return []
