"""Whole-image runs by other processes: the same voxels, whoever is lost or stopped on the way."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import saving
from napari_omezarr_cloud.api import locate
from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import ChangedError, CloudError, UnreachableError, WriteError
from napari_omezarr_cloud.pyramid import Region, thinned
from napari_omezarr_cloud.pyramid.beside import WidenedLevel
from napari_omezarr_cloud.pyramid.mosaic import MosaicLevel
from napari_omezarr_cloud.pyramid.resampled import ResampledLevel
from napari_omezarr_cloud.pyramid.stored import StoredLevel
from napari_omezarr_cloud.store.place_access import PlaceAccess, choose_access
from napari_omezarr_cloud.write import crew as crews
from napari_omezarr_cloud.write import hands, waves
from napari_omezarr_cloud.write.worker import Job, packed

from .fixtures.plates import field_pixels, write_field, write_plate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.save_plan import SavePlan

    from .fixtures.servers import S3Server

pytest.importorskip("distributed")

NOISE = np.random.default_rng(3).integers(0, 4000, (8, 40, 50), "u2")
SMOOTH = noc.Step("gaussian", {"sigma": 1.0}, dims="volume")
LABEL = noc.Recipe((SMOOTH, noc.Step("label", {}, dims="volume")))
EXPANDED = noc.Recipe((*LABEL.steps, noc.Step("expand_labels", {"distance": 2.0})))
CHUNKS = {"chunks": (4, 16, 16)}
"""Of results: 2 x 3 x 4 blocks."""
ENDS_WITH_TESTS = """
import os, runpy, sys, threading

def wait():
    sys.stdin.buffer.read()  # ends with the process at the other end, however that ended
    os._exit(1)

threading.Thread(target=wait, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
"""Runs a module as ``python -m`` does, while whoever started it lives."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block, and a task."""
    monkeypatch.setattr(waves, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(waves, "_TASK_BYTES", 1)
    monkeypatch.setattr(saving, "BLOCK_VOXELS", 1)
    monkeypatch.setattr(crews, "_LABELLED", 2)
    monkeypatch.setattr(crews, "_LEAST", 1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> noc.Image:
    source = noc.from_array(NOISE, "zyx", scale=(1, 1, 1), unit="micrometer", name="noise")
    return noc.save(source, tmp_path_factory.mktemp("workers") / "n.zarr", chunks=(8, 20, 50))


class Cluster:
    """A scheduler and workers, each started by the shell, as on the nodes of a real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start("dask_scheduler", "--port", "0", "--no-show")

    def add_worker(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", "--no-nanny", "--nthreads", "1")

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", ENDS_WITH_TESTS, f"distributed.cli.{program}"]
        command += ["--no-dashboard", *options]
        command += ["--host", "127.0.0.1", "--scheduler-file", str(self.file)]
        log = (self.folder / "log").open("ab")
        with log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            with process:
                process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.add_worker()
    yield found
    found.end()


def voxels(place: Path) -> list[bytes]:
    """Return what is stored, byte by byte."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return [f"{path.relative_to(place)}".encode() + path.read_bytes() for path in files]


@pytest.mark.parametrize(
    ("recipe", "count"),
    [(SMOOTH, 24), (LABEL, 48), (EXPANDED, 72)],
    ids=["smooth", "label", "two passes"],
)
def test_workers_write_what_threads_write(
    recipe: Any, count: int, image: noc.Image, tmp_path: Path, cluster: Cluster
) -> None:
    told: list[tuple[int, int]] = []

    def tell(progress: Progress) -> None:
        told.append((progress.tasks_done, progress.task_count))

    # With an overlap no step is computed at once.
    noc.run(image, recipe, tmp_path / "threads.zarr", overlap=0, **CHUNKS)
    options = {"scheduler": str(cluster.file), "on_progress": tell, "overlap": 0, **CHUNKS}
    noc.run(image, recipe, tmp_path / "workers.zarr", **options)

    assert voxels(tmp_path / "workers.zarr") == voxels(tmp_path / "threads.zarr")
    assert told[-1] == (count, count)
    assert len(told) > 10


def test_what_a_lost_worker_had_is_done_by_another(
    image: noc.Image, tmp_path: Path, cluster: Cluster
) -> None:
    lost = cluster.add_worker()

    def kill(progress: Progress) -> None:
        if progress.tasks_done >= 3 and lost.poll() is None:
            lost.kill()
            lost.wait()

    options = {"scheduler": str(cluster.file), **CHUNKS}
    noc.run(image, LABEL, tmp_path / "a.zarr", **options)  # both have begun to work by now
    noc.run(image, LABEL, tmp_path / "b.zarr", on_progress=kill, **options)

    assert lost.returncode == -signal.SIGKILL
    assert voxels(tmp_path / "b.zarr") == voxels(tmp_path / "a.zarr")


@pytest.mark.parametrize("stop_at", [5, 31])
def test_what_was_cancelled_goes_on_with_workers(
    stop_at: int, image: noc.Image, tmp_path: Path, cluster: Cluster
) -> None:
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        if progress.tasks_done >= stop_at:
            progress.cancel()

    options = {"scheduler": str(cluster.file), **CHUNKS}
    with pytest.raises(WriteError, match="cancelled"):
        noc.run(image, LABEL, tmp_path / "a.zarr", on_progress=stop, **options)
    result = noc.run(image, LABEL, tmp_path / "a.zarr", on_progress=told.append, **options)

    assert told[-1].tasks_done == told[-1].task_count == 48
    assert told[-1].tasks_skipped >= stop_at
    threads = noc.run(image, LABEL, tmp_path / "b.zarr", **CHUNKS)
    assert (result.read(0) == threads.read(0)).all()


def test_processes_of_this_machine_are_started_and_end(image: noc.Image, tmp_path: Path) -> None:
    import psutil

    others = {each.pid for each in psutil.Process().children(recursive=True)}

    def pids() -> set[int]:
        return {each.pid for each in psutil.Process().children(recursive=True)} - others

    workers: set[int] = set()
    result = noc.run(
        image,
        SMOOTH,
        tmp_path / "a.zarr",
        workers=1,
        on_progress=lambda _: workers.update(pids()),
        **CHUNKS,
    )

    assert workers
    assert not workers & pids()
    assert (result.read(0) == noc.apply(image, SMOOTH).read(0)).all()


# ---- what is sent, and what is not ---------------------------------------------------------------


def job(planned: SavePlan) -> Job:
    waves = planned.writing(planned.location, "").waves
    return Job(planned.plan, waves, planned.location, planned.source, planned.merging, "run")


def test_what_is_sent_is_small_and_opens_the_source_by_itself(
    image: noc.Image, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = f"s3://{s3.private}/workers-{tmp_path.name}"
    private = noc.save(image, f"{place}/n.zarr", endpoint=s3.endpoint)

    planned = noc.plan_run(private, LABEL, f"{place}/l.zarr", endpoint=s3.endpoint)
    raw = packed(job(planned), is_elsewhere=True)

    assert len(raw) < 20_000
    assert s3.secret_key.encode() not in raw
    assert s3.access_key.encode() not in raw
    again = pickle.loads(raw).source
    wave = planned.writing(planned.location, "").waves[0]
    region = wave.block_region(0, (0, 0, 0))
    assert (again.read(0, region) == planned.source.read(0, region)).all()


@pytest.mark.usefixtures("no_access")
def test_keys_that_were_typed_let_workers_of_this_machine_in(
    image: noc.Image, tmp_path: Path, s3: S3Server
) -> None:
    place = f"s3://{s3.private}/typed-{tmp_path.name}?endpoint={quote(s3.endpoint, safe='')}"
    secrets = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key}
    choose_access(PlaceAccess(place, way="keys"), secrets)
    source, target = (locate(place).child(name) for name in ("n.zarr", "s.zarr"))
    noc.save(image, source)

    result = noc.run(noc.open(source), SMOOTH, target, workers=1, **CHUNKS)

    assert (result.read(0) == noc.apply(image, SMOOTH).read(0)).all()


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wells of two fields, where a third is blank; the first has labels."""
    place = tmp_path_factory.mktemp("plate") / "plate.zarr"
    wells = {well: [field_pixels(n), field_pixels(n + 9)] for n, well in enumerate(("A/1", "B/2"))}
    write_plate(place, wells, listed=["A/1", "A/2", "B/2"], rows="AB", columns="12")
    cells = field_pixels(5)[:1]
    noc.save_labels(noc.from_array(cells, "cyx"), noc.open(place / "A" / "1" / "0"), "cells")
    return place


def test_a_plate_is_opened_by_the_workers_themselves(
    plate: Path, tmp_path: Path, cluster: Cluster
) -> None:
    image, step = noc.open(plate, field="all"), noc.Step("gaussian", {"sigma": 1.0})

    result = noc.run(image, step, tmp_path / "a.zarr", scheduler=str(cluster.file))

    expected = noc.apply(image, step).read(0)
    assert expected.any()
    assert (result.read(0) == expected).all()


def test_levels_of_all_kinds_are_levels_of_their_own_in_another_process(
    image: noc.Image, plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinned, "_LONGEST", 8)
    monkeypatch.setattr(thinned, "_SMALLEST", 4)
    stored = image.pyramid.levels[0]
    assert isinstance(stored, StoredLevel)
    levels = [stored, WidenedLevel(stored, [0], [1.0], [0.0]), ResampledLevel(stored, {2: 2})]
    opened = noc.open(plate, field=1)
    levels += [*opened.pyramid.levels, *noc.open(plate).labels[0].pyramid.levels]
    assert {type(each) for each in levels} > {MosaicLevel, thinned.ThinnedLevel}

    for level, again in zip(levels, pickle.loads(pickle.dumps(levels)), strict=True):
        assert again.key != level.key
        box = Region.whole(level.grid.shape)
        assert (engine().load(again, box) == engine().load(level, box)).all()


def test_a_plate_that_has_changed_is_said_to_have(plate: Path, tmp_path: Path) -> None:
    shutil.copytree(plate, tmp_path / "plate.zarr")
    raw = pickle.dumps(noc.open(tmp_path / "plate.zarr").pyramid)
    field = tmp_path / "plate.zarr" / "A" / "1" / "0"
    shutil.rmtree(field)
    write_field(field, field_pixels(0, (2, 50, 50)))

    with pytest.raises(ChangedError, match="run it without workers"):
        pickle.loads(raw)


def test_what_cannot_be_sent_is_said_in_words(image: noc.Image, tmp_path: Path) -> None:
    here = noc.from_array(NOISE, "zyx", name="noise")
    for source in (here, noc.apply(here, SMOOTH)):
        with pytest.raises(CloudError, match=r"in the memory of this one\. Save it first"):
            packed(job(noc.plan_run(source, SMOOTH, tmp_path / "a.zarr")), is_elsewhere=False)

    planned = noc.plan_run(image, SMOOTH, tmp_path / "a.zarr")
    signed = replace(planned.location, kind="http", endpoint="https://a.org", query="sig=s3cret")
    with pytest.raises(WriteError, match="carries a key, which is not sent") as caught:
        packed(replace(job(planned), location=signed), is_elsewhere=True)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"scheduler": "tcp://127.0.0.1:9"}, UnreachableError, "Is it running?"),
        ({"scheduler": "nonsense"}, UnreachableError, "Could not reach the dask scheduler"),
        ({"workers": 0}, WriteError, "0 of them were asked for"),
        ({"workers": 2, "scheduler": "tcp://a:1"}, WriteError, "both asked for"),
    ],
)
def test_workers_that_cannot_be_had_are_said_in_words(
    options: dict[str, Any],
    kind: type[CloudError],
    words: str,
    image: noc.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hands, "_CONNECT_S", 0.2)
    with pytest.raises(kind, match=words):
        noc.run(image, SMOOTH, tmp_path / "a.zarr", **options)


def test_a_cluster_without_workers_is_said_and_can_be_left(
    image: noc.Image, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    stages = []

    def tell(progress: Progress) -> None:
        stages.append(progress.stage)
        progress.cancel()

    quiet = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp://", **quiet) as nobody,
        pytest.raises(WriteError, match="cancelled"),
    ):
        options = {"scheduler": nobody.scheduler_address, "on_progress": tell}
        noc.run(image, SMOOTH, tmp_path / "a.zarr", **options)

    assert stages == ["waiting"]


def test_the_missing_package_is_named(
    image: noc.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WriteError, match=r'pip install "napari-omezarr-cloud\[workers\]"'):
        noc.run(image, SMOOTH, tmp_path / "a.zarr", workers=2)
