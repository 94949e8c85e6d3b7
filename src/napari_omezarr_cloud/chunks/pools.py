"""Where decoding and computing happen: two pools that never wait for anything, and processes."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.chunks.workers import NotSendableError, Workers, packed_call
from napari_omezarr_cloud.store import forbid_waiting
from napari_omezarr_cloud.store.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pools"]


class Pools:
    """A decode and a compute pool, apart: a slow filter must not hold up arriving chunks."""

    def __init__(
        self, decode_threads: int | None = None, compute_threads: int | None = None
    ) -> None:
        cores = os.cpu_count() or 2
        self._decode = ThreadPoolExecutor(
            decode_threads or min(4, max(2, cores)), "omezarr-decode", initializer=forbid_waiting
        )
        threads = compute_threads or max(1, cores)
        self._compute = ThreadPoolExecutor(threads, "omezarr-compute", initializer=forbid_waiting)
        self._turns = Gate(threads)
        self.workers = Workers()

    async def decode(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run ``function`` in the decode pool."""
        return await asyncio.get_running_loop().run_in_executor(self._decode, function, *args)

    async def compute(
        self, function: Callable[..., Any], *args: Any, in_process: bool = False
    ) -> Any:
        """Run ``function`` in the compute pool, the most urgent first; cancelled, it is dropped.

        Parameters
        ----------
        function, args
            Pure, and for a process: importable, with arguments that can be pickled.
        in_process
            Run it in a process of its own, which cancelling kills. What cannot be sent there, such
            as a function of a notebook, runs in the compute pool all the same.

        Raises
        ------
        OperationError
            In a process only: if it ended, or if the function raised what is no `CloudError`.
        """
        loop = asyncio.get_running_loop()
        if in_process and self.workers.can_start:
            message = await loop.run_in_executor(self._compute, packed_call, function, args)
            if message is not None:
                try:
                    return await self.workers.run(message)
                except NotSendableError:
                    pass
        # A pool would take what came first: what is on screen comes before what is measured aside.
        async with self._turns.enter():
            return await loop.run_in_executor(self._compute, function, *args)

    def limit(self, threads: int) -> None:
        """Let no more functions run at a time; on the loop."""
        self._turns.resize(threads)

    def rerank(self) -> None:
        """Ask everyone who waits to compute for its urgency again (after the view has moved)."""
        self._turns.rerank()

    def close(self) -> None:
        """Drop what has not started."""
        self._decode.shutdown(wait=False, cancel_futures=True)
        self._compute.shutdown(wait=False, cancel_futures=True)
        self.workers.close()
