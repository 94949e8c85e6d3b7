"""What a large plate asks for: as little as it takes, and never at the price of a wrong picture."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.chunks import engine
from tests.fixtures.plates import field_pixels, write_bare_plate, write_field, write_plate
from tests.fixtures.rounds import rounds
from tests.fixtures.slow_http import SlowServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ROWS, COLUMNS = 7, 14
SMALL = {"size": 16, "levels": 1}


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """98 wells of one field, each of a brightness of its own."""
    write_bare_plate(tmp_path / "plate.zarr", ROWS, COLUMNS, **SMALL)
    return tmp_path / "plate.zarr"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SlowServer]:
    with SlowServer(tmp_path) as server:
        yield server


def middles(image: noc.Image, level: int = -1) -> NDArray[Any]:
    """Return the voxel in the middle of each well, rows by columns."""
    pixels = image.read(level)
    height, width = pixels.shape[0] // ROWS, pixels.shape[1] // COLUMNS
    return pixels[height // 2 :: height, width // 2 :: width]


def brightness() -> NDArray[Any]:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    return 40 + (7 * rows + 13 * columns) % 150


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((path / "zarr.json").read_text())
    change(document)
    (path / "zarr.json").write_text(json.dumps(document))


def of_wells(server: SlowServer) -> dict[str, list[str]]:
    """Return what was asked of each well, but for its labels."""
    asked: dict[str, list[str]] = {}
    for path in server.paths:
        parts = path.partition("plate.zarr/")[2].split("/")
        if len(parts) > 2 and parts[1].isdigit() and "labels" not in parts:
            asked.setdefault("/".join(parts[:2]), []).append("/".join(parts[2:]))
    return asked


def median_requests(server: SlowServer) -> int:
    return int(np.median([len(paths) for paths in of_wells(server).values()]))


def test_wells_of_one_field_cost_two_requests_each(plate: Path, server: SlowServer) -> None:
    found = middles(noc.open(f"{server.url}/plate.zarr"))

    np.testing.assert_array_equal(found, brightness())
    asked = of_wells(server)
    assert len(asked) == ROWS * COLUMNS
    assert asked["G/14"] == ["0/zarr.json", "0/0/c/0/0"]
    # Eight others say whether the wells are alike; opening took 18 documents, 5 asked for labels.
    assert len(server.log) <= 18 + 5 + 10 + 2 * ROWS * COLUMNS


def test_wells_of_several_fields_cost_three_requests_each(
    tmp_path: Path, server: SlowServer
) -> None:
    write_bare_plate(tmp_path / "plate.zarr", ROWS, COLUMNS, **SMALL, fields=2)

    found = middles(noc.open(f"{server.url}/plate.zarr", field=1))

    np.testing.assert_array_equal(found, brightness() + 10)
    *documents, chunk = of_wells(server)["G/14"]
    assert {*documents} == {"zarr.json", "1/zarr.json"}  # at once
    assert chunk == "1/0/c/0/0"
    assert len(server.log) <= 18 + 5 + 10 + 3 * ROWS * COLUMNS


@pytest.mark.parametrize("field", [0, "all"])
def test_each_well_of_a_large_plate_is_there_after_five_round_trips(
    tmp_path: Path, server: SlowServer, field: Any
) -> None:
    write_bare_plate(tmp_path / "plate.zarr", ROWS, COLUMNS, **SMALL, fields=2)
    server.latency_s = 0.1
    image = noc.open(f"{server.url}/plate.zarr", field=field)
    opening = [each for each in server.log if "labels" not in each.path]
    server.clear_log()

    image.read(0)

    log = server.log
    for well in ("A/2", "D/9", "G/14"):
        own = [each for each in log if f"/{well}/" in each.path]
        assert len(own) >= 3
        assert rounds([*opening, *own]) <= 5


def other_type(well: Path) -> None:
    """Twice as many bytes, and values that no byte holds."""
    edit(well / "0" / "0", lambda document: document.update(data_type="uint16"))
    (well / "0" / "0" / "c" / "0" / "0").write_bytes(np.full((16, 16), 222, "<u2").tobytes())


def other_size(well: Path) -> None:
    def smaller(document: dict[str, Any]) -> None:
        document["shape"] = [12, 12]
        document["chunk_grid"]["configuration"]["chunk_shape"] = [12, 12]

    edit(well / "0" / "0", smaller)
    (well / "0" / "0" / "c" / "0" / "0").write_bytes(bytes([222]) * 144)


def other_fill_value(well: Path) -> None:
    """A well of which nothing is stored, as it is all the same."""
    edit(well / "0" / "0", lambda document: document.update(fill_value=222))
    shutil.rmtree(well / "0" / "0" / "c")


def other_chunk_names(well: Path) -> None:
    (well / "0" / "0" / "c" / "0" / "0").rename(well / "0" / "0" / "0.0")
    shutil.rmtree(well / "0" / "0" / "c")
    encoding = {"name": "v2", "configuration": {"separator": "."}}
    edit(well / "0" / "0", lambda document: document.update(chunk_key_encoding=encoding))
    (well / "0" / "0" / "0.0").write_bytes(bytes([222]) * 256)


def other_level(well: Path) -> None:
    (well / "0" / "0").rename(well / "0" / "coarse")

    def renamed(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "coarse"

    edit(well / "0", renamed)
    (well / "0" / "coarse" / "c" / "0" / "0").write_bytes(bytes([222]) * 256)


def other_field(well: Path) -> None:
    (well / "0").rename(well / "left")

    def renamed(document: dict[str, Any]) -> None:
        document["attributes"]["ome"]["well"]["images"] = [{"path": "left"}]

    edit(well, renamed)
    (well / "left" / "0" / "c" / "0" / "0").write_bytes(bytes([222]) * 256)


@pytest.mark.parametrize(
    "changes",
    [(other_type,), (other_size,), (other_chunk_names, other_level, other_field, other_fill_value)],
    ids=lambda changes: changes[0].__name__,
)
def test_a_well_that_is_not_like_the_others_is_shown_as_it_is(
    plate: Path, server: SlowServer, changes: Sequence[Callable[[Path], None]]
) -> None:
    expected = brightness()
    for column, change in enumerate(changes, start=10):
        change(plate / "F" / str(column + 1))
        expected[5, column] = 222

    found = middles(noc.open(f"{server.url}/plate.zarr"))

    np.testing.assert_array_equal(found, expected)
    assert median_requests(server) == 2


def test_where_the_first_wells_differ_each_is_asked(plate: Path, server: SlowServer) -> None:
    other_type(plate / "A" / "3")

    found = middles(noc.open(f"{server.url}/plate.zarr"))

    expected = brightness()
    expected[0, 2] = 222
    np.testing.assert_array_equal(found, expected)
    assert median_requests(server) == 3


def test_a_chunk_that_is_broken_is_told_even_where_its_array_is_as_it_was_taken_for(
    plate: Path, server: SlowServer
) -> None:
    (plate / "F" / "11" / "0" / "0" / "c" / "0" / "0").write_bytes(b"short")
    image = noc.open(f"{server.url}/plate.zarr")

    with pytest.raises(noc.CloudError, match="F/11/0/0/c/0/0"):
        image.read(0)


# ---- consolidated metadata ----------------------------------------------------------------------


def consolidate(plate: Path) -> None:
    below = [path for path in plate.rglob("zarr.json") if path.parent != plate]
    copies = {str(p.parent.relative_to(plate)): json.loads(p.read_text()) for p in below}
    inline = {"kind": "inline", "must_understand": False, "metadata": copies}
    edit(plate, lambda document: document.update(consolidated_metadata=inline))


def test_of_a_plate_with_consolidated_metadata_only_chunks_are_asked_for(
    plate: Path, server: SlowServer
) -> None:
    consolidate(plate)

    found = middles(noc.open(f"{server.url}/plate.zarr"))

    np.testing.assert_array_equal(found, brightness())
    assert of_wells(server)["G/14"] == ["0/0/c/0/0"]
    assert median_requests(server) == 1


def test_consolidated_metadata_that_differ_from_the_first_well_are_not_used(
    plate: Path, server: SlowServer
) -> None:
    consolidate(plate)
    edit(plate / "A" / "1" / "0", lambda document: document["attributes"].update(more="later"))

    found = middles(noc.open(f"{server.url}/plate.zarr"))

    np.testing.assert_array_equal(found, brightness())
    assert median_requests(server) == 2


@pytest.mark.parametrize("is_stale", [False, True])
def test_consolidated_metadata_of_zarr_2_are_a_file_of_their_own(
    tmp_path: Path, server: SlowServer, is_stale: bool
) -> None:
    wells = [f"{row}/{column}" for row in "AB" for column in "123"]
    plate = {name: [{"name": each} for each in names] for name, names in LINES.items()}
    plate["wells"] = [{"path": path} for path in wells]
    documents: dict[str, Any] = {".zattrs": {"plate": plate}, ".zgroup": {"zarr_format": 2}}
    for path in wells:
        documents[f"{path}/.zattrs"] = {"well": {"images": [{"path": "0"}]}}
        axes = [{"name": name, "type": "space"} for name in "yx"]
        image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
        documents[f"{path}/0/.zattrs"] = {"multiscales": [image]}
        documents[f"{path}/0/0/.zarray"] = {**ARRAY, "fill_value": 7 + ord(path[2])}
    for key, document in {**documents, ".zmetadata": {"metadata": documents}}.items():
        file = tmp_path / "plate.zarr" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    if is_stale:
        later = {"multiscales": [image], "omero": {}}
        (tmp_path / "plate.zarr" / "A/1/0/.zattrs").write_text(json.dumps(later))

    found = noc.open(f"{server.url}/plate.zarr").read(0)

    assert {7 + ord(column) for column in "123"} <= set(np.unique(found).tolist())
    asked = of_wells(server)["B/3"]
    assert ("0/.zattrs" in asked) == is_stale
    assert ("0/0/.zarray" in asked) == is_stale


LINES = {"rows": "AB", "columns": "123"}
ARRAY = {
    "zarr_format": 2,
    "shape": [8, 8],
    "chunks": [8, 8],
    "dtype": "|u1",
    "compressor": None,
    "filters": None,
    "order": "C",
}


# ---- levels that the wells do not have ----------------------------------------------------------


def test_a_plate_that_is_large_on_its_coarsest_level_has_thinned_ones(
    tmp_path: Path, server: SlowServer
) -> None:
    pixels = {f"{r}/{c}": [field_pixels(n, (1, 900, 900))] for n, (r, c) in enumerate(WELLS)}
    write_plate(tmp_path / "plate.zarr", pixels, levels=1, chunk=900, listed=[*pixels, "B/3"])
    image = noc.open(f"{server.url}/plate.zarr")
    full, *thinned = image.levels
    pitch = full.shape[1] // 2
    server.clear_log()

    coarsest = image.read(-1)

    assert [level.shape[-1] <= 2048 for level in image.levels] == [False, True]
    assert not thinned[-1].is_stored
    data = [path for path in server.paths if "/c/0" in path]
    assert len(data) == len(set(data)) == len(WELLS)
    assert not engine().cache.indices(image.pyramid.levels[0].key)  # thinned as they came
    for (row, column), ((field,),) in zip(
        ((0, 0), (0, 1), (1, 1)), (pixels[f"{r}/{c}"] for r, c in WELLS), strict=True
    ):
        own = coarsest[0, row * pitch // 2 :, column * pitch // 2 :][:450, :450]
        expected = field.reshape(450, 2, 450, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(own, expected, atol=0.51)
    assert thinned[-1].scale[-1] == pytest.approx(2 * full.scale[-1])
    assert thinned[-1].translation[-1] - full.translation[-1] == pytest.approx(full.scale[-1] / 2)


WELLS = ["A1", "A2", "B2"]


def test_labels_of_a_large_plate_are_thinned_without_making_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    write_plate(path, {"A/1": [field_pixels(1, (1, 900, 900))]}, levels=1, chunk=900)
    mask = np.where(np.random.default_rng(1).random((1, 900, 900)) < 0.5, 10, 2000).astype("u2")
    write_field(path / "A" / "1" / "0" / "labels" / "cells", mask, levels=1, chunk=900)
    listing = {"zarr_format": 3, "node_type": "group"}
    listing["attributes"] = {"ome": {"version": "0.5", "labels": ["cells"]}}
    (path / "A" / "1" / "0" / "labels" / "zarr.json").write_text(json.dumps(listing))

    (labels,) = noc.open(path).labels

    assert len(labels.levels) > 1
    assert set(np.unique(labels.read(-1))) == {0, 10, 2000}
