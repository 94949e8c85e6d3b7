"""Connected components of a whole image from those of its blocks.

First each block is labelled for itself; its labels are kept beside the notes of the write, and its
outermost voxels by themselves. Then labels that touch across blocks are one object, by the
connected components of the graph of what touches; at last every block is read back and renumbered.
Blocks that were labelled stay so when the write breaks off.
"""

from __future__ import annotations

import asyncio
import io
import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.pyramid.documents import WRITE_NOTES
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_omezarr_cloud.pyramid import Index, Region
    from napari_omezarr_cloud.store import ByteStore
    from napari_omezarr_cloud.write.blocks import Source
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.waves import Wave

__all__ = [
    "FACES_KEPT",
    "MergedLabels",
    "Merging",
    "NumberedLabels",
    "block_name",
    "packed_labels",
    "renumbered",
    "touching",
    "unpacked_faces",
]

Array = npt.NDArray[Any]

FACES_KEPT = 128
"""Blocks whose outermost voxels are in memory: the next ones touch them."""
_AT_ONCE = 1 << 18
"""Voxels that are renumbered together."""
_FACES_AT_ONCE = 32
"""Blocks of which they are read together."""


@dataclass(frozen=True)
class Merging:
    """How objects go on across the borders of blocks."""

    space: tuple[int, ...]
    """Axes of the plan along which they do; along the others every position is alone."""
    connectivity: int
    """Along how many axes two neighbouring voxels of one object may differ."""

    @property
    def steps(self) -> list[Index]:
        """Along space, from a block to half of those it touches: of the others it is the next."""
        steps = itertools.product((-1, 0, 1), repeat=len(self.space))
        ahead = (step for step in steps if step > (0,) * len(step))
        return [step for step in ahead if sum(map(abs, step)) <= self.connectivity]


class NumberedLabels:
    """A source of labels that are unique in the whole image: those of blocks, renumbered.

    Parameters
    ----------
    store, wave, dtype
        Where they are kept, how the finest level is cut into blocks, and what labels become.
    ids
        For each block that is read, the numbers that its labels 1, 2 … have in the whole image.
    """

    def __init__(
        self,
        store: ByteStore,
        wave: Wave,
        dtype: npt.DTypeLike,
        ids: Callable[[Index], Array],
    ) -> None:
        self._store, self._wave, self._dtype, self._ids = store, wave, np.dtype(dtype), ids

    def read(self, level: int, region: Region) -> Array:
        """Return a block of the finest level."""
        index = tuple(a // b for a, b in zip(region.start, self._wave.block, strict=True))
        ids = self._ids(index)
        if not len(ids):
            return np.zeros(region.shape, self._dtype)
        key = _key("labels", index)
        raw = io_thread().wait(self._store.get(key))
        if raw is None:
            raise _lost(self._store, key)
        return renumbered(bytes(raw), ids, self._dtype).reshape(region.shape)


class MergedLabels:
    """Labels that are unique in the whole image, from those of blocks.

    Parameters
    ----------
    plan, wave
        What is written, and its first wave.
    source
        Gives the labels of a block, numbered from 1 for itself.
    store
        Root of the image that is written.
    merging
        How objects go on.
    is_cancelled
        Asked before each block.
    """

    def __init__(
        self,
        plan: Plan,
        wave: Wave,
        source: Source,
        store: ByteStore,
        merging: Merging,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._wave = wave
        self._dtype = np.dtype(plan.dtype)
        self._source = source
        self._store = store
        self._merging = merging
        self._is_cancelled = is_cancelled
        self._ids: Array = np.zeros(1, np.int64)
        self._first: dict[Index, int] = {}
        self._counts: dict[Index, int] = {}
        self._faces: OrderedDict[Index, Mapping[str, Array]] = OrderedDict()

    def blocks(self) -> Iterator[Index]:
        """Yield the blocks."""
        return itertools.product(*map(range, self._wave.block_counts))

    def labelled(self) -> set[str]:
        """Return the names of the blocks that are labelled already; waits."""
        entries = io_thread().wait(self._store.list(f"{WRITE_NOTES}/faces"))
        return {entry.name for entry in entries}

    def label(self, index: Index) -> None:
        """Label a block for itself; on an ordinary thread.

        Raises
        ------
        CloudError
            If it cannot be read, or what is kept of it cannot be written.
        """
        if self._is_cancelled():
            raise WriteError("Writing was cancelled", where=self._store.where)
        labels = self._source.read(0, self._wave.block_region(0, index))
        kept, faces = packed_labels(labels, self._merging.space)
        if kept:
            self._put("labels", index, kept)
        # What tells that the block is done comes last.
        self._put("faces", index, faces)

    def merge(self) -> int:
        """Find what touches across blocks, and return the number of objects; waits.

        Raises
        ------
        WriteError
            If there are more objects than the labels can number.
        CloudError
            If what was kept of a block cannot be read.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        total = 0
        counts: dict[Index, int] = {}
        for some in self._some_blocks():
            self._read_faces(some)
            for index in some:
                self._first[index] = total
                counts[index] = int(self._faces[index]["count"])
                total += counts[index]
        pairs = [np.empty((0, 2), np.int64)]
        for some in self._some_blocks():
            for index in some:
                there = (self._beyond(index, step) for step in self._merging.steps)
                self._read_faces([index, *(each for each in there if counts.get(each))])
                if counts[index]:
                    pairs += self._pairs(index, counts)
        edges = np.concatenate(pairs)
        graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (total, total))
        _, found = connected_components(graph, directed=False)
        # Numbered as they come, whatever order the components are found in.
        _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(1, len(first) + 1)
        if len(first) > np.iinfo(self._dtype).max:
            raise WriteError(
                "Could not number the objects",
                where=self._store.where,
                why=f"there are {len(first):,}, more than {self._dtype.name} holds",
            )
        self._ids = rank[inverse]
        self._counts = counts
        self._faces.clear()
        return len(first)

    def _pairs(self, index: Index, counts: Mapping[Index, int]) -> Iterator[Array]:
        """Yield the pairs of labels, numbered through, that touch in a block and its next ones."""
        space = self._merging.space
        for step in self._merging.steps:
            there = self._beyond(index, step)
            if not counts.get(there):
                continue
            here = self._side(index, step, "last", "first")
            beyond = self._side(there, step, "first", "last")
            free = [axis for axis, d in zip(space, step, strict=True) if not d]
            more = self._merging.connectivity - sum(map(abs, step))
            found = touching(here, beyond, free, more)
            if len(found):
                yield found + np.array([self._first[index] - 1, self._first[there] - 1])

    def _some_blocks(self) -> Iterator[list[Index]]:
        """Yield the blocks, a few at a time, unless it was cancelled."""
        left = self.blocks()
        while some := list(itertools.islice(left, _FACES_AT_ONCE)):
            if self._is_cancelled():
                raise WriteError("Writing was cancelled", where=self._store.where)
            yield some

    def _beyond(self, index: Index, step: Index) -> Index:
        other = list(index)
        for axis, d in zip(self._merging.space, step, strict=True):
            other[axis] += d
        return tuple(other)

    def _side(self, index: Index, step: Index, ahead: str, behind: str) -> Array:
        """Return the voxels of a block on the side that a step goes to (or comes from)."""
        sides = [
            (axis, ahead if d > 0 else behind)
            for axis, d in zip(self._merging.space, step, strict=True)
            if d
        ]
        (axis, side), *more = sides
        face: Array = self._faces[index][f"{axis}{side}"]
        for axis, side in more:
            face = face.take([0 if side == "first" else -1], axis)
        return face

    def ids(self, index: Index) -> Array:
        """Return the numbers that the labels 1, 2 … of a block have in the whole image."""
        first = self._first[index]
        return self._ids[first : first + self._counts[index]]

    def numbered(self) -> NumberedLabels:
        """Return the source of what was merged."""
        return NumberedLabels(self._store, self._wave, self._dtype, self.ids)

    def _put(self, what: str, index: Index, raw: bytes) -> None:
        io_thread().wait(self._store.put(_key(what, index), raw))

    def _read_faces(self, indices: Sequence[Index]) -> None:
        """Have the outermost voxels of these blocks in memory, at least."""

        async def read(index: Index) -> Mapping[str, Array]:
            raw = await self._store.get(_key("faces", index))
            if raw is None:
                raise _lost(self._store, _key("faces", index))
            return unpacked_faces(bytes(raw))

        async def read_all(missing: list[Index]) -> list[Mapping[str, Array]]:
            return await asyncio.gather(*map(read, missing))

        missing = [index for index in indices if index not in self._faces]
        self._faces.update(zip(missing, io_thread().wait(read_all(missing)), strict=True))
        for index in indices:
            self._faces.move_to_end(index)
        while len(self._faces) > max(FACES_KEPT, len(indices)):
            self._faces.popitem(last=False)


def packed_labels(labels: Array, space: Sequence[int]) -> tuple[bytes, bytes]:
    """Return what is kept of a block: its labels, and its outermost voxels.

    Parameters
    ----------
    labels
        Of a block; each position along other axes than ``space`` was numbered from 1 for itself.
    space
        Axes along which objects go on.

    Returns
    -------
    bytes, bytes
        The first are empty where there is no object.
    """
    from numcodecs import Blosc

    codec = Blosc("zstd", clevel=1)
    numbered, count = _numbered(labels, space)
    arrays: dict[str, Any] = {"count": np.int64(count)}
    if count:
        for axis in space:
            arrays[f"{axis}first"] = numbered.take([0], axis)
            arrays[f"{axis}last"] = numbered.take([-1], axis)
    held = io.BytesIO()
    np.savez(held, **arrays)
    kept = codec.encode(np.ascontiguousarray(numbered)) if count else b""
    return bytes(kept), bytes(codec.encode(held.getvalue()))


def renumbered(kept: bytes, ids: Array, dtype: npt.DTypeLike) -> Array:
    """Return the labels that `packed_labels` kept, flat, with the numbers of the whole image."""
    from numcodecs import Blosc

    labels = np.frombuffer(Blosc().decode(kept), np.uint32)
    numbers = np.concatenate([[0], ids]).astype(dtype)
    found = np.empty(labels.size, dtype)
    for first in range(0, labels.size, _AT_ONCE):  # numpy makes int64 of what it takes by
        part = slice(first, first + _AT_ONCE)
        np.take(numbers, labels[part], out=found[part], mode="clip")
    return found


def unpacked_faces(raw: bytes) -> Mapping[str, Array]:
    """Return the outermost voxels of a block, that `packed_labels` gave, by axis and side."""
    from numcodecs import Blosc

    with np.load(io.BytesIO(Blosc().decode(raw)), allow_pickle=False) as held:
        return dict(held)


def _numbered(labels: Array, space: Sequence[int]) -> tuple[Array, int]:
    """Return a block in which no two positions along other axes share a number, and the most."""
    others = [a for a in range(labels.ndim) if a not in space]
    labels = labels.astype(np.uint32)
    by_position = np.moveaxis(labels, others, range(len(others)))
    count = 0
    for position in np.ndindex(*by_position.shape[: len(others)]):
        part = by_position[position]
        most = int(part.max(initial=0))
        if count and most:
            part[part > 0] += count
        count += most
    return labels, count


def _key(what: str, index: Index) -> str:
    return f"{WRITE_NOTES}/{what}/{block_name(index)}"


def _lost(store: ByteStore, key: str) -> WriteError:
    return WriteError(
        "Could not join the objects of the blocks",
        where=store.where,
        key=key,
        why="what was kept of a block is gone",
        hint="Delete the unfinished image, and run it again.",
    )


def block_name(index: Index) -> str:
    """Return how the notes call a block."""
    return ".".join(map(str, index))


def touching(here: Array, beyond: Array, free: Sequence[int], more: int) -> Array:
    """Return the pairs of labels that touch across a border, each once.

    Parameters
    ----------
    here, beyond
        Labels on both sides, of one shape; 0 is background.
    free
        Axes along the border.
    more
        Along how many of these two touching voxels may differ, by one voxel each.

    Returns
    -------
    ndarray of int64
        ``(pair, 2)``.
    """
    found = []
    for shift in itertools.product((-1, 0, 1), repeat=len(free)):
        if sum(map(abs, shift)) > more:
            continue
        mine, its = [slice(None)] * here.ndim, [slice(None)] * here.ndim
        for axis, d in zip(free, shift, strict=True):
            n = here.shape[axis]
            mine[axis] = slice(max(0, -d), n - max(0, d))
            its[axis] = slice(max(0, d), n - max(0, -d))
        a, b = here[tuple(mine)].ravel(), beyond[tuple(its)].ravel()
        both = (a > 0) & (b > 0)
        found.append(np.stack([a[both], b[both]], axis=1).astype(np.int64))
    return np.unique(np.concatenate(found), axis=0)
