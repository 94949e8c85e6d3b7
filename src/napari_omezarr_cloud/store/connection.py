"""A place in the network with all that belongs to reading it: requests, counters, disk cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.store.caching import CachingStore
from napari_omezarr_cloud.store.counting import CountingStore, Traffic
from napari_omezarr_cloud.store.disk import disk_cache, is_switched_off
from napari_omezarr_cloud.store.disk.stamp import Answers
from napari_omezarr_cloud.store.gathering import GatheringStore
from napari_omezarr_cloud.store.remote import RemoteStore

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.store.protocol import ByteStore

__all__ = ["Connection", "connect"]


@dataclass(frozen=True)
class Connection:
    """A store, and what it counts."""

    store: ByteStore
    traffic: Traffic
    caching: CachingStore | None = None
    """The store, where the disk cache is in use."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person must know of where the bytes came from."""
        note = None if self.caching is None else self.caching.offline_note
        return () if note is None else (note,)


def connect(root: Location, *, anonymous: bool, single_file: str | None = None) -> Connection:
    """Return a store for a place; asks nobody. Local folders are never kept a second time.

    Parameters
    ----------
    root
        Its root.
    anonymous
        Send no signature.
    single_file
        Key of the one file that is read there, a zip.

    Raises
    ------
    LinkError, NotFoundError, AccessRefusedError
        As `build_obstore` does.
    """
    traffic = Traffic()
    if root.kind == "file":
        remote = RemoteStore(root, anonymous=anonymous, traffic=traffic)
        return Connection(CountingStore(remote, traffic), traffic)
    answers = Answers(single_file)
    remote = RemoteStore(root, anonymous=anonymous, on_answer=answers.note, traffic=traffic)
    gathering = GatheringStore(CountingStore(remote, traffic))
    if is_switched_off():
        return Connection(gathering, traffic)
    caching = CachingStore(
        gathering,
        disk_cache(),
        root,
        answers,
        traffic,
        anonymous=anonymous,
        single_file=single_file,
    )
    return Connection(caching, traffic, caching)
