"""Levels whose chunks lie in a store."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import ChunkError, ServerError
from napari_omezarr_cloud.pyramid.array_metadata import parse_array
from napari_omezarr_cloud.pyramid.level import ABSENT, Chunk, Decodes, Grid, Runner, new_key
from napari_omezarr_cloud.pyramid.sharding import MISSING
from napari_omezarr_cloud.store import ByteRange, Bytes, ByteStore
from napari_omezarr_cloud.store.gate import Gate
from napari_omezarr_cloud.store.late import LateStore
from napari_omezarr_cloud.store.once import Once
from napari_omezarr_cloud.store.remote import GATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.pyramid.array_metadata import ArrayDescription
    from napari_omezarr_cloud.pyramid.region import Index
    from napari_omezarr_cloud.pyramid.sharding import Sharding
    from napari_omezarr_cloud.pyramid.transform import Transform

__all__ = ["StoredLevel"]

_KEPT_INDICES = 1024
_KEPT_INDEX_BYTES = 2**26
_SWAPPED = str.maketrans("./", "/.")


_LARGE, _MEDIUM = 2**26, 2**23
_large, _medium, _indices = Gate(1), Gate(4), Gate(2)


def _room_for(nbytes: int) -> AbstractAsyncContextManager[None]:
    """Wait for room to fetch and decode: of large chunks only one, of medium ones a few at once."""
    if nbytes > _LARGE:
        return _large.enter()
    return _medium.enter() if nbytes > _MEDIUM else nullcontext()


class StoredLevel:
    """One array of an OME-Zarr, read chunk by chunk."""

    is_derived = False

    def __init__(
        self, store: ByteStore, path: str, description: ArrayDescription, transform: Transform
    ) -> None:
        self.key = new_key()
        self.store = store
        self.path = path
        self.description = description
        self.transform = transform
        self.grid: Grid = description.grid
        self._other_separator: Once[bool] | None = None
        """Whether chunks have another separator than stated; asked for the first that is absent."""
        self._has_stated_separator = False
        self._indices: OrderedDict[str, Once[npt.NDArray[np.uint64] | None]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        # As a place: another process has connections and credentials of its own.
        document = dict(self.description.document)
        return _again, (self.store.location, self.path, document, self.transform)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path

    @property
    def found(self) -> tuple[str, ...]:
        """What turned out to be odd when chunks were read, in sentences."""
        if self._other_separator is None or not self._other_separator.value:
            return ()
        return (f"Level {self.path!r} has its chunks under another separator than it states.",)

    @property
    def places(self) -> frozenset[Location]:
        """Where its chunks come from."""
        return frozenset((self.store.location.child(self.path),))

    def jobs(self, indices: Sequence[Index]) -> Iterable[tuple[Index, ...]]:
        """Group chunks that are best produced in one go."""
        return ((index,) for index in indices)

    async def produce(self, indices: tuple[Index, ...], runner: Runner) -> Mapping[Index, Chunk]:
        """Produce these chunks; awaits on the loop."""
        chunks = await asyncio.gather(*(self._produce(index, runner) for index in indices))
        return dict(zip(indices, chunks, strict=True))

    async def look_up(self, index: Index, runner: Decodes) -> None:
        """Read and keep what says where a chunk lies in its shard."""
        sharding = self.description.sharding
        if sharding is not None:
            await self._shard_index(self._key(index), sharding, runner)

    async def _produce(self, index: Index, runner: Runner) -> Chunk:
        async with _room_for(self.description.chunk_nbytes):
            return await self._produced(index, runner)

    async def _produced(self, index: Index, runner: Runner) -> Chunk:
        key = self._key(index)
        raw = await self._fetch(key, index, runner)
        self._has_stated_separator |= raw is not None
        if raw is None and await self._is_under_other_separator(index, runner):
            key = self._key(index, other=True)
            raw = await self._fetch(key, index, runner)
        if raw is None:
            return ABSENT
        # Handed over: what was encoded is let go before what comes out of it is copied.
        parcel, raw = [raw], None
        try:
            return await runner.decode(self._decode, parcel, index, key)  # type: ignore[no-any-return]
        except ChunkError:
            await self._distrust(key, index)
            raise

    async def _distrust(self, key: str, index: Index) -> None:
        """Have a chunk asked for again next time, and not taken from where it is kept."""
        sharding = self.description.sharding
        if sharding is None:
            await self.store.distrust(key, self._whole)
            return
        table = self._indices[key].value if key in self._indices else None
        if table is not None:
            offset, nbytes = map(int, table[self.description.place_in_shard(index)])
            await self.store.distrust(key, ByteRange(offset, nbytes))

    @property
    def _whole(self) -> ByteRange:
        return ByteRange(0, at_most=self.description.most_nbytes)

    def _key(self, index: Index, *, other: bool = False) -> str:
        key = self.description.object_key(index)
        if other:
            key = key.translate(_SWAPPED)
        return f"{self.path}/{key}".lstrip("/")

    async def _is_under_other_separator(self, index: Index, runner: Runner) -> bool:
        """Ask once a level: some writers name chunks 0.0 and say 0/0, or the reverse."""
        if self._has_stated_separator and self._other_separator is None:
            return False
        key = self._key(index, other=True)
        if key == self._key(index):
            return False
        if self._other_separator is None:

            async def begin() -> bool:
                return await self._fetch(key, index, runner) is not None

            self._other_separator = Once(begin)
        return await self._other_separator

    async def _fetch(self, key: str, index: Index, runner: Runner) -> Bytes | None:
        sharding = self.description.sharding
        if sharding is None:
            return await self.store.get(key, self._whole)
        table = await self._shard_index(key, sharding, runner)
        if table is None:
            return None
        offset, nbytes = map(int, table[self.description.place_in_shard(index)])
        if offset == MISSING and nbytes == MISSING:
            return None
        if offset + nbytes > 2**62 or nbytes > self.description.most_nbytes:
            raise self._bad(key, "its shard's index points outside the shard")
        if nbytes == 0:
            return b""
        try:
            raw = await self.store.get(key, ByteRange(offset, nbytes))
        except ServerError as error:
            if error.status != 416:
                raise
            raw = None
        if raw is None or len(raw) != nbytes:
            await self.store.distrust(key, ByteRange(offset, nbytes))
            raise self._bad(key, "its shard is shorter than its index says")
        return raw

    async def _shard_index(
        self, key: str, sharding: Sharding, runner: Decodes
    ) -> npt.NDArray[np.uint64] | None:
        """Return a shard's index; read once, shared by all who ask meanwhile, kept."""
        known = self._indices.get(key)
        if known is None:

            async def begin() -> npt.NDArray[np.uint64] | None:
                return await self._read_index(key, sharding, runner)

            known = self._indices[key] = Once(begin, on_urgent=GATE.rerank)
            most = max(2, min(_KEPT_INDICES, _KEPT_INDEX_BYTES // sharding.index_nbytes))
            if len(self._indices) > most:
                self._indices.popitem(last=False)
        else:
            self._indices.move_to_end(key)
        return await known

    async def _read_index(
        self, key: str, sharding: Sharding, runner: Decodes
    ) -> npt.NDArray[np.uint64] | None:
        async with _indices.enter() if sharding.index_nbytes > _MEDIUM else nullcontext():
            return await self._index_read(key, sharding, runner)

    async def _index_read(
        self, key: str, sharding: Sharding, runner: Decodes
    ) -> npt.NDArray[np.uint64] | None:
        size = sharding.index_nbytes
        part = ByteRange(-size) if sharding.index_at_end else ByteRange(0, size)
        raw = await self.store.get(key, part)
        if raw is None:
            return None
        if len(raw) != size:
            await self.store.distrust(key, part)
            raise self._bad(key, f"its shard's index has {len(raw)} bytes instead of {size}")
        try:
            return await runner.decode(sharding.decode_index, raw)  # type: ignore[no-any-return]
        except Exception as error:  # any codec's own error
            await self.store.distrust(key, part)
            raise self._bad(key, f"its shard's index is broken ({error})") from error

    def _decode(self, parcel: list[Bytes], index: Index, key: str) -> Chunk:
        """Decode and cut to the level's edge; in the decode pool."""
        size = len(parcel[0])
        try:
            pixels = self.description.decode(parcel.pop())
        except ChunkError as error:
            raise self._bad(key, error.why) from error
        except MemoryError as error:
            raise self._bad(key, "it does not fit into memory") from error
        except Exception as error:  # codecs raise anything: RuntimeError, ValueError, zlib.error
            raise self._bad(key, f"its bytes cannot be decoded ({str(error)[:120]})") from error
        inside = self.grid.region_of(index).shape
        if inside != pixels.shape:
            pixels = np.ascontiguousarray(pixels[tuple(map(slice, inside))])
        elif pixels.base is not None and not pixels.flags.owndata and pixels.nbytes < size // 2:
            pixels = pixels.copy()
        pixels.flags.writeable = False
        return pixels

    def _bad(self, key: str, why: str) -> ChunkError:
        return ChunkError(
            "Could not read a chunk",
            where=self.store.where,
            key=key,
            why=why,
            hint="The other chunks can still be read.",
        )

    def zarr_array(self) -> Any:
        """Return a :class:`zarr.Array` over the same store; sends no request."""
        import zarr
        from zarr.storage import StorePath

        from napari_omezarr_cloud.store.zarr_store import ZarrStore

        place = StorePath(ZarrStore(self.store), self.path)
        return zarr.Array.from_dict(place, dict(self.description.document))


def _again(
    location: Location, path: str, document: Mapping[str, Any], transform: Transform
) -> StoredLevel:
    """Return a level that another process knew; asks nobody before a chunk is wanted."""
    description = parse_array(document, where=str(location), key=path)
    name = ".zarray" if document.get("zarr_format") == 2 else "zarr.json"
    store = LateStore(location, f"{path}/{name}".lstrip("/"))
    return StoredLevel(store, path, description, transform)
