"""How one gets into one place, as a value: checked, and to and from JSON without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.location import Location, parse_location
from napari_omezarr_cloud.store.ways import Way, way_of, ways_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PlaceAccess", "check", "from_json", "headers_in", "tidy", "to_json"]


@dataclass(frozen=True)
class PlaceAccess:
    """How to get into a place and all below it; holds no secret."""

    place: str
    """A link: ``s3://bucket``, ``https://host/path``, ``az://container?account=name``."""
    way: str = "automatic"
    """Name of a `Way`."""
    profile: str = ""
    """Of the AWS configuration, where that is the way."""
    file: str = ""
    """Path of a service account's key file, where that is the way."""
    region: str = ""
    requester_pays: bool = False
    project: str = ""
    """Google project that pays, where the requester does."""
    in_keyring: bool = False
    """Whether the secrets are in the system's keyring; else they hold for this run."""
    location: Location = field(init=False, repr=False, compare=False)
    """The place itself."""

    def __post_init__(self) -> None:
        location = parse_location(self.place, environ={})
        object.__setattr__(self, "location", location)

    @property
    def about(self) -> Way:
        """What the way is called and asks for."""
        return way_of(self.way)

    @property
    def is_lasting(self) -> bool:
        """Whether it is there again at the next start."""
        return self.in_keyring or not self.about.has_secrets

    @property
    def signs(self) -> bool:
        """Whether requests always carry something that tells who asks."""
        return self.way not in ("automatic", "anonymous")


def check(chosen: PlaceAccess, secrets: Mapping[str, str]) -> None:
    """Refuse what cannot be meant.

    Parameters
    ----------
    chosen
        What is said of a place.
    secrets
        By the names of the way's fields.

    Raises
    ------
    LinkError
        If the place has no such way, or something that it needs is missing; no value is quoted.
    """
    kind, what = chosen.location.kind, "Could not set how to get in"
    try:
        way = chosen.about
    except KeyError:
        way = None
    if kind == "file":
        raise LinkError(what, where=chosen.place, why="it is a folder of this computer")
    if way not in ways_of(kind):
        names = ", ".join(each.name for each in ways_of(kind))
        why, hint = f"{chosen.way!r} is no way in there", f"There are: {names}."
        if kind == "http" and way in ways_of("s3"):
            hint += " Of an S3 server name the bucket: s3://BUCKET?endpoint="
            hint += f"{chosen.location.endpoint}."
        raise LinkError(what, where=chosen.place, why=why, hint=hint)
    if not re.fullmatch(_REGION, chosen.region):
        # Perhaps a key that was typed into the wrong line: it is neither kept nor quoted.
        raise LinkError(what, where=chosen.place, why="what was given is no region")
    missing = [
        each.title
        for each in way.fields
        if each.is_needed
        and not (
            secrets.get(each.name, "") if each.is_secret else getattr(chosen, each.name)
        ).strip()
    ]
    if missing:
        raise LinkError(what, where=chosen.place, why=f"it needs: {', '.join(missing)}")
    for each in way.fields:
        value = secrets.get(each.name, "")
        if each.is_secret and not (value.isprintable() and value.isascii()):
            why = f"the field “{each.title}” holds characters that cannot be sent"
            raise LinkError(what, where=chosen.place, why=why, hint="Was it copied as a whole?")
    if way.name == "headers":
        if not all(name and value for name, value in headers_in(secrets["headers"])):
            why = "headers are written “Name: value”"
            raise LinkError(what, where=chosen.place, why=why)


_REGION = r"[\w-]{0,32}"


def headers_in(text: str) -> list[tuple[str, str]]:
    """Return the names and values of headers that were typed one after the other."""
    # A value may hold semicolons itself: "Cookie: a=1; b=2".
    pairs = (each.partition(":") for each in re.split(r";\s+(?=[\w-]+:)", text))
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def tidy(name: str, value: str) -> str:
    """Return a secret without what was pasted around it; by the name of its field."""
    value = value.strip()
    if name == "sas":
        return value.rpartition("?")[2]
    return value.removeprefix("Bearer ").strip() if name == "token" else value


_FIELDS = [each for each in fields(PlaceAccess) if each.init]


def to_json(said: PlaceAccess) -> dict[str, Any]:
    """Return what is said of a place as JSON values; inverse of `from_json`."""
    values = {each.name: getattr(said, each.name) for each in _FIELDS}
    return {name: value for name, value in values.items() if value}


def from_json(value: object) -> PlaceAccess | None:
    """Return what an entry says; None where it makes no sense (here, or any more)."""
    if not isinstance(value, dict):
        return None
    known = {
        each.name: value[each.name]
        for each in _FIELDS
        if isinstance(value.get(each.name), bool if each.type == "bool" else str)
    }
    try:
        said = PlaceAccess(**known)
        return said if said.about in ways_of(said.location.kind) else None
    except (TypeError, KeyError, LinkError):
        return None
