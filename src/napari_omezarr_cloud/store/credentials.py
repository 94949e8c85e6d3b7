"""What there is to sign with. Names of variables only: their values are read by obstore itself."""

from __future__ import annotations

import os

__all__ = ["has_credentials"]

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
    return any(os.environ.get(name) for name in _CREDENTIALS.get(kind, ()))
