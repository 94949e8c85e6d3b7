"""A download: from where, to which folder, what there is; and what one under way leaves there."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    NotFoundError,
    WriteError,
)
from napari_omezarr_cloud.location import aliases
from napari_omezarr_cloud.pyramid.documents import ROOT
from napari_omezarr_cloud.store.access import ways_in
from napari_omezarr_cloud.store.counting import Traffic
from napari_omezarr_cloud.store.objects import ObjectFound, ObjectStore
from napari_omezarr_cloud.store.place_access import ready
from napari_omezarr_cloud.write.claiming import PLAN_KEY, Notes
from napari_omezarr_cloud.write.inventory import Inventory, explore
from napari_omezarr_cloud.write.sizes import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_omezarr_cloud.location import Location

__all__ = ["DownloadPlan", "plan_download"]

_WHAT = "Could not download"
_UNLISTED = (
    "The server does not list what there is: it is worked out from the metadata, and what they do "
    "not name is not downloaded."
)


@dataclass(frozen=True, eq=False)
class DownloadPlan:
    """What would be downloaded; nothing has been yet. ``str()`` shows it."""

    source: Location
    target: Path
    """A folder; the file itself, where one file is downloaded."""
    inventory: Inventory
    store: ObjectStore = field(repr=False)
    file: ObjectFound | None = None
    """The one file, where it is one."""
    has_begun: bool = False
    """Whether some of it is there already, and the download would go on from there."""
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Objects; where they are not listed, as many as there can be."""
        return 1 if self.file is not None else self.inventory.count

    @property
    def nbytes(self) -> int:
        """Bytes of them, as far as is known."""
        return self.inventory.nbytes if self.file is None else self.file.nbytes

    @property
    def is_exact(self) -> bool:
        """Whether each object was counted."""
        return self.file is not None or self.inventory.is_exact

    @property
    def identity(self) -> dict[str, Any]:
        """What it is known by in the notes that it leaves while it is under way."""
        return {"plan": {"download": str(self.source)}, "origin": str(self.source)}

    @property
    def folder(self) -> Path:
        """Where files come to lie: of one file, a folder beside its place."""
        if self.file is None:
            return self.target
        return self.target.with_name(f".{self.target.name}.omezarr-new")

    def check_room(self) -> None:
        """Refuse what the disk has no room for, as far as that is known.

        Raises
        ------
        WriteError
            If there is less.
        """
        place = next(each for each in self.target.absolute().parents if os.path.exists(each))
        here = 0
        for top, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):  # who has just ended there tidies up
                    here += os.lstat(os.path.join(top, name)).st_size
        free = shutil.disk_usage(place).free
        if self.is_exact and self.nbytes - here > free:
            raise WriteError(
                "Nothing was downloaded",
                where=str(self.target),
                why=f"{bytes_text(self.nbytes - here)} are to come, and {bytes_text(free)} are "
                "free on that disk",
                hint="Free some room, choose another disk, or take a part of it: omezarr extract.",
            )

    def __str__(self) -> str:
        if self.is_exact:
            size = f"{self.count:,} objects, {bytes_text(self.nbytes)}"
        else:
            size = f"{self.count:,} objects at most, about {bytes_text(self.nbytes)}"
        if self.file is not None:
            size = f"one file, {bytes_text(self.nbytes)}"
        arrays = len(self.inventory.arrays)
        of = f" ({arrays:,} {'array' if arrays == 1 else 'arrays'})" if arrays else ""
        begun = ["Some of it is there already: that is kept, and the rest comes."]
        return "\n".join(
            [
                f"{size}{of}",
                f"from {self.source}",
                f"to {self.target}",
                *(begun if self.has_begun else []),
                *self.notes,
            ]
        )


async def plan_download(
    source: Location, target: Path, on_found: Callable[[int], None] = lambda _: None
) -> DownloadPlan:
    """Find out what a download takes; runs on the I/O loop.

    Parameters
    ----------
    source
        An image, a plate, a series, any folder of a bucket, or one file.
    target
        Where to: a folder, or a file where one file is downloaded.
    on_found
        Called with how many objects were found so far.

    Raises
    ------
    NotFoundError
        If there is nothing, or the server lists nothing and there are no metadata.
    CloudError
        As the server says.
    """
    errors: list[CloudError] = []
    for place, anonymous in _ways(source):
        try:
            await ready(place)
            found = await _look(place, anonymous, source, target, on_found)
        except CloudError as error:
            errors.append(error)
            continue
        if found is not None:
            return replace(found, has_begun=await asyncio.to_thread(_has_begun, found))
    refused = next((each for each in errors if isinstance(each, AccessRefusedError)), None)
    if errors:
        raise refused or errors[-1]
    raise NotFoundError(
        _WHAT, where=str(source), why="there is nothing there", hint="Check the link."
    )


def _has_begun(plan: DownloadPlan) -> bool:
    try:
        notes = Notes.of((plan.folder / PLAN_KEY).read_bytes())
    except OSError:
        return False
    return notes is not None and notes.identity == plan.identity


def _ways(source: Location) -> Iterator[tuple[Location, bool]]:
    """Yield the ways in to try; a web server may turn out to be one of S3, which lists."""
    for place in aliases(source):
        bucket = place.as_s3()
        if bucket is not None:
            yield bucket, True
        for anonymous, candidate in ways_in(place):
            yield candidate, anonymous


async def _look(
    place: Location,
    anonymous: bool,
    source: Location,
    target: Path,
    on_found: Callable[[int], None],
) -> DownloadPlan | None:
    """Return the plan over one way in; None where nothing is to be found over it."""
    if _is_file_name(place):
        file = await _as_file(place, anonymous, source, target)
        if file is not None:
            return file
    store = ObjectStore(place, anonymous=anonymous, traffic=Traffic())
    try:
        folders, objects = await store.look_into()
    except CloudError:
        if place.kind == "file":
            raise
        there = await asyncio.gather(*(store.find(key) for key in ROOT), return_exceptions=True)
        if not any(isinstance(each, ObjectFound) for each in there):
            file = await _as_file(place, anonymous, source, target) if _is_named(place) else None
            if file is not None:
                return file
            if any(isinstance(each, CloudError) for each in there):
                raise
            raise NotFoundError(
                _WHAT,
                where=store.where,
                why="there is no Zarr metadata there, and the server lists no files",
                hint="Check the link; it should lead to an image, a plate or a group.",
            ) from None
        inventory = await explore(store, is_listed=False, on_found=on_found)
        return DownloadPlan(source, target, inventory, store, notes=(_UNLISTED,))
    if folders or objects:
        inventory = await explore(store, is_listed=True, on_found=on_found)
        notes = () if inventory.is_exact else ("There are too many objects to count them all.",)
        return DownloadPlan(source, target, inventory, store, notes=notes)
    return await _as_file(place, anonymous, source, target)


def _is_file_name(place: Location) -> bool:
    """Tell whether it is one file, as far as can be told without asking."""
    if place.kind == "file":
        return os.path.isfile(place.key)
    return place.key.lower().endswith((".ozx", ".zip"))


def _is_named(place: Location) -> bool:
    """Tell whether a name is like that of a file: web servers send pages for folders."""
    name = place.key.rpartition("/")[2].lower()
    return "." in name and not name.endswith(".zarr")


async def _as_file(
    place: Location, anonymous: bool, source: Location, target: Path
) -> DownloadPlan | None:
    """Return the plan for one file; None if it is none."""
    parent, name = place.parent(), place.key.rpartition("/")[2]
    if parent is None or not name:
        return None
    store = ObjectStore(parent, anonymous=anonymous, traffic=Traffic())
    found = await store.find(name)
    if found is None:
        return None
    return DownloadPlan(source, target, Inventory(()), store, found)
