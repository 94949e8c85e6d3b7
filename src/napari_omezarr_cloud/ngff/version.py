"""Which version of OME-Zarr a document follows, said or guessed from its keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.ngff.values import finite_number, plain_text, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUPPORTED_VERSIONS", "read_version", "stated_version"]

SUPPORTED_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")

# Not compiled here, since that would take longer than the rest of the import; re keeps them.
_BASE = r"(0\.[1-6])(?!\d)(\.\d+)?(.*)"


def stated_version(*holders: object) -> str | None:
    """Return the first ``version`` that one of these JSON objects states, as text."""
    for holder in holders:
        stated = holder.get("version") if isinstance(holder, dict) else None
        if finite_number(stated) is not None:
            stated = str(stated)
        if text := plain_text(stated, limit=60):
            return text
    return None


def read_version(
    stated: str | None, multiscale: Mapping[str, Any], *, zarr_format: int, notes: list[str]
) -> str:
    """Return one of `SUPPORTED_VERSIONS`: the stated one, or the one that the keys look like.

    Parameters
    ----------
    stated
        The version as written; suffixes (``0.5.2``, ``0.6rc0``, ``0.6.dev3``) are cut.
    multiscale
        One entry of ``multiscales``, from which a missing or unknown version is guessed.
    zarr_format
        2 or 3.
    notes
        Gets a sentence when something was guessed or cut.
    """
    if stated and (match := re.fullmatch(_BASE, stated)):
        if match[3]:
            notes.append(f"The version {shown(stated)} was read as {match[1]}.")
        return match[1]
    guess = _guess(multiscale, zarr_format)
    said = f"The version {shown(stated)} is unknown" if stated else "No version is stated"
    notes.append(f"{said}; the metadata were read as version {guess}.")
    return guess


def _guess(multiscale: Mapping[str, Any], zarr_format: int) -> str:
    if "coordinateSystems" in multiscale:
        return "0.6"
    if zarr_format == 3:
        return "0.5"
    axes = multiscale.get("axes")
    if isinstance(axes, list) and axes and all(isinstance(axis, str) for axis in axes):
        return "0.3"
    datasets = multiscale.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else None
    has_transforms = isinstance(first, dict) and "coordinateTransformations" in first
    # 0.1 and 0.2 differ in the chunk separator only, which the arrays state themselves.
    return "0.4" if axes or has_transforms else "0.2"
