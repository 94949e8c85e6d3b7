"""Bytes that are kept for a while, the least recently used given up first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_omezarr_cloud.store.protocol import Bytes

__all__ = ["RecentBytes"]


class RecentBytes:
    """Keep bytes by name, up to ``most`` bytes together; what came last is kept in any case."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Bytes] = OrderedDict()
        self.nbytes = 0

    def get(self, name: Hashable) -> Bytes | None:
        """Return what was kept, if it still is."""
        value = self._values.get(name)
        if value is not None:
            self._values.move_to_end(name)
        return value

    def put(self, name: Hashable, value: Bytes) -> None:
        """Keep bytes, in the place of others."""
        self._drop(name)
        self._values[name] = value
        self.nbytes += len(value)
        while self.nbytes > self._most and len(self._values) > 1:
            self._drop(next(iter(self._values)))

    def _drop(self, name: Hashable) -> None:
        value = self._values.pop(name, None)
        self.nbytes -= 0 if value is None else len(value)
