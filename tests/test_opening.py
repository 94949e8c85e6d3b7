"""Opening an image: how many round trips and requests, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    LinkError,
    MetadataError,
    NotFoundError,
    NotOmeZarrError,
    ServerError,
    UnreachableError,
)
from tests.fixtures.rounds import rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.slow_http import SlowServer

    Serve = Callable[[str], tuple[SlowServer, str]]

# zarr.json .zattrs .zgroup .zarray, two lists of labels, and 0 and s0 of both formats.
SPECULATIVE = 10
METADATA = {"zarr.json", ".zattrs", ".zgroup", ".zarray"}


@pytest.fixture
def serve(slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written]) -> Serve:
    """``serve(kind)`` gives a slow server and its link to one of the small images."""

    def start(kind: str) -> tuple[SlowServer, str]:
        path = ome_zarr(kind).path
        server = slow_server(path.parent, latency_s=0.4)
        return server, f"{server.url}/{path.name}"

    return start


# ---- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["v04 by ome-zarr-py", "v05 by ome-zarr-py", "sharded"])
def test_an_image_opens_in_two_rounds(serve: Serve, kind: str) -> None:
    server, link = serve(kind)

    image = noc.open(link)

    assert len(image.levels) == 3
    assert rounds(server.log) == 2
    assert len(server.log) == SPECULATIVE + 2
    assert server.log[SPECULATIVE - 1].in_flight == SPECULATIVE


@pytest.mark.parametrize("kind", ["v04 with labels", "v05 with labels"])
def test_labels_take_one_round_more(serve: Serve, kind: str) -> None:
    server, link = serve(kind)

    labels = noc.open(link).labels

    assert [len(each.levels) for each in labels] == [3]
    assert rounds(server.log) == 3
    # The image's two levels, then the label's group with two guesses, and its two levels.
    assert len(server.log) == SPECULATIVE + 2 + 3 + 2


def test_labels_by_themselves_open_in_two_rounds(serve: Serve) -> None:
    server, link = serve("v05 with labels")

    labels = noc.open(f"{link}/labels/cells")

    assert labels.opened.image.label is not None
    assert labels.opened.beside is not None
    assert str(labels.opened.beside) == link.replace(" ", "%20")
    assert any("These are labels of the image at" in note for note in labels.notes)
    assert rounds(server.log) == 2
    assert len(server.log) == SPECULATIVE + 2
    assert all("/labels/cells/" in path for path in server.paths)


@pytest.mark.parametrize("kind", ["v04 by ome-zarr-py", "v05 by ome-zarr-py"])
def test_a_link_to_a_level_takes_the_rounds_of_its_image_more(serve: Serve, kind: str) -> None:
    server, link = serve(kind)

    image = noc.open(f"{link}/s1")

    assert len(image.levels) == 3
    assert image.linked_level == 1
    assert str(image.location) == link.replace(" ", "%20")
    assert "in which it is level 1" in image.notes[0]
    assert rounds(server.log) == 3
    # The array and the folder above it in full; two folders above only what could be an image.
    assert len(server.log) == SPECULATIVE * 2 + 4 + 2


def test_a_link_to_a_level_of_labels_opens_the_labels_at_it(serve: Serve) -> None:
    server, link = serve("v05 with labels")

    labels = noc.open(f"{link}/labels/cells/s1")

    assert labels.linked_level == 1
    assert labels.opened.image.label is not None
    assert str(labels.location).endswith("/labels/cells")
    assert len(labels.levels) == 3
    assert rounds(server.log) == 3


def test_a_level_two_folders_below_its_image_is_known_as_one(
    slow_server: Callable[..., SlowServer], copy: Path
) -> None:
    document = json.loads((copy / ".zattrs").read_text())
    for each in document["multiscales"][0]["datasets"]:
        (copy / each["path"]).rename(copy / "moved")
        (copy / each["path"]).mkdir()
        (copy / "moved").rename(copy / each["path"] / "image")
        each["path"] += "/image"
    (copy / ".zattrs").write_text(json.dumps(document))
    server = slow_server(copy.parent, latency_s=0.4)

    image = noc.open(f"{server.url}/{copy.name}/s2/image")

    assert image.linked_level == 2
    assert len(image.levels) == 3
    assert rounds(server.log) == 3


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_by_itself_takes_a_look_above_it(
    slow_server: Callable[..., SlowServer], tmp_path: Path, zarr_format: Any
) -> None:
    values = np.arange(5 * 9 * 8, dtype="u2").reshape(5, 9, 8)
    path = tmp_path / "deep" / "er" / "plain.zarr"
    zarr.create_array(path, data=values, zarr_format=zarr_format)
    server = slow_server(tmp_path, latency_s=0.4)

    image = noc.open(f"{server.url}/deep/er/plain.zarr")

    assert image.linked_level is None
    assert len(image.levels) == 1
    assert rounds(server.log) == 2
    assert len(server.log) == SPECULATIVE * 2 + 4


@pytest.mark.parametrize("kind", ["v04 by ome-zarr-py", "v05 by ome-zarr-py"])
def test_a_well_takes_one_round_more_than_its_fields(
    slow_server: Callable[..., SlowServer],
    tmp_path: Path,
    ome_zarr: Callable[[str], Written],
    kind: str,
) -> None:
    well = tmp_path / "well"
    for field in ("0", "1"):
        shutil.copytree(ome_zarr(kind).path, well / field)
    images = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
    if (well / "0" / "zarr.json").exists():
        ome = {"ome": {"version": "0.5", **images}}
        document = {"zarr_format": 3, "node_type": "group", "attributes": ome}
        (well / "zarr.json").write_text(json.dumps(document))
    else:
        (well / ".zgroup").write_text('{"zarr_format": 2}')
        (well / ".zattrs").write_text(json.dumps(images))
    server = slow_server(tmp_path, latency_s=0.4)

    image = noc.open(f"{server.url}/well")

    assert image.plate is not None
    own = [each for each in server.log if "/labels/" not in each.path]  # those go on later
    assert rounds(own) == 3
    # The well with its guesses; then of each field its group and three levels, some guessed before.
    assert len(own) <= SPECULATIVE - 2 + 2 * (1 + 3)


def test_an_image_does_not_wait_for_its_labels(serve: Serve) -> None:
    server, link = serve("v04 with labels")
    server.fault("labels/cells", "hang")

    image = noc.open(link)

    assert image.read(2).shape == image.levels[2].shape
    assert server.wait_until(lambda s: any("cells" in path for path in s.paths))
    assert not image.opened.labels.done()


def test_opening_reads_no_pixels(serve: Serve) -> None:
    server, link = serve("v05 with labels")

    labels = noc.open(link).labels

    assert len(labels) == 1
    assert {path.rpartition("/")[2] for path in server.paths} <= METADATA


def test_nothing_is_asked_of_a_link_that_is_none() -> None:
    with pytest.raises(LinkError, match="no scheme we know"):
        noc.open_async("gopher://host/image.zarr")


# ---- giving up ----------------------------------------------------------------------------------


def test_cancelling_closes_the_connections(serve: Serve) -> None:
    server, link = serve("v04 by ome-zarr-py")
    server.fault("", "hang")
    opening = noc.open_async(link)
    assert server.wait_until(lambda s: len(s.log) == SPECULATIVE)

    opening.cancel()

    assert server.wait_until(lambda s: s.connections.open == 0)
    with pytest.raises(CancelledError):
        opening.result()


def test_cancelling_in_the_second_round_gives_up_the_labels_too(serve: Serve) -> None:
    server, link = serve("v04 with labels")
    for part in ("s1/.zarray", "cells"):
        server.fault(part, "hang")
    opening = noc.open_async(link)
    assert server.wait_until(lambda s: any("cells" in path for path in s.paths))

    opening.cancel()

    assert server.wait_until(lambda s: all(e.abandoned for e in s.log if e.status is None))


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_is_given_up(serve: Serve) -> None:
    server, link = serve("v04 by ome-zarr-py")
    server.fault("", "hang")

    with pytest.raises(UnreachableError, match="did not answer in time"):
        noc.open(link)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("key", "fault", "kind", "why"),
    [
        pytest.param("", 403, AccessRefusedError, "refused access (403)", id="403"),
        pytest.param("", 404, NotFoundError, "no Zarr metadata", id="404"),
        pytest.param("", 503, ServerError, "answered 503", id="503"),
        pytest.param("", "html", ServerError, "an HTML page", id="web page"),
        pytest.param("", "short", MetadataError, "ends in the middle", id="JSON cut short"),
        pytest.param(".zattrs", "flip", MetadataError, "not UTF-8", id="wrong bytes"),
        pytest.param("s1", "short", MetadataError, "ends in the middle", id="array cut short"),
        pytest.param("", "reset", UnreachableError, "closed the connection", id="reset"),
    ],
)
def test_a_link_that_leads_nowhere_says_so_in_one_sentence(
    serve: Serve, key: str, fault: Any, kind: type[CloudError], why: str
) -> None:
    server, link = serve("v04 by ome-zarr-py")
    server.latency_s = 0
    server.fault(key, fault)

    with pytest.raises(kind) as caught:
        noc.open(link + "?token=s3cr3t-t0ken")

    text = str(caught.value)
    assert why in text
    assert link.partition("/v04")[0] in text
    assert "s3cr3t-t0ken" not in text
    assert "\n" not in text


@pytest.mark.usefixtures("impatient")
def test_an_unknown_host_is_named() -> None:
    with pytest.raises(UnreachableError, match=r"nothing-here\.invalid/x\.zarr.*no such host"):
        noc.open("https://nothing-here.invalid/x.zarr")


@pytest.fixture
def copy(tmp_path: Path, ome_zarr: Callable[[str], Written]) -> Path:
    """A copy of a 0.4 image, to be spoiled."""
    return shutil.copytree(ome_zarr("v04 by ome-zarr-py").path, tmp_path / "copy.zarr")


def test_a_folder_that_is_no_ome_zarr_is_named_as_what_it_is(copy: Path) -> None:
    (copy / ".zattrs").write_text("{}")
    for level in ("s0", "s1", "s2"):
        shutil.rmtree(copy / level)
    (copy / "empty").mkdir()

    with pytest.raises(NotOmeZarrError, match="Zarr group without OME metadata"):
        noc.open(copy)
    with pytest.raises(NotFoundError, match="no Zarr metadata"):
        noc.open(copy / "empty")


def test_a_level_that_is_missing_is_left_out_with_a_note(copy: Path) -> None:
    shutil.rmtree(copy / "s1")

    image = noc.open(copy)

    assert [level.path for level in image.levels] == ["s0", "s2"]
    assert image.notes == ("Level 's1' is listed and not there; it is left out.",)


def test_without_any_level_the_first_one_is_named(copy: Path) -> None:
    for level in ("s0", "s1", "s2"):
        shutil.rmtree(copy / level)

    with pytest.raises(MetadataError, match="'s0', 's1' and 's2'") as caught:
        noc.open(copy)

    assert caught.value.key == "s0/.zarray"


def test_an_array_of_an_unknown_kind_is_named(copy: Path) -> None:
    file = copy / "s0" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), "compressor": {"id": "magic"}}))

    with pytest.raises(MetadataError, match="magic") as caught:
        noc.open(copy)

    assert caught.value.key == "s0/.zarray"
