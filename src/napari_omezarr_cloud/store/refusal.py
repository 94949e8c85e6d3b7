"""What a refusal means: servers answer absent keys with 403, 400 or a page, too."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.store.failures import may_mean_absent
from napari_omezarr_cloud.store.wrapping import StoreWrapper

if TYPE_CHECKING:
    from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, ByteStore

__all__ = ["RefusalStore"]

_RECHECK_S = 30.0


class RefusalStore(StoreWrapper):
    """Wrap a store so that a refused key counts as absent while its metadata stay readable.

    Once ``witness`` names a key that was readable when the image was opened, a refusal is checked
    against it, at most every 30 s. If the witness is refused too, access was lost (a token ran
    out) and the refusal is passed on. ``denied`` counts the keys taken for absent.
    """

    def __init__(self, inner: ByteStore) -> None:
        super().__init__(inner)
        self.witness: str | None = None
        self.denied = 0
        self._checked_at = float("-inf")
        self._let_in = True
        self._check = asyncio.Lock()

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        try:
            return await self._inner.get(key, byte_range)
        except CloudError as error:
            if not may_mean_absent(error) or self.witness is None or key == self.witness:
                raise
            if not await self._is_let_in(self.witness):
                raise
            self.denied += 1
            return None

    async def _is_let_in(self, witness: str) -> bool:
        async with self._check:
            if time.monotonic() - self._checked_at > _RECHECK_S:
                try:
                    self._let_in = await self._inner.get(witness) is not None
                except CloudError as error:
                    if not may_mean_absent(error):
                        raise
                    self._let_in = False
                self._checked_at = time.monotonic()
            return self._let_in
