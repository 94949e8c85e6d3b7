"""Ask all questions and print the tables: ``python -m benchmarks [--quick] [--only QUESTION]…``."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    ahead,
    browser,
    first_view,
    flat,
    images,
    live,
    playing,
    reading,
    saving,
    soak,
    starting,
    threads,
    viewing,
    whole,
    workers,
)
from benchmarks.lines import LINES, ROOT, USUAL, Line, slow_server
from benchmarks.setup import Setup
from benchmarks.table import Table, put_into_page, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.table import Row

QUESTIONS = (
    "viewing", "first-view", "play", "ahead", "throughput", "live", "memory", "imports"
)  # fmt: skip
THREADS = "threads"
"""Asked by name only: it takes many minutes, and is of another page."""
SOAK = "soak"
"""Asked by name only: it takes as many minutes as one says, and as long again from memory."""

LARGE = {
    "saving": ("Saving", saving, 1.0),
    "whole": ("Whole images", whole, 4.0),
    "flat": ("Memory of whole images", flat, 4.0),
    "workers": ("Workers", workers, 1.0),
}
"""Asked by name only: heading, who asks, and GiB of the volume; they take an hour."""

PEERS = (
    "napari", "napari-ome-zarr", "obstore", "tensorstore", "neuroglancer", "ome-zarr", "dask"
)  # fmt: skip


class Asker:
    """Makes the table of each question; servers run as long as it does."""

    def __init__(
        self, given: argparse.Namespace, setup: Setup, servers: contextlib.ExitStack
    ) -> None:
        self._setup = setup
        self._servers = servers
        self._urls: dict[Line, str] = {}
        self._scenes = given.image or list(viewing.SCENES)
        self._chosen = [Line(ms / 1000) for ms in given.latency]
        self._gib = given.gib
        self._soak = 0.02 if setup.quick else given.minutes, given.seed

    def _url(self, line: Line) -> str:
        if line not in self._urls:
            server = slow_server(self._setup.folder, line)
            self._urls[line] = self._servers.enter_context(server)
        return self._urls[line]

    def _lines(self, usual: Sequence[Line]) -> list[tuple[Line, str]]:
        """Return those that were asked for, else the usual ones of a question."""
        lines = self._chosen or ([USUAL] if self._setup.quick else usual)
        return [(line, self._url(line)) for line in lines]

    def table(self, question: str) -> Table:
        """Return the table of a question; it is measured as its rows are taken."""
        setup, near = self._setup, Line(0.0)
        if question in LARGE:
            title, who, gib = LARGE[question]
            gib = 2**-7 if setup.quick else self._gib or gib
            return Table(title, who.COLUMNS, who.ask(setup, gib))
        rows: Iterable[Row]
        if question == "viewing":
            lines = self._lines([USUAL])
            rows = chain(*(viewing.ask(url, line, setup, self._scenes) for line, url in lines))
            return Table("Looking", viewing.COLUMNS, rows)
        if question == "first-view":
            places = [(*place, "plane05.zarr") for place in self._lines(LINES)]
            if not setup.quick:
                places += [(*place, "sharded.zarr") for place in self._lines([USUAL])]
            rows = first_view.ask(places, setup)
            return Table("The first view on any line", first_view.COLUMNS, rows)
        if question == "play":
            rows = chain(*(playing.ask(url, line, setup) for line, url in self._lines([USUAL])))
            return Table("Playing", playing.COLUMNS, rows)
        if question == "ahead":
            rows = chain(*(ahead.ask(url, line, setup) for line, url in self._lines([USUAL])))
            return Table("Loading ahead", ahead.COLUMNS, rows)
        if question == "live":
            rows = live.ask(self._url(near), setup)
            return Table("Living layers", live.COLUMNS, rows)
        if question == SOAK:
            rows = soak.ask(setup.folder, *self._soak, quick=setup.quick)
            return Table("Under fire", soak.COLUMNS, rows)
        if question == "throughput":
            rows = reading.ask(self._lines(LINES), setup.rounds)
            return Table("Loading", reading.COLUMNS, rows)
        if question == "memory":
            return Table("Opening", starting.COLUMNS, starting.ask_memory(self._url(near)))
        return Table("Starting", starting.COLUMNS, starting.ask_imports(setup.rounds))


@contextlib.contextmanager
def screen() -> Iterator[None]:
    """Use a virtual screen, the same on every machine."""
    if sys.platform != "linux":
        yield
        return
    if not shutil.which("Xvfb"):
        raise SystemExit("Xvfb is missing: run `make bench`.")
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        os.environ["DISPLAY"] = f":{answer.readline().strip()}"
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def machine() -> str:
    """Return when, and on and with what it was measured."""
    words = [f"{datetime.date.today()}", platform.machine(), f"{os.cpu_count()} cores",
             f"Python {platform.python_version()}"]  # fmt: skip
    for name in PEERS:
        with contextlib.suppress(PackageNotFoundError):
            words.append(f"{name} {version(name)}")
    return ", ".join(words)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, one round")
    parser.add_argument("--alone", action="store_true", help="this plugin without its peers")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument(
        "--only",
        choices=[*QUESTIONS, *LARGE, SOAK, THREADS],
        action="append",
        help="one of the questions",
    )
    parser.add_argument(
        "--latency", type=float, metavar="MS", action="append", default=[],
        help="milliseconds per request, instead of the usual lines",
    )  # fmt: skip
    parser.add_argument(
        "--image", choices=list(viewing.SCENES), action="append", help="what to look at"
    )
    parser.add_argument("--operation", action="append", default=[], help="whose threads to watch")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long a soak lasts")
    parser.add_argument("--gib", type=float, help="of volumes, instead of the usual sizes")
    parser.add_argument("--seed", type=int, default=1, help="of what goes wrong in a soak")
    parser.add_argument("--folder", type=Path, help="where test images are kept")
    parser.add_argument("--page", type=Path, help="a page whose tables are to be replaced")
    return parser.parse_args(arguments)


def main() -> int:
    """Return 0; a missed target is a line in a table, for machines are noisy."""
    given = parse(sys.argv[1:])
    asked = given.only or QUESTIONS
    # Every round is a first one, but where the next program is what is asked about.
    os.environ["OMEZARR_DISK_CACHE_MB"] = "0"
    folder = given.folder or ROOT / "build" / ("bench-quick" if given.quick else "bench")
    measured_on = machine()
    if "first-view" in asked and (lacks := browser.missing()):
        print(f"neuroglancer is not measured. {lacks}")
    folder.mkdir(parents=True, exist_ok=True)
    if set(asked) - {THREADS, SOAK, "imports", *LARGE}:
        images.write_all(folder, quick=given.quick)
    setup = Setup(folder, 1 if given.quick else given.rounds, given.quick, given.alone)
    with screen(), contextlib.ExitStack() as servers:
        asker = Asker(given, setup, servers)
        for question in asked:
            if question == THREADS:
                threads.show(setup.rounds, quick=setup.quick, names=given.operation)
                continue
            command = f"python -m benchmarks --only {question} "
            command += "--quick" if setup.quick else f"--rounds {setup.rounds}"
            command += "".join(f" --latency {ms:g}" for ms in given.latency)
            if question in LARGE and given.gib:
                command += f" --gib {given.gib:g}"
            if question == SOAK:
                command += f" --minutes {given.minutes:g} --seed {given.seed}"
            table = asker.table(question)
            lines = show(table, f"`{command}`, {measured_on}:")
            if given.page is not None:
                put_into_page(given.page, table.title, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
