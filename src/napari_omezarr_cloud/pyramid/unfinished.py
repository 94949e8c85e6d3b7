"""Whether what is opened is a download that has not ended, as the notes in its folder say."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.level import Pyramid
    from napari_omezarr_cloud.pyramid.opened import OpenedImage, OpenedLabels

__all__ = ["with_note_on_download"]

_MOST_ABOVE = 16
"""Folders above an image: a field of a plate is a few below the one that is downloaded."""


def with_note_on_download(opened: OpenedImage) -> OpenedImage:
    """Return what was opened, with a note where some of it may still be missing on this disk.

    Its labels carry the note, too. On the loop on which they open.
    """
    source = _source_of(opened.location)
    if source is None:
        return opened
    note = (
        f"Not all of it is here: its download from {source} has not ended. What is missing is "
        "shown blank, and reads as zero or as the fill value. Download it again to the same folder "
        "to go on."
    )
    return replace(
        opened,
        pyramid=_noted(opened.pyramid, note),
        notes=(note, *opened.notes),
        labels=asyncio.ensure_future(_labels_noted(opened.labels, note)),
    )


def _noted(pyramid: Pyramid, note: str) -> Pyramid:
    """Return a pyramid that tells a note to whatever is made of it."""
    return replace(pyramid, notes=(note, *pyramid.notes))


async def _labels_noted(
    labels: asyncio.Future[tuple[tuple[OpenedLabels, ...], tuple[str, ...]]], note: str
) -> tuple[tuple[OpenedLabels, ...], tuple[str, ...]]:
    found, notes = await labels
    return tuple(replace(each, pyramid=_noted(each.pyramid, note)) for each in found), notes


def _source_of(location: Location) -> str | None:
    """Return from where the folder is being downloaded that a local image is in."""
    if location.kind != "file":
        return None
    path = Path(location.key)
    for folder in (path, *path.parents)[:_MOST_ABOVE]:
        try:
            notes = json.loads((folder / WRITE_NOTES / "plan.json").read_bytes())
        except (OSError, ValueError):
            continue
        plan = notes.get("plan") if isinstance(notes, dict) else None
        source = plan.get("download") if isinstance(plan, dict) else None
        if isinstance(source, str):
            return source
    return None
