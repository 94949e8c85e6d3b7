"""What is at a place and below it, so that it can be named before it is overwritten."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.ngff.values import listed, plain_text
from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES, join
from napari_omezarr_cloud.store.protocol import Entry
from napari_omezarr_cloud.write.claiming import PLAN_KEY, Notes
from napari_omezarr_cloud.write.groups import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_omezarr_cloud.store import ByteStore

__all__ = ["Contents", "contents_of", "entries_at", "kind_of"]

_DOCUMENTS = frozenset((*ROOT, ".zmetadata"))
_LITTER = re.compile(
    r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|(\.(zarr\.json|z[a-z]+)\.lock|(zarr\.json|\.z[a-z]+)#\d+)"
)
"""What systems leave in folders, and what we do: locks, and documents that are not yet whole."""
_CHUNK = re.compile(r"c|\d+|(c\.)?\d+(\.\d+)*")
_MOST_NAMED = 5


@dataclass
class Contents:
    """What is at a place; paths below it."""

    kind: str = ""
    """``"image"``, ``"array"``, ``"plate"``, ``"well"``, ``"collection"`` or ``"group"``; empty: no
    Zarr."""
    name: str = ""
    """Of the image."""
    labels: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    """Other images, and arrays that are no level of one."""
    files: list[str] = field(default_factory=list)
    """What is no Zarr."""
    begun: list[Notes] = field(default_factory=list)
    """Of writes below it that did not end."""

    @property
    def is_more(self) -> bool:
        """Whether there is more than an image with its labels and tables."""
        return self.kind in ("plate", "well", "collection") or bool(self.images or self.files)

    def in_words(self) -> str:
        """Return all of it in words; names only the first of many."""
        if not self.kind:
            return _named(self.files)
        found = [
            f"{what} ({_named(names)})"
            for what, names in (
                ("labels", [path.rpartition("/")[2] for path in self.labels]),
                ("tables", [path.rpartition("/")[2] for path in self.tables]),
                ("other images", self.images),
                ("other files", self.files),
            )
            if names
        ]
        what = f"{'an' if self.kind in ('image', 'array') else 'a'} {self.kind}"
        what += f" “{self.name}”" * bool(self.name)
        return f"{what} with {listed(found)}" if found else what


async def contents_of(store: ByteStore) -> Contents:
    """Find out what is at a place and below it; looks into all groups, and into no array.

    Ends where there is more than can be named; of what is no Zarr, only the first level is named.

    Raises
    ------
    CloudError
        If that cannot be found out.
    """
    search = _Search(store)
    await search.look_into("")
    return search.found


async def entries_at(store: ByteStore, path: str = "") -> Sequence[Entry]:
    """Return the names directly below a path: of a folder all, and not just those of objects."""
    place = store.location
    if place.kind != "file" or not os.path.isdir(place.key):  # a zip is a file
        # An object without a name is what stands for an empty folder in consoles of buckets.
        return [entry for entry in await store.list(path) if entry.name]

    def listed_there() -> list[Entry]:
        with os.scandir(os.path.join(place.key, path)) as found:
            return [Entry(each.name, each.is_dir()) for each in found]

    try:
        return await asyncio.to_thread(listed_there)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise WriteError(
            "Could not find out what is there",
            where=str(place),
            key=path,
            why=error.strerror or str(error),
        ) from error


def kind_of(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what the documents of a folder say that it is, as `Contents.kind`."""
    if not documents:
        return ""
    if ".zarray" in documents or documents.get("zarr.json", {}).get("node_type") == "array":
        return "array"
    said: dict[str, Any] = {}
    for attributes in _attributes(documents):
        said |= attributes
    for name, kind in (
        ("plate", "plate"),
        ("well", "well"),
        ("multiscales", "image"),
        ("bioformats2raw.layout", "collection"),
        ("series", "collection"),
        ("collection", "collection"),
    ):
        if name in said:
            return kind
    return "group"


def _named(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")


def _attributes(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for found in (documents.get("zarr.json", {}).get("attributes"), documents.get(".zattrs")):
        if isinstance(found, dict):
            inner = found.get("ome")
            yield inner if isinstance(inner, dict) else found


class _Search:
    def __init__(self, store: ByteStore) -> None:
        self._store = store
        self._levels: set[str] = set()
        """Arrays that images name; not looked into."""
        self.found = Contents()

    async def look_into(self, path: str) -> None:
        entries = await entries_at(self._store, path)
        names = {entry.name for entry in entries}
        keys = [name for name in ROOT if name in names]
        raw = await asyncio.gather(*(self._store.get(join(path, name)) for name in keys))
        documents = {n: parsed(each) for n, each in zip(keys, raw, strict=True) if each is not None}
        kind = kind_of(documents)
        if not path:
            self.found.kind, self.found.name = kind, _name(documents)
            if not kind and WRITE_NOTES not in names:
                self._note(each.name for each in entries)
                return  # any folder, which may be the whole disk
        elif kind == "image":
            is_label = re.fullmatch("labels/[^/]+", path)
            (self.found.labels if is_label else self.found.images).append(path)
        if kind == "array":
            self._look_at_array(path, entries)
            return
        self._levels |= {join(path, each) for each in _level_paths(documents)}
        self._levels |= {join(path, each) for each in await self._unfinished(path, names)}
        self._note_files(path, entries)
        if kind == "plate" or len(self.found.images) + len(self.found.files) > _MOST_NAMED:
            return  # that says enough, and there may be thousands
        below = [join(path, each.name) for each in entries if each.is_prefix]
        below = [each for each in below if each.rpartition("/")[2] != WRITE_NOTES]
        if path == "tables":
            self.found.tables += below
            return
        await asyncio.gather(*(self.look_into(each) for each in below if each not in self._levels))

    def _look_at_array(self, path: str, entries: Sequence[Entry]) -> None:
        if path:
            self.found.images.append(path)
        strange = [each.name for each in entries if not _CHUNK.fullmatch(each.name)]
        self._note(join(path, each) for each in strange if each not in _DOCUMENTS)

    async def _unfinished(self, path: str, names: set[str]) -> list[str]:
        """Return the levels that a write has begun, of which there are no documents yet."""
        if WRITE_NOTES not in names:
            return []
        notes = Notes.of(await self._store.get(join(path, PLAN_KEY)))
        if notes is None:
            return []
        if path:
            self.found.begun.append(notes)
        plan = notes.identity.get("plan")
        return list(_paths(plan.get("levels") if isinstance(plan, dict) else None))

    def _note_files(self, path: str, entries: Sequence[Entry]) -> None:
        files = [each.name for each in entries if not each.is_prefix]
        if path.rpartition("/")[2] == "OME":
            files = [each for each in files if each != "METADATA.ome.xml"]
        self._note(join(path, each) for each in files if each not in _DOCUMENTS)

    def _note(self, keys: Iterator[str]) -> None:
        for key in keys:
            if not _LITTER.fullmatch(key.rpartition("/")[2]):
                self.found.files.append(key.encode("utf-8", "replace").decode())


def _name(documents: Mapping[str, Mapping[str, Any]]) -> str:
    for attributes in _attributes(documents):
        images = attributes.get("multiscales")
        first = images[0] if isinstance(images, list) and images else None
        name = plain_text(first.get("name")) if isinstance(first, dict) else None
        if name:
            return name
    return ""


def _level_paths(documents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for attributes in _attributes(documents):
        images = attributes.get("multiscales")
        for image in images if isinstance(images, list) else []:
            yield from _paths(image.get("datasets") if isinstance(image, dict) else None)


def _paths(levels: Any) -> Iterator[str]:
    for level in levels if isinstance(levels, list) else []:
        path = level.get("path") if isinstance(level, dict) else None
        if isinstance(path, str):
            yield path.strip("/")
