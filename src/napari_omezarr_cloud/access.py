"""Getting into private places: said once per place, tried step by step, forgotten when asked to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location import Access, Location, parse_location
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.place_access import (
    PlaceAccess,
    all_access,
    choose_access,
)
from napari_omezarr_cloud.store.place_access import forget_access as _forget
from napari_omezarr_cloud.store.trial import AccessTrial
from napari_omezarr_cloud.store.trial import try_access as _try
from napari_omezarr_cloud.store.ways import way_of
from napari_omezarr_cloud.write.target import open_target

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = [
    "AccessTrial",
    "PlaceAccess",
    "forget_access",
    "known_access",
    "place_named",
    "set_access",
    "try_access",
    "try_access_async",
]


def set_access(
    place: str,
    way: str = "automatic",
    *,
    profile: str = "",
    file: str = "",
    endpoint: str | None = None,
    region: str = "",
    requester_pays: bool = False,
    project: str = "",
    keyring: bool = False,
    **secrets: str,
) -> PlaceAccess:
    """Say how to get into a place and all below it; what is open there goes on with it.

    Parameters
    ----------
    place
        ``s3://bucket``, ``gs://bucket/folder``, ``az://container?account=name`` or
        ``https://host``, or the link of an image.
    way
        ``automatic``, ``anonymous``, ``environment``, ``profile``, ``keys``, ``sas``,
        ``account-key``, ``service-account``, ``token``, ``password`` or ``headers``.
    profile
        Of the AWS configuration, for ``profile``.
    file
        Path of the key file, for ``service-account``.
    endpoint, region
        Of a server that is not Amazon's, Google's or Microsoft's; of an S3 bucket.
    requester_pays
        You pay for what is read, and not the owner: S3 and Google.
    project
        The Google project that pays.
    keyring
        Keep the secrets in the system's keyring. Otherwise they hold until the program ends, and
        are written nowhere.
    **secrets
        For ``keys``: ``access_key_id``, ``secret_access_key`` and, if need be, ``session_token``;
        ``sas``; ``account_key``; ``token``; ``user`` and ``password``; ``headers``. Without any,
        those that are known stay.

    Raises
    ------
    LinkError
        If there is no such way into that place, or something that it needs is missing.
    CloudError
        If it cannot be kept; it holds for this run all the same.
    """
    location = parse_location(place, endpoint=endpoint)
    if way == "sas" and location.query:  # pasted as it came
        secrets.setdefault("sas", location.query)
    chosen = PlaceAccess(
        place_named(location),
        way,
        profile=profile,
        file=file,
        region=region or location.access.region or "",
        requester_pays=requester_pays or location.access.requester_pays,
        project=project,
        in_keyring=keyring,
    )
    try:
        known = {field.name for field in way_of(way).fields if field.is_secret}
    except KeyError:
        known = set(secrets)  # that there is no such way is said below
    if strange := sorted(secrets.keys() - known):
        raise LinkError(
            "Could not set how to get in",
            where=chosen.place,
            why=f"{way!r} does not ask for {', '.join(strange)}",
            hint=f"It asks for: {', '.join(sorted(known)) or 'nothing of that kind'}.",
        )
    choose_access(chosen, secrets or None)
    return chosen


def place_named(location: Location) -> str:
    """Return a location as the name of a place: without query and ways in."""
    return str(replace(location, query="", access=Access()))


def known_access() -> tuple[PlaceAccess, ...]:
    """Return what was said of places; no secrets."""
    return all_access()


def forget_access(place: str, *, endpoint: str | None = None) -> bool:
    """Forget what was said of a place, and its secrets, also those in the keyring.

    Returns
    -------
    bool
        Whether anything was.
    """
    return _forget(place_named(parse_location(place, endpoint=endpoint)))


def try_access(link: str | Location, *, write: bool = False, **access: Any) -> AccessTrial:
    """Try to get in as opening does, and say what was tried and what the server answered.

    Parameters
    ----------
    link
        Of an image, or of a place that holds some.
    write
        Also write one small object there, read it back and delete it. Nothing is written otherwise.
    **access
        ``endpoint``, ``region``, ``anonymous``, ``profile`` and ``requester_pays`` as for
        :func:`open`.

    Returns
    -------
    AccessTrial
        Its ``steps``, ``can_read``, ``can_list`` and ``can_write``; ``str()`` of it is for people.

    Raises
    ------
    LinkError
        If the text is no link.
    """
    return try_access_async(link, write=write, **access).result()


def try_access_async(
    link: str | Location, *, write: bool = False, **access: Any
) -> Future[AccessTrial]:
    """Begin to try; takes what :func:`try_access` takes, and raises ``LinkError`` at once."""
    location = link if isinstance(link, Location) else locate(link, **access)
    return io_thread().submit(_try(location, writes=write, open_target=open_target))
