"""Hostile data sets, each in a process of its own: bounded in memory and in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fixtures.programs import Programs

HOSTILE = Path(__file__).parents[2] / "shared" / "corpus" / "hostile"
pytestmark = pytest.mark.skipif(not HOSTILE.is_dir(), reason="the shared corpus is not here")
NAMES = json.loads((HOSTILE / "expected.json").read_bytes())["datasets"] if HOSTILE.is_dir() else {}
_MOST_BYTES = 2**30
_MOST_SECONDS = 20

_OPEN = """
import psutil, sys
import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError
try:
    image = noc.open(sys.argv[1])
    for data, _, _ in noc.to_layers(image):
        pass
    grid = image.pyramid.levels[0].grid
    image.read(0, grid.region_of((0,) * grid.ndim).slices)
except CloudError as error:
    assert str(error) and "\\n" not in str(error)
# Not ru_maxrss: on Linux it holds the parent's memory too, from before this program was loaded.
memory = psutil.Process().memory_info()
try:
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(int(line.split()[1]) * 1024)
except OSError:
    print(getattr(memory, "peak_wset", memory.rss))
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_data_set_takes_less_than_a_gigabyte_and_ends(
    name: str, programs: Programs
) -> None:
    done = programs.run(_OPEN, str(HOSTILE / name), timeout_s=_MOST_SECONDS)

    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) < min(_MOST_BYTES, NAMES[name]["max_rss_mb"] * 10**6)
