"""Whether the wells of a plate are alike, so that one's array metadata may stand for all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ["Alike"]

_WITNESSES = 8
_LEAST = 4
"""Of the witnesses, which must be there and alike."""


class Alike:
    """What the first tiles that are looked at say of their arrays: whether they are as the model's.

    They ask for everything of their own. The others wait for what they say, which comes in the same
    round trip as their own documents.
    """

    def __init__(self) -> None:
        self._witnesses: list[Once[bool | None]] = []
        self._heard: Once[bool] = Once(self._hear)
        self._is_refuted = False

    def witness(self, ask: Callable[[], Coroutine[Any, Any, bool | None]]) -> Once[bool | None]:
        """Make a tile one of the first; ``ask`` finds out, None: the tile is not there."""
        self._witnesses.append(Once(ask))
        self._heard = Once(self._hear)
        return self._witnesses[-1]

    @property
    def needs_witnesses(self) -> bool:
        """Whether the next tile is one of the first."""
        return len(self._witnesses) < _WITNESSES and not self._is_refuted

    def refute(self) -> None:
        """Note that a tile was found to be different: from now on each is asked."""
        self._is_refuted = True

    async def verdict(self) -> bool:
        """Return whether the first tiles are alike."""
        return not self._is_refuted and await self._heard and not self._is_refuted

    async def _hear(self) -> bool:
        said = await asyncio.gather(*self._witnesses)
        return False not in said and said.count(True) >= _LEAST
