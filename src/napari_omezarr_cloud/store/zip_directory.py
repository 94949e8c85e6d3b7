"""The directory of a zip file: where each member lies. Pure; reads nothing.

Python's ``zipfile`` needs the file itself, and a KB for each member.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.store.zip_records import LOCAL_BYTES, ZipError, parse_entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_omezarr_cloud.store.zip_records import DirectoryPlace

__all__ = ["Directory", "Member", "parse_directory", "roots"]

_LARGEST_FILE = 1 << 62


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
        entry = parse_entry(self._raw, at)
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
        entry = parse_entry(raw, at)
        if entry.offset + LOCAL_BYTES + entry.stored_bytes > place.offset:
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
    ends = whole[:-1] + LOCAL_BYTES + np.array(stored, np.int64)[order]
    if (ends > whole[1:]).any():
        raise _overlapping()
    return whole


def _overlapping() -> ZipError:
    return ZipError("its members overlap, as in a file that is made to do harm")


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
