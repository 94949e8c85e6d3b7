"""What there is to sign with. Names of variables only: their values are read by obstore itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_omezarr_cloud.location import hide
from napari_omezarr_cloud.store.aws_profiles import default_profile

__all__ = ["fingerprint", "has_credentials", "has_variables", "hide_environment"]

_CREDENTIALS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_ID",
    ),
}
"""Variables of which one says that there is something to sign with."""


def has_credentials(kind: str) -> bool:
    """Tell whether the environment holds something to sign with; asking costs no request.

    Without this obstore would ask the cloud machine's metadata address and wait for it.
    """
    if kind == "gs" and Path(_GCLOUD).expanduser().is_file():
        return True
    return has_variables(kind) or (kind == "s3" and default_profile() is not None)


def has_variables(kind: str) -> bool:
    """Tell whether a variable of the environment says that there is something to sign with."""
    return any(os.environ.get(name) for name in _CREDENTIALS.get(kind, ()))


def hide_environment() -> None:
    """Take the environment's keys and tokens out of all that is shown: servers send them back."""
    hide(*(value for name, value in os.environ.items() if re.search(_KEYS, name)))


_KEYS = (
    r"^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN|TOKEN)$"
    r"|^AZURE_\w*(KEY|SAS_TOKEN|TOKEN|SECRET)$|^GOOGLE_\w*(ACCOUNT_KEY|BEARER_TOKEN)$"
)


def fingerprint() -> int:
    """Return a number that changes with what there is to sign with, also in files.

    After a refusal it tells whether asking again makes sense: somebody may have signed in.
    """
    known = [item for item in os.environ.items() if item[0].startswith(_BEGINNINGS)]
    stamps = []
    for variable, default in _FILES:
        try:
            stamps.append(Path(os.environ.get(variable) or default).expanduser().stat().st_mtime_ns)
        except (OSError, RuntimeError):
            stamps.append(0)
    return hash((tuple(sorted(known)), tuple(stamps)))


_GCLOUD = "~/.config/gcloud/application_default_credentials.json"
"""Where Google's tool leaves what it got by signing in, and where obstore looks."""
_BEGINNINGS = ("AWS_", "AZURE_", "GOOGLE_")
_FILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("", "~/.aws/sso/cache"),
    ("", "~/.aws/cli/cache"),
    ("GOOGLE_APPLICATION_CREDENTIALS", _GCLOUD),
)
"""A variable that names a file, and where it is otherwise. A folder changes with its files' names.
"""
