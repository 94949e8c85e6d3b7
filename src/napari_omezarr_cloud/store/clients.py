"""obstore's clients: how they are built, and that those of public places are shared."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    LinkError,
    NotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_omezarr_cloud.location import Location

__all__ = ["build_obstore", "shared_obstore"]

_CONNECT_S, _SILENCE_S, _REQUEST_S = 5, 20, 300
_RETRIES: Any = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}


def _client(location: Location) -> Any:
    endpoint = location.endpoint or ""
    return {
        "connect_timeout": f"{_CONNECT_S}s",
        # The time without a byte, not the time of a whole body: a big shard may take minutes.
        "read_timeout": f"{_SILENCE_S}s",
        "timeout": f"{_REQUEST_S}s",
        "allow_http": endpoint.startswith("http://"),
    }


def build_obstore(location: Location, *, anonymous: bool) -> Any:
    """Return the obstore store for a location; builds only, asks nobody.

    Parameters
    ----------
    location
        Where; its key becomes the store's root.
    anonymous
        Send no signature. Otherwise the environment's credentials, or ``access.profile``.

    Raises
    ------
    LinkError
        If the location lacks something that its service needs.
    NotFoundError, AccessRefusedError
        If it is a local folder that is not there, or not to be read.
    """
    builders = {"s3": _s3, "gs": _gs, "az": _az, "http": _http, "file": _file}
    try:
        return builders[location.kind](location, anonymous)
    except CloudError:
        raise
    except (obstore.exceptions.BaseError, ValueError) as error:
        failure = LinkError(
            "Could not make sense of the link",
            where=str(location),
            why="its path holds characters that cannot be asked for"
            if isinstance(error, ValueError)
            else f"the {location.kind} client refused it ({type(error).__name__})",
            hint="Check bucket, key, endpoint and region.",
        )
    raise failure  # out here, since the library's error may hold the link's secrets


def _s3(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {"skip_signature": anonymous}
    profile = location.access.profile or _profile_of_environment()
    if profile and not anonymous:
        options["credential_provider"] = _profile_credentials(location, profile)
    if location.endpoint:
        options["endpoint"] = location.endpoint
    region = (
        location.access.region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or "us-east-1"
    )
    return S3Store(
        location.bucket,
        prefix=location.key or None,
        region=region,
        client_options=_client(location),
        retry_config=_RETRIES,
        **options,
    )


def _profile_of_environment() -> str | None:
    """Return the profile that AWS' own tools would use; keys in the environment come first."""
    return None if os.environ.get("AWS_ACCESS_KEY_ID") else os.environ.get("AWS_PROFILE")


def _profile_credentials(location: Location, profile: str) -> Any:
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise LinkError(
            "Could not use the AWS profile",
            where=str(location),
            why="profiles are read by boto3, which is not installed",
            hint="Install it with: pip install 'napari-omezarr-cloud[aws]'.",
        ) from error
    from botocore.exceptions import BotoCoreError

    try:
        return Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except (BotoCoreError, ValueError) as error:  # ValueError: a profile without keys
        raise LinkError(
            "Could not use the AWS profile",
            where=str(location),
            why=f"boto3 has no usable profile {profile!r}",
            hint="See the names in ~/.aws/config.",
        ) from error


def _gs(location: Location, anonymous: bool) -> Any:
    return GCSStore(
        location.bucket,
        prefix=location.key or None,
        skip_signature=anonymous,
        client_options=_client(location),
        retry_config=_RETRIES,
    )


def _az(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {}
    if location.account:
        options["account_name"] = location.account
    if location.endpoint:
        options["endpoint"] = location.endpoint
    if location.query:
        # A SAS in the link is the access: nothing else is to be tried with it.
        options["sas_key"] = location.query
    elif anonymous:
        options["skip_signature"] = True
    return AzureStore(
        location.bucket,
        prefix=location.key or None,
        client_options=_client(location),
        retry_config=_RETRIES,
        **options,
    )


def _http(location: Location, anonymous: bool) -> Any:
    del anonymous  # plain HTTP has no signature
    return HTTPStore(location.to_text(), client_options=_client(location), retry_config=_RETRIES)


def _file(location: Location, anonymous: bool) -> Any:
    del anonymous
    what, where = "Could not open the folder", str(location)
    path = Path(location.key)
    try:
        if path.is_dir():
            # Folders that are left empty would still be listed, as if something were there.
            return LocalStore(path, automatic_cleanup=True)
        found = "it is a file, not a folder" if path.exists() else "there is no such folder"
    except PermissionError as error:
        why = "you may not look into the folder that holds it"
        raise AccessRefusedError(what, where=where, why=why) from error
    except OSError as error:  # a name that is too long, for instance
        found = (error.strerror or "no such path").lower()
    raise NotFoundError(what, where=where, why=found, hint="Check the path.")


_MOST_SHARED = 16
_shared: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.Lock()
_PLAIN_PATH = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
"""What means the same in a URL and in a key of obstore."""
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Beginnings of the names of what obstore reads when it builds a client."""


def shared_obstore(location: Location, *, anonymous: bool) -> tuple[Any, str]:
    """Return an obstore store to read a location with, and what its keys begin with there.

    All images of a public server or bucket share one: building it takes 5 to 15 ms, and each of
    its connections two or three round trips before it can be used. What goes with a credential has
    a store of its own, as whoever gets a new credential opens the link again.

    Raises
    ------
    LinkError, NotFoundError, AccessRefusedError
        As `build_obstore` does.
    """
    is_public = location.kind == "http" or (anonymous and location.kind != "file")
    if location.has_secret or not is_public or not _PLAIN_PATH.fullmatch(location.key):
        return build_obstore(location, anonymous=anonymous), ""
    root = replace(location, key="")
    known = tuple(sorted(i for i in os.environ.items() if i[0].upper().startswith(_VARIABLES)))
    name = (root, anonymous, known, os.getpid())
    with _lock:
        found = _shared.get(name)
        if found is None:
            found = _shared[name] = build_obstore(root, anonymous=anonymous)
            if len(_shared) > _MOST_SHARED:
                _shared.popitem(last=False)
        _shared.move_to_end(name)
    return found, f"{location.key}/"
