"""Images in one file: written as a folder first, then packed, then put in their place.

The folder (the *workshop*) lies beside a local file, and in the user's cache folder for one that
goes to a server. It makes a save that broke off go on where it was, and nothing of it ever has the
file's own name: that appears when the file is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_omezarr_cloud.errors import ChangedError, CloudError, ExistsError, WriteError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.ngff.writing import json_bytes
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.store.disk.place import user_folder
from napari_omezarr_cloud.store.failures import disk_refused
from napari_omezarr_cloud.store.zips import forget_zip
from napari_omezarr_cloud.write.claiming import HOW_TO_OVERWRITE
from napari_omezarr_cloud.write.target import Found, find, make_folder, open_target
from napari_omezarr_cloud.write.whole_file import put_in_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store import RemoteStore

__all__ = ["Packing", "Workshop", "check_can_be_opened", "find_packed", "packed_as"]

Packing = Literal["zip", "ome-tiff"]

_ENDINGS: dict[str, Packing] = {
    ".ozx": "zip",
    ".zip": "zip",
    ".tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".ome.btf": "ome-tiff",
}
Stamp = tuple[object, ...] | None
"""What tells a file from what it is after a change; None: there is none."""

_PIECE = 2**23
"""Bytes that are sent to a server at a time."""


def packed_as(location: Location) -> Packing | None:
    """Return what kind of file a place is by its name; None: a folder, or what is like one."""
    name = location.key.lower()
    return next((kind for end, kind in _ENDINGS.items() if name.endswith(end)), None)


def check_can_be_opened(location: Location) -> None:
    """Refuse a place that is written for others only, where the image is to be returned.

    Raises
    ------
    WriteError
        If it is that of an OME-TIFF.
    """
    if packed_as(location) == "ome-tiff":
        raise WriteError(
            "Nothing was written",
            where=str(location),
            why="OME-TIFF is written here and not read, so it cannot be returned as an open image",
            hint="noc.extract and the shell write it: omezarr extract, omezarr save.",
        )


async def find_packed(location: Location) -> Found:
    """Look what is at the place of a file; if nothing, whether the same was begun before.

    Raises
    ------
    BusyError
        If somebody is writing it.
    CloudError
        If that cannot be found out.
    """
    shop, name = Workshop.of(location), location.key.rpartition("/")[2]
    notes = (await find(shop.image)).notes
    if notes is not None:
        notes.refuse_if_busy(str(location))
    if location.kind == "file":
        is_there = os.path.lexists(location.key)
    else:
        is_there = await _beside(location).find(name) is not None
    if is_there:
        return Found(names=(name,), is_file=location.kind != "file" or not _is_folder(location))
    plan = shop.plan()
    return Found() if plan is None else Found(names=(shop.folder.name,), plan=plan)


def _is_folder(location: Location) -> bool:
    return Path(location.key).is_dir()


def _beside(location: Location) -> RemoteStore:
    return open_target(location.parent() or location)  # a file has a name


@dataclass(frozen=True)
class Workshop:
    """Where a file is made before it takes its place."""

    folder: Path

    @classmethod
    def of(cls, location: Location) -> Workshop:
        """Return the one of a file; makes nothing."""
        if location.kind == "file":
            path = Path(location.key)
            return cls(path.with_name(f".{path.name}.omezarr-new"))
        name = hashlib.sha256(str(location).encode()).hexdigest()[:32]
        return cls(user_folder() / "unfinished" / name)

    @property
    def image(self) -> Location:
        """The image as a folder."""
        return parse_location(self.folder / "image.ome.zarr")

    @property
    def packed(self) -> Path:
        """The file, once it is whole."""
        return self.folder / "packed"

    def plan(self) -> dict[str, Any] | None:
        """Return the identity of what was begun here; None: nothing was."""
        try:
            found = json.loads((self.folder / "plan.json").read_bytes())
        except OSError:
            return None
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self, location: Location, identity: dict[str, Any], *, overwrite: bool) -> Stamp:
        """Note what is about to be made, or find that it is what was begun.

        Returns
        -------
        Stamp
            Of what is to be overwritten, for `deliver`.

        Raises
        ------
        ExistsError
            If the file, or the beginning of another, is there, and is not to be overwritten.
        BusyError
            If somebody is writing it.
        WriteError
            If there can be no folder.
        """
        there = io_thread().wait(find_packed(location))
        if there.names and there.plan is None and (not overwrite or not there.is_file):
            what = "a file of this name" if there.is_file else "a folder of this name"
            raise _exists(location, f"{what} is there already")
        stamp = io_thread().wait(_stamp(location))
        before = self.plan()
        if before == identity:
            return stamp
        if before is not None and not overwrite:
            raise _exists(location, "the beginning of another save is there")
        try:
            if before is None and self.folder.is_dir() and any(self.folder.iterdir()):
                raise ExistsError(
                    "Nothing was written",
                    where=str(location),
                    why=f"it would be made in {self.folder}, where other files are",
                    hint="Look at them, and move or delete that folder; or choose another name.",
                )
            if before is not None:
                self.delete()
            mode = 0o777 if location.kind == "file" else 0o700
            make_folder(self.folder, str(location), mode)
            (self.folder / "plan.json").write_bytes(json_bytes(identity))
        except OSError as error:
            raise disk_refused(self.folder, error) from error
        return stamp

    def pack(self, write: Callable[[Path], None]) -> None:
        """Have the file made; until it is whole it has another name, and is kept if it ends early.

        Raises
        ------
        WriteError
            If the disk does not take it.
        """
        part = self.folder / "packing"
        try:
            write(part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(self.packed)
        except OSError as error:
            raise disk_refused(self.folder, error) from error

    def deliver(
        self,
        location: Location,
        *,
        overwrite: bool,
        tick: Callable[[int], None],
        stamp: Stamp = None,
    ) -> None:
        """Put the file in its place, whole or not at all.

        Parameters
        ----------
        location
            Its place.
        overwrite
            Whether it replaces what is there.
        tick
            Told how many bytes were sent; what it raises ends it.
        stamp
            Of what it replaces, as `begin` gave.

        Raises
        ------
        ExistsError
            If somebody else has put something there meanwhile.
        ChangedError
            If what it is to replace has changed meanwhile.
        CloudError
            If it cannot be put there.
        """
        if overwrite and io_thread().wait(_stamp(location)) not in (stamp, None):
            raise ChangedError(
                "Nothing was overwritten",
                where=str(location),
                why="it was changed while the new file was made",
                hint="Look at what is there now. If it may be overwritten all the same, save the "
                f"same again: the new file is whole, at {self.packed}.",
            )
        if location.kind == "file":
            try:
                place = Path(os.path.realpath(location.key)) if overwrite else Path(location.key)
                put_in_place(self.packed, place, overwrite=overwrite)
            except FileExistsError as error:
                raise _exists(location, "a file of this name has come meanwhile") from error
            except OSError as error:
                raise disk_refused(Path(location.key), error) from error
        else:
            self._send(location, overwrite, tick)
            forget_zip(location)

    def _send(self, location: Location, overwrite: bool, tick: Callable[[int], None]) -> None:
        async def send() -> None:
            store, name = _beside(location), location.key.rpartition("/")[2]
            if not overwrite and await store.find(name) is not None:
                raise _exists(location, "a file of this name has come meanwhile")
            failures: list[CloudError] = []

            async def pieces() -> AsyncIterator[bytes]:
                with self.packed.open("rb") as file:
                    while piece := await asyncio.to_thread(file.read, _PIECE):
                        try:
                            tick(len(piece))
                        except CloudError as error:
                            failures.append(error)  # the library would wrap it
                            raise
                        yield piece

            try:
                await store.upload(name, pieces())
            except CloudError as error:
                raise failures[0] if failures else error from None

        io_thread().wait(send())

    def delete(self) -> None:
        """Delete all that is in it."""
        shutil.rmtree(self.folder)


async def _stamp(location: Location) -> Stamp:
    """Return what tells a file from what it is after a change; None: there is none."""
    if location.kind == "file":
        try:
            found = os.stat(location.key)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
    there = await _beside(location).find(location.key.rpartition("/")[2])
    return None if there is None else (there.e_tag, there.nbytes, there.modified)


def _exists(location: Location, why: str) -> ExistsError:
    hint = f"Choose another name, or {HOW_TO_OVERWRITE}."
    return ExistsError("Nothing was written", where=str(location), why=why, hint=hint)
