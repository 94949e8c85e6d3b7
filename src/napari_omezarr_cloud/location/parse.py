"""Pasted text → `Location`: forgiving about what surrounds a link, strict about what it means.

Choices where a text can be read in two ways:

- A local path is taken literally (``#``, ``%``, ``?`` and ``+`` are ordinary characters); in a
  link the path is percent-decoded once, and a ``+`` stays a ``+``.
- ``#`` starts a fragment, which is dropped, in ``http(s)`` links only. Object keys may hold one.
- Without a scheme a text is a path, unless it starts like a host: ``www.``, ``host:port/``, an
  IP address, or a name ending in a common top-level domain. ``./`` before it makes it a path.
- Parts that are empty or ``.`` are dropped from a link's path, since no client can ask for them.
"""

from __future__ import annotations

import ntpath
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location.hosts import cloud_of, is_amazon
from napari_omezarr_cloud.location.pasted import (
    WINDOWS_PATH,
    Link,
    decoded,
    group_key,
    origin_of,
    parts_of,
    refused,
)
from napari_omezarr_cloud.location.place import BUCKET_NAME, Access, Location
from napari_omezarr_cloud.location.redact import redacted_link

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["looks_like_ome_zarr", "parse_location"]

_ZARR = r"(?i)\.(?:zarr(?:\.zip)?|ozx)(?=/|$)|(?:^|/)(?:zarr\.json|\.zattrs|\.zgroup)$"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_ACCOUNT_VARIABLES = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
# The words of a query that are meant for us; all others belong to the server.
_OPTIONS = {
    "s3": {"anonymous", "endpoint", "profile", "region", "requester_pays"},
    "gs": {"anonymous", "endpoint", "profile", "region", "requester_pays"},
    "az": {"account", "anonymous", "endpoint", "profile", "region"},
}
_YES_NO = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def parse_location(
    text: str | os.PathLike[str],
    *,
    endpoint: str | None = None,
    access: Access | None = None,
    environ: Mapping[str, str] | None = None,
) -> Location:
    """Understand a pasted link or path.

    Parameters
    ----------
    text
        ``s3://bucket/key`` (with ``?endpoint=``, ``region=``, ``profile=``, ``anonymous=``,
        ``requester_pays=``), ``s3a://``, ``s3+https://host/bucket/key``, ``https://…``, ``gs://…``,
        ``az://container/key?account=…``, ``abfs(s)://container@account…/key``, a ``file:`` URL
        or a path. Blanks, quotes, ``<>``, slashes at the end and the name of a metadata file are
        forgiven.
    endpoint
        S3, Azure or Google endpoint for a link that names none. An ``https`` link to a server that
        is named here is read as that server's ``bucket/key``.
    access
        How to get in, as far as the link does not say.
    environ
        Where ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, ``GOOGLE_BASE_URL`` and
        ``AZURE_STORAGE_ACCOUNT_NAME`` are looked up; by default ``os.environ``.

    Raises
    ------
    LinkError
        If the text is no link we understand. The message never holds its query or a password.
    """
    access = access or Access()
    environ = os.environ if environ is None else environ
    link = parts_of(os.fspath(text))
    if isinstance(link, str):
        return Location("file", "", _local_key(link), access=access)
    parse = {"http": _parse_web, "s3": _parse_s3, "gs": _parse_google, "az": _parse_azure}
    return parse[link.kind](link, _key(link), endpoint, access, environ)


def looks_like_ome_zarr(text: str) -> bool:
    """Return whether a text is a link or path for us, by its characters alone.

    True for every object-store scheme, for ``http(s)`` links with ``.zarr`` or ``.ozx`` at the
    end of a part of their path, and for local paths likewise. Never raises, opens nothing.
    """
    try:
        link = parts_of(text)
    except LinkError:
        return False
    if isinstance(link, str):
        return bool(re.search(_ZARR, link.replace("\\", "/").rstrip("/")))
    return link.kind != "http" or bool(re.search(_ZARR, link.path.rstrip("/")))


def _parse_web(
    link: Link, key: str, endpoint: str | None, access: Access, environ: Mapping[str, str]
) -> Location:
    origin, host, has_port = origin_of(link.scheme, link.authority, link.shown)
    if not has_port and (place := cloud_of(host, key, link.query, access)):
        return _unmistakable(replace(place, bucket=_bucket(link, place.bucket)), environ)
    place = Location("http", "", key, endpoint=origin, query=link.query, access=access)
    if endpoint and _endpoint(endpoint)[0] == origin:
        return place.as_s3() or place
    return place


def _parse_s3(
    link: Link, key: str, endpoint: str | None, access: Access, environ: Mapping[str, str]
) -> Location:
    options, query, access = _options(link, access)
    scheme, bucket = link.scheme.partition("+")[2], link.authority
    if scheme or ":" in bucket:  # s3+https://host/bucket/key, s3://host:port/bucket/key
        own_endpoint, host, _ = origin_of(scheme, link.authority, link.shown)
        if place := cloud_of(host, key, "", access):
            place = replace(place, bucket=_bucket(link, place.bucket), query=query)
            return _unmistakable(place, environ)
        bucket, _, key = key.partition("/")
        return Location("s3", _bucket(link, bucket), key, own_endpoint, None, query, access)
    configured = _from(environ, _ENDPOINT_VARIABLES)
    asked = options.get("endpoint") or endpoint or configured
    own, region = _endpoint(asked, keep_amazon=bool(configured))
    access = replace(access, region=access.region or region)
    return Location("s3", _bucket(link, bucket), key, own, None, query, access)


def _parse_google(
    link: Link, key: str, endpoint: str | None, access: Access, environ: Mapping[str, str]
) -> Location:
    options, query, access = _options(link, access)
    own, _ = _endpoint(options.get("endpoint") or endpoint or environ.get("GOOGLE_BASE_URL"))
    own = None if own == "https://storage.googleapis.com" else own
    return Location("gs", _bucket(link, link.authority), key, own, None, query, access)


def _parse_azure(
    link: Link, key: str, endpoint: str | None, access: Access, environ: Mapping[str, str]
) -> Location:
    options, query, access = _options(link, access)
    container, at, host = link.authority.partition("@")
    _bucket(link, container)
    if at:
        place = cloud_of(host.lower(), f"{container}/{key}", query, access)
        if place is None or place.kind != "az":
            raise refused(link.shown, "the host after '@' is no Azure storage account")
        return place
    endpoint, _ = _endpoint(options.get("endpoint") or endpoint)
    account = options.get("account") or _from(environ, _ACCOUNT_VARIABLES) or None
    if not (account or endpoint):
        why = "it does not say in which storage account the container is"
        hint = "Add ?account=NAME to the link, or set AZURE_STORAGE_ACCOUNT_NAME."
        raise refused(link.shown, why, hint)
    return Location("az", container, key, endpoint, account, query, access)


def _unmistakable(place: Location, environ: Mapping[str, str]) -> Location:
    """Say Amazon's endpoint aloud where the environment, or its profile, may name another one."""
    may_differ = _from(environ, (*_ENDPOINT_VARIABLES, "AWS_PROFILE"))
    if place.kind == "s3" and not place.endpoint and may_differ:
        region = place.access.region or "us-east-1"
        return replace(place, endpoint=f"https://s3.{region}.amazonaws.com")
    return place


def _options(link: Link, access: Access) -> tuple[dict[str, str], str, Access]:
    """Return what in the query is meant for us, the raw rest, and the access it asks for."""
    options: dict[str, str] = {}
    rest: list[str] = []
    for item in link.query.split("&") if link.query else []:
        name, _, value = item.partition("=")
        if name.lower() in _OPTIONS[link.kind]:
            options[name.lower()] = decoded(value)
        else:
            rest.append(item)
    said = {}
    for name in ("anonymous", "requester_pays"):
        if name in options:
            said[name] = _YES_NO.get(options[name].lower())
            if said[name] is None:
                raise refused(link.shown, f"'{name}' in its query is neither true nor false")
    anonymous = said.get("anonymous", access.anonymous)
    pays = bool(said.get("requester_pays", access.requester_pays))
    profile = options.get("profile") or access.profile
    region = options.get("region") or access.region
    return options, "&".join(rest), Access(anonymous, profile, region, pays)


def _endpoint(text: str | None, *, keep_amazon: bool = False) -> tuple[str | None, str | None]:
    """Return an endpoint in its plain form and the region it names; None for Amazon's own."""
    text = (text or "").strip().rstrip("/")
    if not text:
        return None, None
    scheme, _, rest = text.rpartition("://")
    authority, slash, path = rest.partition("/")
    strange = re.search(r"[?#@\s]", rest) or not rest.isprintable()
    if strange or scheme.lower() not in ("", "http", "https"):
        raise LinkError(
            "The endpoint cannot be understood",
            where=redacted_link(text.partition("#")[0]),
            why="it must be https://host or https://host:port, without a user, query or fragment",
        )
    origin, host, _ = origin_of(scheme.lower(), authority, redacted_link(text))
    amazon, region = is_amazon(host)
    return (None if amazon and not keep_amazon else origin + slash + path), region


def _bucket(link: Link, bucket: str) -> str:
    if not re.fullmatch(BUCKET_NAME, bucket):
        noun = "container" if link.kind == "az" else "bucket"
        why = f"the name of its {noun} is not allowed" if bucket else f"it names no {noun}"
        raise refused(link.shown, why, f"The form is {link.kind}://{noun}/image.zarr.")
    return bucket


def _key(link: Link) -> str:
    parts = [part for part in decoded(link.path).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused(link.shown, "its path holds '..'")
    if any("\0" in part for part in parts):
        raise refused(link.shown, "it holds a null character")
    return group_key("/".join(parts))


def _local_key(path: str) -> str:
    if os.name == "nt" or re.match(WINDOWS_PATH, path):
        expanded = os.path.abspath(os.path.expanduser(path)) if os.name == "nt" else path
        path = ntpath.normpath(expanded).replace("\\", "/")
    else:
        try:
            path = os.path.abspath(os.path.expanduser(path))
        except FileNotFoundError as error:
            why = "the folder that you are in does not exist any more"
            raise refused(path, why, "Go into another one, or give the whole path.") from error
    top = re.match(r"[A-Za-z]:/|/+", path)
    head = top[0] if top else ""
    return head + group_key(path[len(head) :])


def _from(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
