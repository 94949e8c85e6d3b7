"""What there is below a place: its documents, its arrays, how many objects and bytes they have.

Where the server lists, listings tell; elsewhere the metadata, from which the keys of all chunks
follow. Of an array of many objects only the first are counted.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError, NotFoundError
from napari_omezarr_cloud.pyramid.documents import ROOT, WRITE_NOTES, join
from napari_omezarr_cloud.store.disk.stamp import is_document
from napari_omezarr_cloud.store.failures import may_mean_absent
from napari_omezarr_cloud.write.groups import children_of, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_omezarr_cloud.store.objects import ObjectFound, ObjectStore

__all__ = ["ArrayObjects", "Inventory", "explore"]

_MOST_COUNTED = 100_000
"""Objects of an array that are counted one by one."""
_SAMPLES = 4
_MOST_GUESSED = 4096
"""Images of a series that nobody counts, of which each is asked for in turn."""


@dataclass(frozen=True)
class ArrayObjects:
    """The objects of one array."""

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """Voxels per axis of an object: of a shard, where the array is sharded."""
    head: str
    """What the key of each begins with: ``"c/"``."""
    separator: str
    count: int = 0
    nbytes: int = 0
    is_exact: bool = False

    @property
    def voxels(self) -> int:
        """Number of voxels; the array with the fewest is the coarsest."""
        return math.prod(self.shape)

    @property
    def grid(self) -> tuple[int, ...]:
        """Objects per axis, if all are stored."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def key(self, index: Sequence[int]) -> str:
        """Return the key of an object."""
        return join(self.path, self.head + (self.separator.join(map(str, index)) or "0"))

    def keys(self) -> Iterator[str]:
        """Yield the keys of all objects, stored or not."""
        if not self.shape and self.head:
            yield join(self.path, self.head.rstrip("./"))
            return
        for index in itertools.product(*map(range, self.grid)):
            yield self.key(index)

    @classmethod
    def of(cls, path: str, document: dict[str, Any]) -> ArrayObjects | None:
        """Return what the document of an array says; None if it makes no sense."""
        try:
            shape = tuple(int(n) for n in document["shape"])
            if document.get("zarr_format") == 2:
                chunks, head = document["chunks"], ""
                separator = document.get("dimension_separator", ".")
            else:
                chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
                encoding = document.get("chunk_key_encoding") or {}
                is_plain = encoding.get("name") == "v2"
                configured = encoding.get("configuration") or {}
                separator = configured.get("separator", "." if is_plain else "/")
                head = "" if is_plain else f"c{separator}"
            sizes = tuple(int(n) for n in chunks)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        is_good = len(sizes) == len(shape) and all(n >= 0 for n in shape) and all(sizes)
        return cls(path, shape, sizes, head, separator) if is_good else None


@dataclass(frozen=True)
class Inventory:
    """All that is below a place."""

    documents: tuple[str, ...]
    """Keys of the metadata, those nearest to the top first."""
    arrays: tuple[ArrayObjects, ...] = ()
    """From the coarsest to the finest."""
    folders: tuple[str, ...] = ()
    """Those that hold other files, too; where the server lists."""
    others: int = 0
    """Such files, and their bytes."""
    others_nbytes: int = 0
    documents_nbytes: int = 0
    is_listed: bool = True

    @property
    def count(self) -> int:
        """Objects; where they are not listed, as many as there can be."""
        return len(self.documents) + self.others + sum(each.count for each in self.arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of all objects."""
        return self.documents_nbytes + self.others_nbytes + sum(each.nbytes for each in self.arrays)

    @property
    def is_exact(self) -> bool:
        """Whether each object was counted."""
        return all(each.is_exact for each in self.arrays)


async def explore(
    store: ObjectStore, *, is_listed: bool, on_found: Callable[[int], None] = lambda _: None
) -> Inventory:
    """Find out what is below a place; runs on the I/O loop.

    Parameters
    ----------
    store
        Its root.
    is_listed
        Whether the server lists; else there must be metadata.
    on_found
        Called, on the loop, with how many objects were found so far.

    Raises
    ------
    NotFoundError
        If there is nothing, or nothing that tells what there is.
    CloudError
        As the server says.
    """
    found = _Explorer(store, on_found)
    await (found.listed("") if is_listed else found.named(""))
    if not is_listed and not found.documents:
        raise NotFoundError(
            "Could not find out what there is",
            where=store.where,
            why="the server lists no files, and there is no metadata of Zarr that would tell",
            hint="Give the link of an image, a plate or a group.",
        )
    return found.inventory(is_listed)


class _Explorer:
    def __init__(self, store: ObjectStore, on_found: Callable[[int], None]) -> None:
        self._store = store
        self._tell = on_found
        self._count = 0
        self.documents: dict[str, int] = {}
        self._arrays: list[ArrayObjects] = []
        self._folders: list[str] = []
        self._others = self._others_nbytes = 0
        self._seen: set[str] = set()

    def inventory(self, is_listed: bool) -> Inventory:
        documents = sorted(self.documents, key=lambda key: (key.count("/"), key))
        return Inventory(
            documents=tuple(documents),
            arrays=tuple(sorted(self._arrays, key=lambda each: (each.voxels, each.path))),
            folders=tuple(sorted(self._folders)),
            others=self._others,
            others_nbytes=self._others_nbytes,
            documents_nbytes=sum(self.documents.values()),
            is_listed=is_listed,
        )

    async def _documents_of(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a folder; what others wrote may make no sense."""
        names = (*ROOT, ".zmetadata")
        answers = await asyncio.gather(
            *(self._store.get(join(path, name)) for name in names), return_exceptions=True
        )
        found = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, CloudError) and may_mean_absent(answer):
                continue
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                self.documents[join(path, name)] = len(answer)
                found[name] = parsed(answer)
        self._found(len(found))
        return found

    def _found(self, more: int) -> None:
        self._count += more
        self._tell(self._count)

    def _array(self, path: str, documents: dict[str, dict[str, Any]]) -> ArrayObjects | None:
        document = documents.get(".zarray")
        if document is None and documents.get("zarr.json", {}).get("node_type") == "array":
            document = documents["zarr.json"]
        if document is None:
            return None
        found = ArrayObjects.of(path, document)
        return ArrayObjects(path, (), (), "", "/") if found is None else found

    # ---- where the server lists ---------------------------------------------------------------

    async def listed(self, path: str) -> None:
        documents = await self._documents_of(path)
        array = self._array(path, documents)
        if array is not None:
            self._arrays.append(await self._counted(array))
            return
        folders, objects = await self._store.look_into(path)
        others = [each for each in objects if not is_document(each.key)]
        for each in objects:
            if is_document(each.key):
                self.documents[each.key] = each.nbytes
        if others:
            self._folders.append(path)
            self._others += len(others)
            self._found(len(others))
            self._others_nbytes += sum(each.nbytes for each in others)
        left = [each for each in folders if each != WRITE_NOTES]
        await asyncio.gather(*map(self.listed, left))

    async def _counted(self, array: ArrayObjects) -> ArrayObjects:
        count = nbytes = 0
        async for page in self._store.walk(array.path):
            mine = [each for each in page if not self._note(each)]
            count += len(mine)
            self._found(len(mine))
            nbytes += sum(each.nbytes for each in mine)
            if count > _MOST_COUNTED and math.prod(array.grid) > count:
                whole = math.prod(array.grid)
                return replace(array, count=whole, nbytes=round(nbytes / count * whole))
        return replace(array, count=count, nbytes=nbytes, is_exact=True)

    def _note(self, found: ObjectFound) -> bool:
        if not is_document(found.key):
            return False
        self.documents[found.key] = found.nbytes
        return True

    # ---- where only the metadata tell ---------------------------------------------------------

    async def named(self, path: str) -> bool:
        """Explore a group or array by its metadata; tell whether it is there."""
        if path in self._seen:
            return True
        self._seen.add(path)
        documents = await self._documents_of(path)
        if not documents:
            return False
        array = self._array(path, documents)
        if array is not None:
            self._arrays.append(await self._sampled(array))
            return True
        above, _, name = path.rpartition("/")
        children = children_of(documents, name)
        inner = [join(path, each) for each in _with_steps(children.paths)]
        beside = [join(above, each) for each in children.siblings]
        await asyncio.gather(*map(self.named, [*inner, *beside]))
        if children.is_series:
            for number in range(_MOST_GUESSED):
                if not await self.named(join(path, str(number))):
                    break
        for file in children.files:
            raw = await self._store.get(join(path, file))
            if raw is not None:
                self.documents[join(path, file)] = len(raw)
        return True

    async def _sampled(self, array: ArrayObjects) -> ArrayObjects:
        """Estimate the bytes of an array by a few of its objects, evenly spread."""
        whole = math.prod(array.grid)
        places = {whole * (2 * n + 1) // (2 * _SAMPLES) for n in range(_SAMPLES) if whole}
        indices = [_unravel(place, array.grid) for place in sorted(places)]
        for each in (array, _other_separator(array)):
            answers = await asyncio.gather(*(self._size(each.key(i)) for i in indices))
            sizes = [size for size in answers if size is not None]
            if sizes:
                # What is blank is not stored: as many as among these, about.
                return replace(each, count=whole, nbytes=sum(sizes) * whole // len(indices))
        return replace(array, count=whole)

    async def _size(self, key: str) -> int | None:
        try:
            found = await self._store.find(key)
        except CloudError:
            return None  # an estimate only: the download will hear of it
        return None if found is None else found.nbytes


def _with_steps(paths: Sequence[str]) -> list[str]:
    """Return paths and the groups on the way to them: of a well A/1, its row A."""
    steps = (itertools.accumulate(path.split("/"), join) for path in paths)
    return list(dict.fromkeys(itertools.chain.from_iterable(steps)))


def _other_separator(array: ArrayObjects) -> ArrayObjects:
    """Return it with the other separator: some writers name chunks 0.0 and say 0/0."""
    other = "." if array.separator == "/" else "/"
    return replace(array, separator=other, head=array.head.replace(array.separator, other))


def _unravel(place: int, grid: Sequence[int]) -> tuple[int, ...]:
    index = []
    for n in reversed(grid):
        place, at = divmod(place, n)
        index.append(at)
    return tuple(reversed(index))
