"""obstore's clients: how they are built, and that those of public places are shared."""

from __future__ import annotations

import base64
import os
import re
import ssl
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
from napari_omezarr_cloud.location import hide
from napari_omezarr_cloud.store.aws_profiles import profile_named
from napari_omezarr_cloud.store.place_access import access_for, secrets_for
from napari_omezarr_cloud.store.providers import (
    GivenKey,
    GivenKeys,
    profile_credentials,
    profile_of,
)
from napari_omezarr_cloud.store.regions import known_region
from napari_omezarr_cloud.store.way_in import headers_in
from napari_omezarr_cloud.store.web_reader import Patience, WebReader

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.way_in import PlaceAccess

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


def _client(location: Location, headers: Mapping[str, str] | None = None) -> Any:
    endpoint = location.endpoint or ""
    more: dict[str, Any] = {"default_headers": dict(headers)} if headers else {}
    # Of the environment, obstore itself knows the proxies' variables and SSL_CERT_FILE.
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        more["root_certificate"] = _read_bundle(bundle)
    return {
        **more,
        "connect_timeout": f"{_CONNECT_S}s",
        # The time without a byte, not the time of a whole body: a big shard may take minutes.
        "read_timeout": f"{_SILENCE_S}s",
        "timeout": f"{_REQUEST_S}s",
        "allow_http": endpoint.startswith("http://"),
    }


def _read_bundle(file: str) -> bytes:
    try:
        bundle = Path(file).read_bytes()
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.load_verify_locations(cadata=bundle.decode("ascii", "ignore"))
    except (OSError, ValueError) as error:
        why = "it holds no certificates (PEM)"
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            why = (error.strerror or type(error).__name__).lower()
        raise LinkError(
            "Could not read the certificates that AWS_CA_BUNDLE names", where=file, why=why
        ) from error
    return bundle


def build_obstore(location: Location, *, anonymous: bool) -> Any:
    """Return the obstore store for a location; builds only, asks nobody.

    Parameters
    ----------
    location
        Where; its key becomes the store's root.
    anonymous
        Send no signature. Otherwise what was said of the place, ``access.profile``, or the
        environment's credentials.

    Raises
    ------
    LinkError
        If the location lacks something that its service needs.
    CredentialsError
        If keys were given for the place and are not there any more.
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
    # One by one: some servers delete, and then fail at the form of deleting many at once.
    options: dict[str, Any] = {"skip_signature": anonymous, "disable_bulk_delete": True}
    profile = profile_of(location)
    if not anonymous and (given := secrets_for(location)):
        options["credential_provider"] = GivenKeys(
            access_key_id=given[1]["access_key_id"],
            secret_access_key=given[1]["secret_access_key"],
            token=given[1].get("session_token"),
        )
    elif profile and not anonymous:
        options["credential_provider"] = profile_credentials(location, profile)
    if location.access.requester_pays and not anonymous:
        options["request_payer"] = True
    if location.endpoint:
        options["endpoint"] = location.endpoint
    region = (
        location.access.region
        or known_region(location)
        or (profile_named(profile).region if profile else None)
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


def _gs(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {"skip_signature": anonymous}
    if location.endpoint:
        options["base_url"] = location.endpoint
    if not anonymous and (given := secrets_for(location)):
        said, secrets = given
        if said.file:
            options["application_credentials"] = str(Path(said.file).expanduser())
        else:
            options["credential_provider"] = GivenKey(token=secrets["token"])
    return GCSStore(
        location.bucket,
        prefix=location.key or None,
        client_options=_client(location, _billing(location)),
        retry_config=_RETRIES,
        **options,
    )


def _billing(location: Location) -> dict[str, str]:
    """Return the header that says which Google project pays, where the requester does."""
    if not location.access.requester_pays:
        return {}
    said = access_for(location)
    project = (said.project if said else "") or os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    if not project:
        raise LinkError(
            "Could not agree to pay for the requests",
            where=str(location),
            why="Google asks which project pays",
            hint="Say it under “Access to this place…”, or in GOOGLE_CLOUD_PROJECT.",
        )
    return {"x-goog-user-project": project}


def _az(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {}
    if location.account:
        options["account_name"] = location.account
    if location.endpoint:
        options["endpoint"] = location.endpoint
    if location.query:
        # A SAS in the link is the access: nothing else is to be tried with it.
        options["credential_provider"] = GivenKey(sas_token=location.query)
    elif anonymous:
        options["skip_signature"] = True
    elif given := secrets_for(location):
        names = {"account_key": "access_key", "sas": "sas_token", "token": "token"}
        options["credential_provider"] = GivenKey(
            **{names[name]: value for name, value in given[1].items()}
        )
    return AzureStore(
        location.bucket,
        prefix=location.key or None,
        client_options=_client(location),
        retry_config=_RETRIES,
        **options,
    )


def _http(location: Location, anonymous: bool) -> Any:
    given = None if anonymous else secrets_for(location)
    headers = _headers(*given) if given else {}
    if not location.query and (given is None or given[0].way != "headers"):
        return HTTPStore(
            location.to_text(),
            client_options=_client(location, headers),
            retry_config=_RETRIES,
        )
    bundle = os.environ.get("AWS_CA_BUNDLE")
    return WebReader(
        location.to_text(),
        headers,
        Patience(
            connect_s=_CONNECT_S,
            silence_s=_SILENCE_S,
            request_s=_REQUEST_S,
            retries=_RETRIES["max_retries"],
            retry_s=_RETRIES["retry_timeout"].total_seconds(),
        ),
        _read_bundle(bundle) if bundle else b"",
    )


def _headers(said: PlaceAccess, secrets: Mapping[str, str]) -> dict[str, str]:
    if said.way == "token":
        return {"Authorization": f"Bearer {secrets['token']}"}
    if said.way == "password":
        both = f"{secrets['user']}:{secrets['password']}".encode()
        encoded = base64.b64encode(both).decode()
        hide(encoded)
        return {"Authorization": f"Basic {encoded}"}
    pairs = dict(headers_in(secrets["headers"]))
    hide(*pairs.values())
    return pairs


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
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "SSL_CERT_", *_PROXIES)
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
    is_public = anonymous and location.kind != "file"
    if location.has_secret or not is_public or not _PLAIN_PATH.fullmatch(location.key):
        return build_obstore(location, anonymous=anonymous), ""
    root = replace(location, key="")
    known = tuple(sorted(i for i in os.environ.items() if i[0].upper().startswith(_VARIABLES)))
    name = (root, known_region(root), anonymous, known, os.getpid())
    with _lock:
        found = _shared.get(name)
        if found is None:
            found = _shared[name] = build_obstore(root, anonymous=anonymous)
            if len(_shared) > _MOST_SHARED:
                _shared.popitem(last=False)
        _shared.move_to_end(name)
    return found, f"{location.key}/"
