"""The one seam to bytes: obstore behind a small protocol, and wrappers around it."""

from napari_omezarr_cloud.store.access import OpenedStore, open_store
from napari_omezarr_cloud.store.counting import CountingStore, Traffic
from napari_omezarr_cloud.store.inside import InsideStore, open_inside
from napari_omezarr_cloud.store.io_thread import IoThread, Waits, forbid_waiting, io_thread
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore, Entry
from napari_omezarr_cloud.store.remote import RemoteStore
from napari_omezarr_cloud.store.sharing import SharingStore

__all__ = [
    "ByteRange",
    "ByteStore",
    "Bytes",
    "CountingStore",
    "Entry",
    "InsideStore",
    "IoThread",
    "OpenedStore",
    "RemoteStore",
    "SharingStore",
    "Traffic",
    "Waits",
    "forbid_waiting",
    "io_thread",
    "open_inside",
    "open_store",
]
