"""The directory of a zip file: where each member lies. Pure; reads nothing.

Format: PKWARE's APPNOTE.TXT 6.3.10. The end of the file says where the directory is (sections
4.3.14 to 4.3.16); its entries are read by Python's own ``zipfile``.
"""

from __future__ import annotations

import io
import struct
import zipfile
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

__all__ = [
    "END_BYTES",
    "Directory",
    "DirectoryPlace",
    "Member",
    "ZipError",
    "data_offset",
    "parse_directory",
    "parse_end",
    "parse_end64",
    "roots",
]

END_BYTES = 22 + (1 << 16) - 1
"""The longest end: its record and a comment."""

_END, _END64, _LOCATOR64, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04"
_LOCAL_BYTES = 30
_IS_UTF8 = 1 << 11
_MAX_DIRECTORY_BYTES = 48 << 20
_MAX_MEMBERS = 400_000
"""What is made of them takes about a KB each while they are read."""


class ZipError(Exception):
    """A zip file that cannot be read; says why."""


@dataclass(frozen=True)
class DirectoryPlace:
    """Where the directory lies in the file."""

    offset: int
    nbytes: int
    after: int = 0
    """Bytes of the file after it, where it lies right before its own record; 0: not known."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the zip."""

    name: str
    offset: int
    """Of its local header, which is before its bytes."""
    end: int
    """Where the next member, or the directory, begins."""
    stored_bytes: int
    """As they lie in the file."""
    nbytes: int
    method: int
    crc: int
    is_encrypted: bool


class Directory:
    """What is in a zip file, by path.

    Parameters
    ----------
    members
        By name, with ``/`` between its parts; none leads out.
    notes
        What is odd about them, in sentences.
    """

    def __init__(self, members: Mapping[str, Member], notes: tuple[str, ...] = ()) -> None:
        self.members = members
        self.notes = notes
        self._names = sorted(members)

    def holds(self, folder: str) -> bool:
        """Tell whether anything lies below a folder; "" is the top."""
        return next(self.below(folder), None) is not None

    def below(self, folder: str) -> Iterator[tuple[str, Member | None]]:
        """Yield the names directly below a folder, each with its member; None for a folder.

        Takes steps per name that it yields, however many members there are.
        """
        base = f"{folder}/" if folder else ""
        at = bisect_left(self._names, base)
        while at < len(self._names) and self._names[at].startswith(base):
            name = self._names[at]
            first, slash, _ = name[len(base) :].partition("/")
            yield first, None if slash else self.members[name]
            at = bisect_left(self._names, f"{base}{first}0", at) if slash else at + 1

    def runs(self, last_parts: Collection[str], *, most: int, gap: int) -> dict[str, range]:
        """Return for members of these names which bytes of the file hold it and its like.

        Members near one another share a run, so that one request brings them all.

        Parameters
        ----------
        last_parts
            Last parts of the names: those of metadata.
        most, gap
            Bytes of the longest run, and of the longest stretch between two of its members.
        """
        wanted = [m for m in self.members.values() if m.name.rpartition("/")[2] in last_parts]
        found: dict[str, range] = {}
        together: list[Member] = []
        for member in sorted(wanted, key=lambda m: m.offset):
            if together and (
                member.end - together[0].offset > most or member.offset - together[-1].end > gap
            ):
                found |= _run(together)
                together = []
            if member.end - member.offset <= most:
                together.append(member)
        return found | _run(together)


def _run(members: Sequence[Member]) -> dict[str, range]:
    if not members:
        return {}
    span = range(members[0].offset, members[-1].end)
    return {member.name: span for member in members}


def parse_end(tail: bytes) -> DirectoryPlace | int:
    """Return where the directory is.

    Parameters
    ----------
    tail
        The last bytes of the file; `END_BYTES` are enough for all but ZIP64.

    Returns
    -------
    DirectoryPlace or int
        The offset of the record that says it, where that is not within the tail (ZIP64).

    Raises
    ------
    ZipError
        If this is no zip file.
    """
    at = tail.rfind(_END)
    while at >= 0 and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise ZipError("it does not end as a zip file does; it may be cut off, or something else")
    disk, first, here, count, nbytes, offset = struct.unpack("<HHHHII", tail[at + 4 : at + 20])
    if disk not in (0, 0xFFFF) or first not in (0, 0xFFFF):
        raise ZipError("it is one part of a split archive")
    if at < 20 or tail[at - 20 : at - 16] != _LOCATOR64:
        return _checked(offset, nbytes, max(count, here), len(tail) - at)
    (where,) = struct.unpack("<Q", tail[at - 12 : at - 4])
    found = tail.rfind(_END64, 0, at)
    return int(where) if found < 0 else parse_end64(tail[found:], len(tail) - found)


def parse_end64(record: bytes, after: int = 0) -> DirectoryPlace:
    """Return where the directory is, from the record of a ZIP64 file.

    ``after`` is how many bytes of the file there are from the record on, where that is known.

    Raises
    ------
    ZipError
        If this is no such record.
    """
    if len(record) < 56 or record[:4] != _END64:
        raise ZipError("the record of its directory (ZIP64) is not where it says")
    _, count, nbytes, offset = struct.unpack("<QQQQ", record[24:56])
    return _checked(offset, nbytes, count, after)


def _checked(offset: int, nbytes: int, count: int, after: int) -> DirectoryPlace:
    if nbytes > _MAX_DIRECTORY_BYTES or count > _MAX_MEMBERS:
        raise ZipError(
            f"its directory of {count:,} members and {nbytes / 1e6:,.0f} MB is too large to be read"
        )
    return DirectoryPlace(offset, nbytes, after)


def parse_directory(place: DirectoryPlace, raw: bytes) -> Directory:
    """Return what is in the file.

    Parameters
    ----------
    place, raw
        Where the directory is, and its bytes.

    Raises
    ------
    ZipError
        If it makes no sense, or its members overlap.
    """
    end = struct.pack("<4sHHHHIIH", _END, 0, 0, 0, 0, place.nbytes, 0, 0)
    try:
        with zipfile.ZipFile(io.BytesIO(raw[: place.nbytes] + end)) as directory:
            infos = directory.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ZipError(f"its directory cannot be read ({error})") from error
    ends = _ends(infos, place)
    members: dict[str, Member] = {}
    again: set[str] = set()
    left_out: list[str] = []
    for info in infos:
        name = _name(info)
        if name is None:
            left_out.append(info.filename)
        elif not info.is_dir() and name[-1:] != "/":
            if name in members:
                again.add(name)
            members[name] = _member(info, name, ends[info.header_offset])
    return Directory(members, _notes(again, left_out))


def _ends(infos: list[zipfile.ZipInfo], place: DirectoryPlace) -> dict[int, int]:
    """Return by its offset where each member ends at the latest: where the next thing begins."""
    begins = sorted((info.header_offset, info.compress_size) for info in infos)
    nexts = [offset for offset, _ in begins[1:]] + [place.offset]
    for (offset, nbytes), after in zip(begins, nexts, strict=False):
        if offset + _LOCAL_BYTES + nbytes > after:
            raise ZipError("its members overlap, as in a file that is made to do harm")
    return {offset: after for (offset, _), after in zip(begins, nexts, strict=False)}


def _name(info: zipfile.ZipInfo) -> str | None:
    """Return the path of a member below the top; None if it would lead out.

    Names are UTF-8 where they say so and code page 437 where not (APPNOTE, appendix D); many
    writers do not say so. Windows' own tools have written backslashes.
    """
    name = info.filename
    if not (info.flag_bits & _IS_UTF8 or name.isascii()):
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    if "\\" in name:
        name = name.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        return None
    if "./" in name or "//" in name or name.endswith(".."):
        parts = name.split("/")
        if ".." in parts:
            return None
        name = "/".join(part for part in parts if part not in ("", "."))
    return name


def _member(info: zipfile.ZipInfo, name: str, end: int) -> Member:
    return Member(
        name=name,
        offset=info.header_offset,
        end=end,
        stored_bytes=info.compress_size,
        nbytes=info.file_size,
        method=info.compress_type,
        crc=info.CRC,
        is_encrypted=bool(info.flag_bits & 1),
    )


def _notes(again: set[str], left_out: list[str]) -> tuple[str, ...]:
    notes = []
    if again:
        notes.append(
            f"The zip file holds {_some(again)} more than once; the last of each was taken."
        )
    if left_out:
        notes.append(
            f"The zip file names {_some(left_out)}, which would lie outside of it; left out."
        )
    return tuple(notes)


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(repr(name[:100]) for name in names[:3]) + more


def data_offset(header: bytes) -> int:
    """Return how many bytes a member's local header takes, up to its own bytes.

    Raises
    ------
    ZipError
        If no header is there.
    """
    if len(header) < _LOCAL_BYTES or header[:4] != _LOCAL:
        raise ZipError("a member is not where its directory says; there may be data before the zip")
    name, extra = struct.unpack("<HH", header[26:30])
    return int(_LOCAL_BYTES + name + extra)


def roots(names: Iterable[str], documents: Iterable[str]) -> list[str]:
    """Return the outermost folders of a zip that hold one of these documents; "" is the top."""
    documents = set(documents)
    parts = (name.rpartition("/") for name in names)
    found = {folder for folder, _, name in parts if name in documents}
    if "" in found:
        return [""]
    outermost: list[str] = []
    # By parts, so that what is inside a folder follows it at once: one look back is enough.
    for path in sorted(found, key=lambda folder: folder.split("/")):
        if not outermost or not path.startswith(f"{outermost[-1]}/"):
            outermost.append(path)
    return outermost
