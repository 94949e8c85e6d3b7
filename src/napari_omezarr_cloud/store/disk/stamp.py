"""When bytes still count: what a server says of its documents, and what follows for the rest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.store.protocol import Bytes

__all__ = ["ABSENT", "Answers", "SeenDocuments", "Stamp", "is_document", "validator"]

_DOCUMENTS = frozenset(
    ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata", "METADATA.ome.xml")
)
_DECIDING = ("zarr.json", ".zarray", ".zattrs")
"""Of a folder: those whose change may mean other voxels. Of an array, its own document alone."""

ABSENT = "absent"
"""Validator of what is not there."""

_FOLDERS = 2
"""How many folders with documents, from a chunk upwards, decide: its array's and its image's. More
would keep apart what a plate and a link to one of its fields have in common."""

_MOST_REMEMBERED = 4096


def is_document(key: str) -> bool:
    """Tell whether a key is that of a metadata document."""
    return key.rpartition("/")[2] in _DOCUMENTS


@dataclass(frozen=True)
class Stamp:
    """What a server says of the version of an object."""

    e_tag: str | None = None
    last_modified: float | None = None
    """In seconds since 1970, UTC."""


def validator(stamp: Stamp | None, data: Bytes | None) -> str:
    """Return a text that is another one when a document has changed.

    ETag and Last-Modified together: the ETag of many servers is a checksum, which stays when an
    image is written again with the same metadata. Without either, a checksum of the document.
    """
    if data is None:
        return ABSENT
    if stamp is None or (stamp.e_tag is None and stamp.last_modified is None):
        return f"sha256:{hashlib.sha256(data).hexdigest()}"
    return f"{stamp.e_tag or ''}|{'' if stamp.last_modified is None else stamp.last_modified}"


class Answers:
    """Keeps the stamps of the documents that came, for whoever stores them."""

    def __init__(self, single_file: str | None = None) -> None:
        self._single_file = single_file
        self._stamps: dict[str, Stamp] = {}

    def note(self, key: str, meta: Mapping[str, Any]) -> None:
        """Remember what obstore says of an answer (its ``ObjectMeta``)."""
        if is_document(key) or key == self._single_file:
            modified = meta["last_modified"].timestamp()
            # 1970 stands for a server that does not say.
            self._stamps[key] = Stamp(meta.get("e_tag"), modified if modified > 0 else None)

    def stamp(self, key: str) -> Stamp | None:
        """Return the stamp of a document's last answer."""
        return self._stamps.get(key)


class SeenDocuments:
    """The documents of one opened place, and which version of the chunks they stand for."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, tuple[str, float | None]]] = {}
        self._known: dict[str, tuple[bytes, float | None] | None] = {}

    def note(self, key: str, version: str, modified: float | None) -> None:
        """Take note of a document that is there; chunks asked for from now on go with it."""
        folder, _, name = key.rpartition("/")
        if name in _DECIDING and version != ABSENT:
            self._folders.setdefault(folder, {})[name] = (version, modified)
            self._known.clear()

    def note_file(self, key: str, version: str, modified: float | None) -> None:
        """Take note of a file that holds everything, itself its only document."""
        self._folders[key] = {"": (version, modified)}
        self._known.clear()

    def version(self, key: str) -> tuple[bytes, float | None] | None:
        """Return what tells a chunk's versions apart, and when its documents were changed last.

        Returns
        -------
        tuple or None
            None where no document is known that the chunk goes with: nobody could tell later
            whether it still counts.
        """
        folder = key if key in self._folders else key.rpartition("/")[0]
        if folder not in self._known:
            if len(self._known) > _MOST_REMEMBERED:
                self._known.clear()
            self._known[folder] = self._version(folder)
        return self._known[folder]

    def _version(self, folder: str) -> tuple[bytes, float | None] | None:
        deciding: list[str] = []
        changed: list[float] = []
        found = 0
        for each in _upwards(folder):
            documents = self._folders.get(each)
            if documents:
                names = (".zarray",) if ".zarray" in documents else sorted(documents)
                deciding += (f"{name}={documents[name][0]}" for name in names)
                changed += (m for name in names if (m := documents[name][1]) is not None)
                found += 1
                if found == _FOLDERS:
                    break
        if not found:
            return None
        digest = hashlib.sha256("\n".join(deciding).encode()).digest()
        return digest, max(changed, default=None)


def _upwards(folder: str) -> list[str]:
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
