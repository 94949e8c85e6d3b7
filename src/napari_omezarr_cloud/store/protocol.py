"""The one seam to bytes. Everything else (sharing, counting, caching) wraps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["ByteRange", "ByteStore", "Bytes", "Entry"]

Bytes = bytes | memoryview
"""What a store hands out: read-only, never copied where that can be avoided."""


@dataclass(frozen=True)
class ByteRange:
    """A part of an object.

    ``start`` counts bytes from the beginning; negative, from the end (``ByteRange(-20)`` is the
    last 20 bytes). ``length`` is ignored for a suffix and None means "to the end".

    Where the server sends no parts of objects, one of at most ``whole_up_to`` bytes is returned
    whole. More than ``at_most`` bytes are refused before they are fetched; ``ByteRange(0,
    at_most=n)`` is the whole object, and asked for as such.
    """

    start: int
    length: int | None = None
    whole_up_to: int = 0
    at_most: int | None = None


@dataclass(frozen=True)
class Entry:
    """One line of a listing: a name directly below a prefix."""

    name: str
    is_prefix: bool
    nbytes: int | None = None


class ByteStore(Protocol):
    """Bytes by key, below one root. All methods run on the I/O loop."""

    @property
    def location(self) -> Location:
        """Where the root is, with the way in: what another process needs to open it again."""
        ...

    @property
    def where(self) -> str:
        """Display form of the root, without credentials or query."""
        ...

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        """Return the bytes, or None when there is no such key.

        Raises
        ------
        CloudError
            ``UnreachableError``, ``AccessRefusedError`` or ``ServerError``, naming the key.
        """
        ...

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        """Do not keep what `get` returned for this: it makes no sense, so ask again next time."""
        ...

    async def put(self, key: str, data: Bytes) -> None:
        """Write one object, whole."""
        ...

    async def delete(self, key: str) -> None:
        """Delete one object; a missing one is no error."""
        ...

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        """Return the names directly below ``prefix``; stores that cannot list raise."""
        ...
