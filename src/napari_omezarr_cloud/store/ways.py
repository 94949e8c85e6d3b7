"""The ways into a place, as data: what each is called, what it asks for, and for which services.

The dialog, the shell and Python follow from this one table.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WAYS", "Way", "WayField", "way_of", "ways_of"]


@dataclass(frozen=True)
class WayField:
    """One thing that a way asks for."""

    name: str
    title: str
    help: str = ""
    is_secret: bool = True
    """Whether it goes into memory or the keyring only, and is masked where it is typed."""
    is_needed: bool = True


@dataclass(frozen=True)
class Way:
    """One way to get in."""

    name: str
    title: str
    kinds: tuple[str, ...]
    """Of places: ``s3``, ``gs``, ``az``, ``http``."""
    fields: tuple[WayField, ...] = ()
    help: str = ""

    @property
    def has_secrets(self) -> bool:
        """Whether it asks for something that must not be written down."""
        return any(field.is_secret for field in self.fields)


_CLOUDS = ("s3", "gs", "az")
_VARIABLES = (
    "AWS_ACCESS_KEY_ID or AWS_PROFILE; AZURE_STORAGE_ACCOUNT_KEY, _SAS_KEY or _TOKEN; "
    "GOOGLE_APPLICATION_CREDENTIALS, or what `gcloud auth application-default login` left"
)

WAYS = (
    Way(
        "automatic",
        "Automatic",
        (*_CLOUDS, "http"),
        help="Without signing first; where that is refused, with the environment's credentials.",
    ),
    Way("anonymous", "Anonymous", _CLOUDS, help="Never signed: for public data."),
    Way(
        "environment",
        "My environment's credentials",
        _CLOUDS,
        help=f"Always signed with what the environment has: {_VARIABLES}.",
    ),
    Way(
        "profile",
        "AWS profile",
        ("s3",),
        (WayField("profile", "Profile", "As in ~/.aws/config.", is_secret=False),),
        help="Keys, assumed roles and single sign-on (after `aws sso login --profile NAME`).",
    ),
    Way(
        "keys",
        "Access keys",
        ("s3",),
        (
            WayField("access_key_id", "Access key ID"),
            WayField("secret_access_key", "Secret access key"),
            WayField("session_token", "Session token", "Of keys that run out.", is_needed=False),
        ),
    ),
    Way(
        "service-account",
        "Key file of a service account",
        ("gs",),
        (
            WayField(
                "file",
                "Key file",
                "The JSON file; it is read where it lies, and its path is remembered.",
                is_secret=False,
            ),
        ),
    ),
    Way("account-key", "Account key", ("az",), (WayField("account_key", "Account key"),)),
    Way(
        "sas",
        "Shared access signature (SAS)",
        ("az",),
        (WayField("sas", "SAS", "From sv= on, or the whole link that has it."),),
    ),
    Way(
        "token",
        "Access token",
        ("http", "gs", "az"),
        (WayField("token", "Token", "Sent as “Authorization: Bearer …”."),),
    ),
    Way(
        "password",
        "User name and password",
        ("http",),
        (WayField("user", "User name"), WayField("password", "Password")),
    ),
    Way(
        "headers",
        "Other headers",
        ("http",),
        (
            WayField(
                "headers",
                "Headers",
                "“Name: value”, several separated by “; ”. They go to this server only, also where "
                "it sends requests on to another one.",
            ),
        ),
    ),
)


def way_of(name: str) -> Way:
    """Return the way of a name.

    Raises
    ------
    KeyError
        If there is none.
    """
    for way in WAYS:
        if way.name == name:
            return way
    raise KeyError(name)


def ways_of(kind: str) -> tuple[Way, ...]:
    """Return the ways into a place of a kind: ``s3``, ``gs``, ``az`` or ``http``."""
    return tuple(way for way in WAYS if kind in way.kinds)
