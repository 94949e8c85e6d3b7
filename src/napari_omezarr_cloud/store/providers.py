"""Credentials as obstore asks for them: typed in, or of an AWS profile; never shown nor pickled."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location import hide
from napari_omezarr_cloud.store.aws_profiles import (
    chosen_profile,
    default_profile,
    profile_named,
    profile_names,
)
from napari_omezarr_cloud.store.credentials import has_variables
from napari_omezarr_cloud.store.keys import Secrets
from napari_omezarr_cloud.store.place_access import secrets_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.location import Location

__all__ = ["GivenKey", "GivenKeys", "profile_credentials", "profile_of", "signs_as"]

_PROFILE_LASTS = timedelta(minutes=6)
"""obstore asks anew five minutes before the end. boto3 answers from memory while the keys are good,
and gets others in time; it does not say for how long they are."""


def profile_of(location: Location) -> str | None:
    """Return the profile to sign with, as AWS' own tools choose it; None: keys, or another way."""
    if location.access.profile or location.kind != "s3":
        return location.access.profile
    return chosen_profile() or (None if has_variables("s3") else default_profile())


def signs_as(location: Location) -> bool:
    """Tell whether requests to a settled location are signed with an AWS profile's keys."""
    return profile_of(location) is not None and secrets_for(location) is None


class GivenKeys:
    """Credentials that were typed in, as obstore asks for them; neither shown nor pickled."""

    def __init__(self, **values: str | None) -> None:
        self._secrets = Secrets({name: value for name, value in values.items() if value})

    def __call__(self) -> Any:
        return {"expires_at": None, "token": None, **self._secrets.values}


class GivenKey(GivenKeys):
    """One key or token, where obstore tells them apart by their names."""

    def __call__(self) -> Any:
        return {"expires_at": None, **self._secrets.values}


def profile_credentials(location: Location, profile: str) -> Callable[[], Any]:
    """Return what asks boto3 for the keys of a profile, each time that some are needed.

    Raises
    ------
    LinkError
        If there is no such profile, if it leads to no keys, or if boto3 is not installed.
    """
    what, where = "Could not use the AWS profile", str(location)
    try:
        import boto3
    except ImportError as error:
        raise LinkError(
            what,
            where=where,
            why="profiles are read by boto3, which is not installed",
            hint="Install it with: pip install 'napari-omezarr-cloud[aws]'.",
        ) from error
    names = profile_names()
    if profile not in names:
        why = f"there is no profile {profile!r} in ~/.aws"
        hint = f"There are: {', '.join(names)}." if names else "`aws configure` makes one."
        raise LinkError(what, where=where, why=why, hint=hint)
    if not profile_named(profile).can_sign:
        why = f"the profile {profile!r} says nothing to sign with"
        hint = f"Give it keys: aws configure --profile {shlex.quote(profile)}."
        raise LinkError(what, where=where, why=why, hint=hint)
    return _OfProfile(boto3.Session(profile_name=profile))


class _OfProfile:
    """Credentials of an AWS profile; they are taken out of what is shown as those typed in are.

    boto3 may run a program for them, or ask a server: it is asked when they are needed, in a
    thread of obstore's.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._credentials: Any = None

    def __call__(self) -> Any:
        if self._credentials is None:
            self._credentials = self._session.get_credentials()
        if self._credentials is None:
            raise ValueError("the profile leads to no keys")
        found = self._credentials.get_frozen_credentials()
        hide(*filter(None, (found.access_key, found.secret_key, found.token)))
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + _PROFILE_LASTS,
        }
