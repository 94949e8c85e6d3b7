"""The directory of a zip file: where each member lies. Pure; reads nothing.

Format: PKWARE's APPNOTE.TXT 6.3.10. The end of the file says where the directory is (sections
4.3.14 to 4.3.16). Python's ``zipfile`` needs the file itself, and a KB for each member.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

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
_ENTRY, _ENTRY_BYTES = b"PK\x01\x02", 46
_FIELDS = struct.Struct("<8xHH4xIIIHHH8xI")
_IN_EXTRA = 0xFFFFFFFF
_IS_UTF8 = 1 << 11
_LARGEST_FILE = 1 << 62
_MAX_DIRECTORY_BYTES = 128 << 20
_MAX_MEMBERS = 1_500_000
"""Their names take about 200 bytes each."""


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

    Of a million members only the names are kept as such; the rest is read when it is asked for.

    Parameters
    ----------
    raw
        The directory as it lies in the file.
    places
        By name, with ``/`` between its parts, where in ``raw`` a member's entry is.
    begins
        Where the members begin in the file and, last, where they end; ascending.
    notes
        What is odd about them, in sentences.
    """

    def __init__(
        self,
        raw: bytes,
        places: Mapping[str, int],
        begins: NDArray[np.int64],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.notes = notes
        self._raw = raw
        self._places = places
        self._begins = begins
        self._names = sorted(places)

    @property
    def names(self) -> Sequence[str]:
        """All names, in order."""
        return self._names

    def get(self, name: str) -> Member | None:
        """Return a member; None if there is no such."""
        at = self._places.get(name)
        if at is None:
            return None
        entry = _entry(self._raw, at)
        following = int(np.searchsorted(self._begins, entry.offset, side="right"))
        return Member(
            name=name,
            offset=entry.offset,
            end=int(self._begins[following]),
            stored_bytes=entry.stored_bytes,
            nbytes=entry.nbytes,
            method=entry.method,
            crc=entry.crc,
            is_encrypted=bool(entry.flags & 1),
        )

    def holds(self, path: str) -> bool:
        """Tell whether there is a member of this name, or anything below a folder."""
        if path in self._places:
            return True
        at = bisect_left(self._names, f"{path}/")
        return at < len(self._names) and self._names[at].startswith(f"{path}/")

    def below(self, folder: str) -> Iterator[tuple[str, Member | None]]:
        """Yield the names directly below a folder ("": the top); without a member for a folder.

        Takes steps per name that it yields, however many members there are.
        """
        base = f"{folder}/" if folder else ""
        at = bisect_left(self._names, base)
        while at < len(self._names) and self._names[at].startswith(base):
            name = self._names[at]
            first, slash, _ = name[len(base) :].partition("/")
            yield first, None if slash else self.get(name)
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
        wanted = [name for name in self._names if name.rpartition("/")[2] in last_parts]
        members = [member for member in map(self.get, wanted) if member is not None]
        found: dict[str, range] = {}
        together: list[Member] = []
        for member in sorted(members, key=lambda m: m.offset):
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
    if place.offset > _LARGEST_FILE or len(raw) < place.nbytes:
        raise ZipError("its directory is not where it says; the file may be cut off")
    places: dict[str, int] = {}
    begins, stored = array("q"), array("q")
    again: set[str] = set()
    left_out: list[str] = []
    at = 0
    while at < place.nbytes:
        entry = _entry(raw, at)
        if entry.offset + _LOCAL_BYTES + entry.stored_bytes > place.offset:
            raise _overlapping()
        begins.append(entry.offset)
        stored.append(entry.stored_bytes)
        name = _path(entry.name)
        if name is None:
            left_out.append(entry.name)
        elif name and not entry.name.endswith(("/", "\\")):
            if name in places:
                again.add(name)
            places[name] = at
        at = entry.end
    return Directory(raw, places, _in_order(begins, stored, place.offset), _notes(again, left_out))


def _in_order(begins: array[int], stored: array[int], stop: int) -> NDArray[np.int64]:
    """Return where members begin, ascending, and where they end; they must not overlap."""
    offsets = np.array(begins, np.int64)
    order = np.argsort(offsets, kind="stable")
    whole = np.append(offsets[order], stop)
    ends = whole[:-1] + _LOCAL_BYTES + np.array(stored, np.int64)[order]
    if (ends > whole[1:]).any():
        raise _overlapping()
    return whole


def _overlapping() -> ZipError:
    return ZipError("its members overlap, as in a file that is made to do harm")


class _Entry(NamedTuple):
    """One entry of the directory (APPNOTE 4.3.12)."""

    name: str
    flags: int
    method: int
    crc: int
    stored_bytes: int
    nbytes: int
    offset: int
    end: int
    """Where in the directory the next one begins."""


def _entry(raw: bytes, at: int) -> _Entry:
    if raw[at : at + 4] != _ENTRY or len(raw) < at + _ENTRY_BYTES:
        raise ZipError("its directory cannot be read: it is damaged")
    flags, method, crc, stored, nbytes, of_name, of_extra, of_comment, offset = _FIELDS.unpack_from(
        raw, at
    )
    begin = at + _ENTRY_BYTES
    end = begin + of_name + of_extra + of_comment
    if len(raw) < end:
        raise ZipError("its directory cannot be read: it is cut off")
    if _IN_EXTRA in (stored, nbytes, offset):
        extra = raw[begin + of_name : begin + of_name + of_extra]
        nbytes, stored, offset = _zip64(extra, (nbytes, stored, offset))
    name = _text(raw[begin : begin + of_name].partition(b"\0")[0], is_utf8=bool(flags & _IS_UTF8))
    return _Entry(name, flags, method, crc, stored, nbytes, offset, end)


def _zip64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return values of which those too large for their field are in the extra field (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, nbytes = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            large = [
                int(n) for (n,) in struct.iter_unpack("<Q", extra[at + 4 :][: nbytes // 8 * 8])
            ]
            if len(large) < values.count(_IN_EXTRA):
                break
            first, second, third = (large.pop(0) if v == _IN_EXTRA else v for v in values)
            return first, second, third
        at += 4 + nbytes
    raise ZipError("its directory cannot be read: a large member's place (ZIP64) is not said")


def _text(raw: bytes, *, is_utf8: bool) -> str:
    """Return a name: UTF-8, or code page 437 (APPNOTE, appendix D).

    Many writers use UTF-8 and do not say so; words in the other seldom happen to be valid in it.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        return raw.decode("utf-8", "replace") if is_utf8 else raw.decode("cp437")


def _path(name: str) -> str | None:
    """Return a name as a path below the top; None if it would lead out.

    Windows' own tools have written backslashes.
    """
    if "\\" in name:
        name = name.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        return None
    if "./" in name or "//" in name or name.endswith((".", "..")):
        parts = name.split("/")
        if ".." in parts:
            return None
        name = "/".join(part for part in parts if part not in ("", "."))
    return name


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
