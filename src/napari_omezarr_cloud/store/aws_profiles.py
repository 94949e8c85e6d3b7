"""The profiles of the user's AWS configuration: names, server and region; keys stay where they are.

See Also
--------
"Configuration and credential file settings", AWS SDKs and Tools Reference Guide.
"""

from __future__ import annotations

import configparser
import os
import shlex
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Profile", "chosen_profile", "default_profile", "profile_named", "profile_names"]

_CONFIG = ("AWS_CONFIG_FILE", "~/.aws/config")
_CREDENTIALS = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
_TO_SIGN_WITH = frozenset(
    {
        "aws_access_key_id",
        "credential_process",
        "login_session",
        "role_arn",
        "sso_account_id",
        "sso_session",
        "web_identity_token_file",
    }
)


@dataclass(frozen=True)
class Profile:
    """What a profile says besides its keys."""

    endpoint: str | None = None
    """Of its S3 server, ``scheme://host[:port]``; None: Amazon's."""
    region: str | None = None
    can_sign: bool = False
    """Whether it says from where keys are to be had."""


def profile_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the profiles that the AWS configuration names, in its order, each once.

    Parameters
    ----------
    environ
        Where ``AWS_CONFIG_FILE`` and ``AWS_SHARED_CREDENTIALS_FILE`` are looked up; without them
        the files are ``~/.aws/config`` and ``~/.aws/credentials``.
    """
    config, credentials = _read(*_CONFIG, environ), _read(*_CREDENTIALS, environ)
    # The configuration says [profile name] and [default]; its [sso-session …] is none.
    marked = [_words(section) for section in config]
    names = [
        words[-1]
        for words in marked
        if words == ["default"] or (len(words) == 2 and words[0] == "profile")
    ]
    return list(dict.fromkeys([*names, *credentials]))


def profile_named(name: str, environ: Mapping[str, str] = os.environ) -> Profile:
    """Return what the AWS configuration says of a profile; nothing of one that is not there."""
    config, credentials = _read(*_CONFIG, environ), _read(*_CREDENTIALS, environ)
    said: dict[str, str] = {}
    services: dict[str, dict[str, str]] = {}
    for section, values in config.items():
        words = _words(section)
        if words in ([name], ["profile", name]):
            said |= values
        elif len(words) == 2 and words[0] == "services":
            services[words[1]] = values
    said = {**credentials.get(name, {}), **said}
    own = _nested(services.get(said.get("services", ""), {}).get("s3", ""))
    endpoint = own.get("endpoint_url") or said.get("endpoint_url")
    ignores = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or said.get(
        "ignore_configured_endpoint_urls", ""
    )
    if ignores.lower() == "true":
        endpoint = None
    return Profile(
        endpoint.rstrip("/") if endpoint else None,
        said.get("region") or None,
        not _TO_SIGN_WITH.isdisjoint(said),
    )


def chosen_profile(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the profile that the environment names for S3; keys in the environment come first."""
    return None if environ.get("AWS_ACCESS_KEY_ID") else environ.get("AWS_PROFILE") or None


def default_profile(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return "default" where ``aws configure`` left something to sign with that boto3 can read."""
    is_there = find_spec("boto3") is not None and profile_named("default", environ).can_sign
    return "default" if is_there else None


def _read(variable: str, default: str, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return a file's sections; none if it is not there or cannot be understood."""
    parser = configparser.RawConfigParser(
        strict=False, allow_no_value=True, default_section="\0none"
    )
    try:
        parser.read(Path(environ.get(variable) or default).expanduser(), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError, RuntimeError):
        return {}
    return {
        section: {key: value or "" for key, value in parser.items(section)}
        for section in parser.sections()
    }


def _nested(text: str) -> dict[str, str]:
    """Return the settings that stand indented below one of a section."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _words(section: str) -> list[str]:
    try:
        return shlex.split(section)  # names with blanks are quoted
    except ValueError:
        return []
