"""What loading costs beside the bare client, and what opening and importing cost at all."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from benchmarks.viewing import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ask_imports", "ask_memory", "ask_throughput"]


def _python(code: str, *arguments: str) -> list[float]:
    """Run code in a fresh process and return the numbers that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return [float(number) for number in done.stdout.split()]


_THROUGHPUT = """
    import asyncio, sys, time
    from concurrent.futures import ThreadPoolExecutor
    import obstore
    from obstore.store import HTTPStore
    import napari_omezarr_cloud as noc
    from napari_omezarr_cloud.chunks import Engine
    from napari_omezarr_cloud.pyramid import Region

    url, rounds = sys.argv[1] + "/plane05.zarr", int(sys.argv[2])
    level = noc.open(url).pyramid.levels[0]
    side = min(4096, level.grid.shape[-1])
    box = Region((0, 0, 0), (2, side, side))
    keys = [f"0/{level.description.object_key(i)}" for i in level.grid.touching(box)]
    store = HTTPStore(url, client_options={"allow_http": True, "timeout": "300s"})

    async def bare(decode=None):
        gate = asyncio.Semaphore(64)
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

    def timed(work):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    Engine(1 << 31).load(level, box)  # connections, imports
    times = [(timed(lambda: asyncio.run(bare())),
              timed(lambda: asyncio.run(bare(level.description.decode))),
              timed(lambda: Engine(1 << 31).load(level, box))) for _ in range(rounds)]
    print(*(sorted(column)[len(times) // 2] for column in zip(*times)))
"""


def ask_throughput(urls: dict[str, str], rounds: int) -> Iterator[Row]:
    """Yield how near loading comes to the bare client, at each latency of ``urls``."""
    for latency, url in urls.items():
        bare, decoded, ours = _python(_THROUGHPUT, url, str(rounds))
        yield Row(
            f"chunks at {latency}, fetched and decoded",
            f"{ours:.2f} s",
            "",
            f"obstore {bare:.2f} s ({bare / ours:.2f}×), "
            f"with decoding {decoded:.2f} s ({decoded / ours:.2f}×)",
            "≥ 0.85×",
            decoded / ours >= 0.85,
        )


_MEMORY = """
    import resource, sys
    import napari_omezarr_cloud as noc
    import napari_omezarr_cloud.api, dask.array
    noc.open(sys.argv[1] + "/tiny.zarr").levels[0].dask[:1, :9, :9].compute()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    image = noc.open(sys.argv[1] + "/huge.zarr")
    data = [level.dask for level in image.levels]
    assert data[0][5000:5250, 5000:5250].compute().mean() == 7
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def ask_memory(url: str) -> Iterator[Row]:
    """Yield what an image of 10⁸ chunks costs to open, one tile computed."""
    (megabytes,) = _python(_MEMORY, url)
    yield Row("open 10⁸ chunks, compute a tile", f"{megabytes:.0f} MB more", "", "", "< 60 MB",
              megabytes < 60)  # fmt: skip


_IMPORT = """
    import subprocess, sys, time
    def timed(*command):
        started = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started
    ways = [("-c", "pass"), ("-c", "import napari_omezarr_cloud"),
            ("-c", "import sys; from napari_omezarr_cloud.cli import main;"
                   "sys.argv[1:] = ['--help']; main()")]
    times = [[timed(*way) for way in ways] for _ in range(int(sys.argv[1]))]
    print(*(sorted(column)[len(times) // 2] for column in zip(*times)))
"""


def ask_imports(rounds: int) -> Iterator[Row]:
    """Yield what importing the package and asking the shell for help cost over bare Python."""
    bare, imported, helped = _python(_IMPORT, str(rounds))
    for name, seconds, limit in (
        ("import napari_omezarr_cloud", imported, 0.05),
        ("omezarr --help", helped, 0.2),
    ):
        more = seconds - bare
        yield Row(f"{name}, over bare Python", f"{more * 1000:.0f} ms", "", "",
                  f"< {limit * 1000:.0f} ms", more < limit)  # fmt: skip
