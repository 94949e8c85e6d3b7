"""A zip file (``.zip``, ``.ozx``) as a store: its directory is read once, its members by range."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError, NotOmeZarrError
from napari_omezarr_cloud.store.once import Once
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry
from napari_omezarr_cloud.store.zip_contents import DOCUMENTS, Contents, ZipBytes, read_directory
from napari_omezarr_cloud.store.zip_directory import Directory, Member, roots
from napari_omezarr_cloud.store.zip_records import ZipError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["ZippedFile", "ZippedStore"]


class ZippedFile:
    """A zip file: its directory is read once, however many stores are made of it.

    Metadata that lie near one another in the file are read in one request. A packed member of
    which parts are read (a shard) is unpacked once and kept, up to 128 MiB of them.

    Parameters
    ----------
    outer
        Holds the file.
    name
        Key of the file in it.
    """

    def __init__(self, outer: ByteStore, name: str) -> None:
        self._outer = outer
        self._name = name
        self._contents = Once(self._open)

    @property
    def location(self) -> Location:
        """Where the file is."""
        return self._outer.location.child(self._name)

    @property
    def where(self) -> str:
        """Display form of the file."""
        return f"{self._outer.where.rstrip('/')}/{self._name}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the file, in sentences; known once its directory has been read."""
        contents = self._contents.value
        return contents.notes if contents else ()

    async def contents(self) -> Contents:
        """Return what is in the file; read once, whoever asks first."""
        return await self._contents

    async def distrust(self, member: Member) -> None:
        """Do not keep a member's bytes: they make no sense."""
        part = ByteRange(member.offset, member.end - member.offset)
        await self._outer.distrust(self._name, part)

    async def _open(self) -> Contents:
        file = ZipBytes(self._outer, self._name, self.where)
        try:
            return Contents(file, await read_directory(file))
        except ZipError as error:
            raise _unreadable(str(error), self.where) from error


class ZippedStore:
    """Members of a zip file by key, below the folder in it that holds the image.

    Parameters
    ----------
    file
        The zip file.
    inside
        Folder in the zip that is the root; empty finds it: the one that holds Zarr metadata and is
        not inside another such. A path that is not in the zip may be below that one.
    """

    def __init__(self, file: ZippedFile, inside: str = "") -> None:
        self._file = file
        self._inside = inside.strip("/")
        self._root = Once(self._find_root)

    @property
    def location(self) -> Location:
        """Where the root is."""
        return self._file.location.child(self._inside)

    @property
    def where(self) -> str:
        """Display form of the root."""
        return f"{self._file.where}/{self._inside}" if self._inside else self._file.where

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        """Return a member, or a part of it; None when there is no such member.

        Raises
        ------
        NotFoundError
            If the file is not there.
        ServerError
            If the server sends no parts of files, and this one is too large to be read whole.
        MetadataError
            If it is no zip file that can be read, or a member is damaged, encrypted, packed by a
            method that is not known, or larger than what can be unpacked safely.
        """
        contents, path = await self._path(key)
        member = contents.directory.get(path)
        if member is None:
            return None
        try:
            return await contents.read(member, byte_range)
        except ZipError as error:
            await self._file.distrust(member)
            raise _unreadable(str(error), self.where, key) from error

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        """Do not keep a member's bytes: they make no sense."""
        contents, path = await self._path(key)
        member = contents.directory.get(path)
        if member is not None:
            await self._file.distrust(member)

    async def put(self, key: str, data: Bytes) -> None:
        """Refuse: a member cannot be changed in place."""
        raise _unreadable("a zip file cannot be written to", self.where, key)

    async def delete(self, key: str) -> None:
        """Refuse: a member cannot be taken out in place."""
        raise _unreadable("a zip file cannot be written to", self.where, key)

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        """Return the names directly below ``prefix``; asks nobody."""
        contents, path = await self._path(prefix.strip("/"))
        found: dict[str, Entry] = {}
        for name, member in contents.directory.below(path):
            found[name] = Entry(name, member is None, None if member is None else member.nbytes)
        return list(found.values())

    async def _path(self, key: str) -> tuple[Contents, str]:
        """Return what is in the file, and the name that a key has in it."""
        root = await self._root
        path = f"{root}/{key}" if root and key else root or key
        return await self._file.contents(), path

    async def _find_root(self) -> str:
        contents = await self._file.contents()
        return await asyncio.to_thread(self._root_in, contents.directory)

    def _root_in(self, directory: Directory) -> str:
        inside = self._inside
        if inside and directory.holds(inside):
            return inside
        found = roots(directory.names, DOCUMENTS)
        if not found:
            raise _without_zarr(directory, self._file.where)
        if inside:
            below = [f"{path}/{inside}" for path in found if path]
            held = [path for path in below if directory.holds(path)]
            return held[0] if len(held) == 1 else inside
        if len(found) > 1:
            some = ", ".join(f"{self.where}/{path}" for path in found[:4])
            why = f"{len(found)} folders in it hold Zarr data. Open one of them: {some}"
            raise _unreadable(why, self.where)
        return found[0]


def _without_zarr(directory: Directory, where: str) -> NotOmeZarrError:
    names = directory.names
    shown = ", ".join(repr(name[:100]) for name in names[:3])
    inner = next((name for name in names if name.lower().endswith((".zip", ".ozx"))), None)
    return NotOmeZarrError(
        "Could not read the zip file",
        where=where,
        why=f"none of its {len(names):,} members is the metadata of a Zarr"
        + (f"; it holds {shown}{' and more' if len(names) > 3 else ''}" if names else ""),
        hint="A zip file inside a zip file is not read; unpack the outer one."
        if inner
        else "Zipped OME-Zarr holds zarr.json or .zattrs.",
    )


def _unreadable(why: str, where: str, key: str = "") -> MetadataError:
    return MetadataError("Could not read the zip file", where=where, key=key, why=why)
