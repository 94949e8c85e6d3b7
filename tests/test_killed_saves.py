"""Saves and runs that are killed at any moment: the old is not lost, and going on is as good.

``KILL_EXAMPLES=200 pytest --timeout=0 tests/test_killed_saves.py`` kills at so many random moments
more, of each scenario and kind of place.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from demo.server import DemoS3, find_juicefs
from tests.fixtures.killed_saves import SCENARIOS, random_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.programs import Programs
    from tests.fixtures.servers import S3Server

EXAMPLES = int(os.environ.get("KILL_EXAMPLES", "0"))
CODE = "import sys; from tests.fixtures.killed_saves import main; main(*sys.argv[1:])"
POINTS: dict[str, list[list[float]]] = {
    "new": [[2, 9, 15], [-1, -4]],
    "overwriting": [[6], [-2], [-4], [-5, 3], [-7, -2]],
    "beside": [[9, 12], [-1], [-2, -2]],
    "with labels": [[5, 25], [-3]],
    "run": [[20, 45], [90], [-1]],  # 90: between its two passes
}
"""Moments of kills; from the end where it matters most: documents, places taken, notes deleted."""
ON_S3: dict[str, list[list[float]]] = {
    "overwriting": [[-2], [-30, -12]],
    "beside": [[8]],
}


class Place:
    """Where a scenario's images are: a folder, or a prefix in a bucket."""

    def __init__(self, root: str, environment: dict[str, str], files: Any) -> None:
        self.root, self.environment, self._files = root, environment, files
        self.options = {"endpoint": environment["AWS_ENDPOINT_URL"]} if environment else {}

    def images(self) -> dict[str, dict[str, bytes]]:
        """Return what there is, by image and key."""
        found: dict[str, dict[str, bytes]] = {}
        for key, raw in self._files():
            image, _, below = key.partition("/")
            found.setdefault(image, {})[below] = raw
        return found


def folder(path: Path) -> Place:
    path.mkdir()
    return Place(
        str(path),
        {},
        lambda: (
            (each.relative_to(path).as_posix(), each.read_bytes())
            for each in path.rglob("*")
            if each.is_file()
        ),
    )


def bucket(client: Any, name: str, prefix: str, environment: dict[str, str]) -> Place:
    def files() -> Iterator[tuple[str, bytes]]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=f"{prefix}/")
        for page in pages:
            for each in page.get("Contents", []):
                raw = client.get_object(Bucket=name, Key=each["Key"])["Body"].read()
                yield each["Key"].removeprefix(f"{prefix}/"), raw

    return Place(f"s3://{name}/{prefix}", environment, files)


def kill(programs: Programs, name: str, place: Place, log: Path, points: list[list[float]]) -> None:
    """Kill a scenario at points, and see that nothing is lost or done twice."""
    log.mkdir()
    arguments = (place.root, name, str(log), json.dumps(points), json.dumps(place.options))
    done = programs.run(CODE, *arguments, timeout_s=60 + 20 * len(points), **place.environment)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    images = place.images()
    # No notes, no half-written file, nothing beside: exactly what a save leaves that nothing
    # disturbs.
    whole = images["0.zarr"]
    assert not [key for key in whole if "omezarr" in key or "#" in key]
    assert images == {f"{number}.zarr": whole for number in range(len(points))}
    before = "old" if name in ("overwriting", "beside") else ""
    for run in runs:
        found = [state for _, state in run["states"]]
        order = [before, "new", "done"]
        assert set(found) <= set(order), run["states"]
        assert found == sorted(found, key=order.index), run["states"]
        assert found[-1] == "done"
        # What was noted as done is not done again: what was at work then is, by two threads.
        voxels = Counter(each for each in run["did"] if "/c/" in each and each.startswith("put "))
        again = sum(count - 1 for count in voxels.values())
        assert again <= 12 * len(run["kills"]), (run["kills"], voxels)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_in_a_folder(name: str, programs: Programs, tmp_path: Path) -> None:
    kill(programs, name, folder(tmp_path / "at"), tmp_path / "log", [[], *POINTS[name]])


@pytest.mark.parametrize("name", ON_S3)
def test_killed_on_s3(name: str, programs: Programs, tmp_path: Path, s3: S3Server) -> None:
    place = bucket(s3.client, s3.private, f"killed/{name}", s3.environment)

    kill(programs, name, place, tmp_path / "log", [[], *ON_S3[name]])


@pytest.mark.skipif(not EXAMPLES, reason="KILL_EXAMPLES says at how many random moments")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("at", ["a folder", "S3", "S3 that ignores conditions"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_random_moments(
    name: str, at: str, programs: Programs, tmp_path: Path, s3: S3Server
) -> None:
    points = random_points(EXAMPLES, seed=len(name))
    if at == "a folder":
        kill(programs, name, folder(tmp_path / "at"), tmp_path / "log", points)
    elif at == "S3":
        # moto finds fault with signatures of what has a space in its name.
        prefix = f"random/{name.replace(' ', '-')}"
        place = bucket(s3.client, s3.private, prefix, s3.environment)
        kill(programs, name, place, tmp_path / "log", points)
    else:
        try:
            find_juicefs()
        except FileNotFoundError as missing:
            pytest.skip(str(missing))
        with DemoS3(latency_s=0, buckets=("demo",)) as demo:
            kill(programs, name, in_demo(demo, name), tmp_path / "log", points)


def in_demo(demo: DemoS3, prefix: str) -> Place:
    import boto3

    environment = {
        "AWS_ENDPOINT_URL": demo.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": demo.access_key,
        "AWS_SECRET_ACCESS_KEY": demo._secret_key,
    }
    client = boto3.client(
        "s3",
        endpoint_url=demo.endpoint,
        region_name="us-east-1",
        aws_access_key_id=demo.access_key,
        aws_secret_access_key=demo._secret_key,
    )
    return bucket(client, "demo", prefix, environment)
