"""What loading costs beside the bare client and tensorstore."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks import child
from benchmarks.table import Row, as_ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.lines import Line

__all__ = ["COLUMNS", "ask"]

COLUMNS = ("this plugin", "obstore", "obstore and decoding", "tensorstore")

_READ = """
    import asyncio, math, sys, time
    from concurrent.futures import ThreadPoolExecutor
    import obstore
    from obstore.store import HTTPStore
    import napari_omezarr_cloud as noc
    from napari_omezarr_cloud.chunks import Engine
    from napari_omezarr_cloud.pyramid import Region
    try:
        import tensorstore as ts
    except ImportError:
        ts = None

    server, image, rounds = sys.argv[1], "/plane05.zarr", int(sys.argv[2])
    parallel = 64
    level = noc.open(server + image).pyramid.levels[0]
    side = min(4096, level.grid.shape[-1])
    box = Region((0, 0, 0), (2, side, side))
    keys = [f"0/{level.description.object_key(i)}" for i in level.grid.touching(box)]
    options = {"allow_http": True, "timeout": "300s"}
    store = HTTPStore(server + image, client_options=options)

    async def bare(decode=None):
        gate = asyncio.Semaphore(parallel)
        async def one(key):
            async with gate:
                raw = await (await obstore.get_async(store, key)).bytes_async()
            if decode is None:
                return raw
            return await asyncio.get_running_loop().run_in_executor(pool, decode, raw)
        # Kept, as a reader keeps them: memory that is used again costs nothing.
        return await asyncio.gather(*map(one, keys))

    # What a reader cannot do without: decoded by the same codecs, while the next bytes come.
    pool = ThreadPoolExecutor(2)

    def opened():
        # Its metadata are read here, and not timed; ours have been read too.
        context = ts.Context({
            "http_request_concurrency": {"limit": parallel},
            "data_copy_concurrency": {"limit": 2},
        })
        where = {"driver": "http", "base_url": server, "path": image + "/0/"}
        return ts.open({"driver": "zarr3", "kvstore": where}, context=context).result()

    def timed(work):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    def by_tensorstore():
        if ts is None:
            return math.nan
        array = opened()
        return timed(lambda: array[:2, :side, :side].read().result())

    Engine(1 << 31).load(level, box)  # connections, imports
    times = [(timed(lambda: Engine(1 << 31).load(level, box)),
              timed(lambda: asyncio.run(bare())),
              timed(lambda: asyncio.run(bare(level.description.decode))),
              by_tensorstore()) for _ in range(rounds)]
    print(*(sorted(column)[len(times) // 2] for column in zip(*times)))
"""


def ask(lines: Iterable[tuple[Line, str]], rounds: int) -> Iterator[Row]:
    """Yield how near loading comes to others at the same parallelism, on each line."""
    for line, url in lines:
        ours, bare, decoded, peer = child.numbers(_READ, url, str(rounds))
        answers = (f"{ours:.2f} s", *(as_ratio(each, ours) for each in (bare, decoded, peer)))
        fastest = min(each for each in (decoded, peer) if not math.isnan(each))
        yield Row(f"chunks at {line.name}", answers, "≥ 0.85×", fastest / ours >= 0.85)
