"""How long the network is at work for the first view, with this plugin, libraries and a browser.

The one thing that can be seen of all of them alike is the server's log: the seconds from the first
request for the image to the last byte of its chunks. Same image, same canvas, one plane.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks import browser, child
from benchmarks.lines import log_of, reset, traffic
from benchmarks.table import MISSING, Row, as_ratio, as_seconds, middle
from benchmarks.window import BASELINE, OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.lines import Line
    from benchmarks.setup import Setup

__all__ = ["COLUMNS", "ask"]

NEUROGLANCER, TENSORSTORE = "neuroglancer", "tensorstore"
COLUMNS = ("this plugin", BASELINE, TENSORSTORE, NEUROGLANCER)
WAYS = (OURS, BASELINE, TENSORSTORE, NEUROGLANCER)

PARALLEL = 64
"""Requests at a time; this plugin's own number."""

# It knows nothing of OME-Zarr: it is told the level, and reads all of it.
_READ = """
    import sys
    import tensorstore as ts
    url, image, level, parallel = sys.argv[1:]
    context = ts.Context({"http_request_concurrency": {"limit": int(parallel)}})
    where = {"driver": "http", "base_url": url, "path": f"/{image}/{level}/"}
    array = ts.open({"driver": "zarr3", "kvstore": where}, context=context, open=True).result()
    print(array.read().result().nbytes)
"""


def ask(places: Iterable[tuple[Line, str, str]], setup: Setup) -> Iterator[Row]:
    """Yield for each place the seconds of network, and the requests.

    Parameters
    ----------
    places
        A line, the server behind it, and an image there: a plane of two channels, OME-Zarr 0.5.
    setup
        How it is measured.
    """
    here = {*setup.ways}
    if not setup.is_alone:
        here |= {TENSORSTORE} if find_spec("tensorstore") else set()
        here |= set() if browser.missing() else {NEUROGLANCER}
    for line, url, image in places:
        task = {"url": url, "image": image, "quiet": setup.quiet_s}
        runs: dict[str, list[dict[str, float]]] = {who: [] for who in WAYS}
        for _ in range(setup.rounds):
            view: dict[str, Any] = {}
            for who in WAYS:
                if who in here:
                    runs[who].append(_measure(who, task, view))
        yield from _rows(f"{image.removesuffix('.zarr')} at {line.name}", runs)


def _measure(who: str, task: dict[str, Any], view: dict[str, Any]) -> dict[str, float]:
    """Return what the log says of one; ``view`` is what this plugin, the first, has shown."""
    found: dict[str, float]
    if who in (OURS, BASELINE):
        steps = {"folder": "", "warm": "tiny.zarr", "steps": ["open"]}
        # What is read ahead once all is on screen is no part of the first view.
        alone = {"OMEZARR_DISK_CACHE_MB": "0", "OMEZARR_PREFETCH": "0"}
        seen = child.run("window", {**task, **steps, "who": who}, **alone)
        if who == OURS:
            view.update(seen)
        found = seen["open"]
    elif who == TENSORSTORE:
        reset(task["url"])
        level = str(view["open"]["level"])
        child.numbers(_READ, task["url"], task["image"], level, str(PARALLEL))
        found = traffic(log_of(task["url"]))
    else:
        shown = {key: view[key] for key in ("canvas", "px_per_unit")}
        found = child.run("browser", {**task, **shown})
    return found


def _rows(name: str, runs: dict[str, list[dict[str, float]]]) -> Iterator[Row]:
    spans = [middle(run["span_s"] for run in runs[who]) for who in WAYS]
    peer = spans[WAYS.index(NEUROGLANCER)]
    answers = [as_seconds(spans[0]), *(as_ratio(span, spans[0]) for span in spans[1:])]
    is_met = None if math.isnan(peer) else spans[0] <= peer
    yield Row(name, tuple(answers), "neuroglancer's", is_met)
    counts = [
        f"{middle(run['requests'] for run in runs[who]):.0f} requests, "
        f"{middle(run['nbytes'] for run in runs[who]) / 1e6:.1f} MB"
        if runs[who]
        else MISSING
        for who in WAYS
    ]
    yield Row(f"{name}, asked for", tuple(counts))
