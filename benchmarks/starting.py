"""What opening a very large image and importing the package cost at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import child
from benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COLUMNS", "ask_imports", "ask_memory"]

COLUMNS = ("this plugin",)

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
    (megabytes,) = child.numbers(_MEMORY, url)
    yield Row("open 10⁸ chunks, compute a tile", (f"{megabytes:.0f} MB more",), "< 60 MB",
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
    bare, imported, helped = child.numbers(_IMPORT, str(rounds))
    for name, seconds, limit in (
        ("import napari_omezarr_cloud", imported, 0.05),
        ("omezarr --help", helped, 0.2),
    ):
        more = seconds - bare
        yield Row(f"{name}, over bare Python", (f"{more * 1000:.0f} ms",),
                  f"< {limit * 1000:.0f} ms", more < limit)  # fmt: skip
