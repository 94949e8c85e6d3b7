"""The sample images are what they say, made without a network."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from napari_omezarr_cloud.sample import write_cell_volume, write_microscopy
from napari_omezarr_cloud.sample.pyramids import coarsen, coarsen_labels, plan_levels

if TYPE_CHECKING:
    from pathlib import Path

# ome-zarr's own modules use the class that they deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cell_volume(tmp_path_factory.mktemp("sample") / "cells", timepoints=2, width=512)


def multiscale(group: zarr.Group) -> Any:
    ome: Any = group.attrs["ome"]
    return ome["multiscales"][0]


def pixels(group: zarr.Group, path: str) -> Any:
    array = group[path]
    assert isinstance(array, zarr.Array)
    return array[...]


def test_ome_zarr_opens_the_volume_with_its_labels(volume: Path) -> None:
    location = parse_url(volume)
    assert location is not None

    image, *others = Reader(location)()

    assert [level.shape for level in image.data] == [
        (2, 2, 32, 512, 512),
        (2, 2, 32, 256, 256),
        (2, 2, 32, 128, 128),
    ]
    assert image.metadata["channel_names"] == ["nuclei", "membranes"]
    assert others[-1].data[0].shape == (2, 32, 512, 512)


def test_the_volume_says_how_it_wants_to_be_shown(volume: Path) -> None:
    group = zarr.open_group(volume, mode="r")
    omero: Any = group.attrs["ome"]["omero"]  # type: ignore[call-overload, index]

    assert [channel["color"] for channel in omero["channels"]] == ["FF00FF", "00FF00"]
    assert omero["rdefs"]["defaultZ"] == 16
    for number, channel in enumerate(omero["channels"]):
        shown = pixels(group, "s0")[:, number]
        window = channel["window"]
        assert 0 <= window["start"] < np.percentile(shown[shown > 0], 95) < window["end"]
        assert shown.max() <= window["max"]


def test_levels_lie_half_a_pixel_further_each_time(volume: Path) -> None:
    datasets = multiscale(zarr.open_group(volume, mode="r"))["datasets"]

    transforms = [dataset["coordinateTransformations"] for dataset in datasets]

    scales = [scale["scale"] for scale, _ in transforms]
    translations = [translation["translation"] for _, translation in transforms]
    assert scales[1] == pytest.approx([600, 1, 2, 0.6, 0.6])
    assert translations[:2] == [[0] * 5, pytest.approx([0, 0, 0, 0.15, 0.15])]
    assert translations[2] == pytest.approx([0, 0, 0, 0.45, 0.45])


def test_coarse_levels_show_the_same_cells(volume: Path) -> None:
    group = zarr.open_group(volume, mode="r")

    for level, factor in (("s1", 2), ("s2", 4)):
        fine = pixels(group, "s0")[..., : 512 // factor * factor, :].astype(float)
        blocks = fine.reshape(*fine.shape[:3], 512 // factor, factor, 512 // factor, factor)
        assert np.abs(blocks.mean((4, 6)) - pixels(group, level)).max() <= 1


def test_every_nucleus_has_its_label_colour_and_properties(volume: Path) -> None:
    group = zarr.open_group(volume / "labels" / "nuclei", mode="r")
    labels, nuclei = pixels(group, "s0"), pixels(zarr.open_group(volume, mode="r"), "s0")[:, 0]
    described: Any = group.attrs["ome"]["image-label"]  # type: ignore[call-overload, index]

    for time in range(2):
        assert nuclei[time][labels[time] > 0].mean() > 5 * nuclei[time][labels[time] == 0].mean()
        assert set(np.unique(labels[time])) <= {0, *range(1, len(described["colors"]) + 1)}
    assert np.unique(labels).size == len(described["colors"]) + 1
    assert {len(one["rgba"]) for one in described["colors"]} == {4}
    assert {one["label-value"] for one in described["properties"]} == set(np.unique(labels)) - {0}


def test_copies_in_a_wide_field_are_whole_and_numbered_through(tmp_path: Path) -> None:
    folder = write_cell_volume(tmp_path / "wide", timepoints=1, width=1024)
    group = zarr.open_group(folder, mode="r")
    labels = pixels(zarr.open_group(folder / "labels" / "nuclei", mode="r"), "s0")[0]
    image = pixels(group, "s0")[0]

    first, third = (np.s_[:, :512, :512], np.s_[:, 512:, 512:])
    assert not set(labels[first][labels[first] > 0]) & set(labels[third][labels[third] > 0])
    for level in ("s1", "s2", "s3"):
        image = coarsen(image, (1, 2, 2))
        assert np.array_equal(image, pixels(group, level)[0])
    blocks = labels.reshape(32, 512, 2, 512, 2)
    low, high = blocks.min((2, 4)), blocks.max((2, 4))
    coarse = pixels(zarr.open_group(folder / "labels" / "nuclei", mode="r"), "s1")[0]
    assert np.array_equal(coarse[low == high], low[low == high])


def test_what_is_empty_is_not_stored(volume: Path) -> None:
    group = zarr.open_group(volume, mode="r")
    stored = sum(1 for file in (volume / "s0" / "c").rglob("*") if file.is_file())

    corners = pixels(group, "s0")[..., :16, :16]

    assert not corners.any()
    assert stored <= 2 * 2 * 2 * 2 * 2


@pytest.mark.parametrize(("timepoints", "width"), [(0, 512), (1, 500), (1, 0), (1, 1 << 14)])
def test_an_impossible_volume_leaves_nothing(tmp_path: Path, timepoints: int, width: int) -> None:
    with pytest.raises(ValueError, match="no volume with"):
        write_cell_volume(tmp_path / "volume", timepoints=timepoints, width=width)

    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(volume: Path) -> None:
    before = sorted(volume.rglob("*"))

    with pytest.raises(FileExistsError):
        write_cell_volume(volume, timepoints=1, width=512)

    assert sorted(volume.rglob("*")) == before


def test_pictures_come_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    written = write_microscopy(tmp_path)

    shapes = {
        name: pixels(zarr.open_group(folder, mode="r"), "s0").shape
        for name, folder in written.items()
    }
    assert shapes == {"cell": (660, 550), "ihc": (3, 512, 512), "retina": (3, 1411, 1411)}


def test_pictures_have_the_units_that_are_known(tmp_path: Path) -> None:
    written = write_microscopy(tmp_path)

    cell, retina = (
        multiscale(zarr.open_group(written[name], mode="r")) for name in ("cell", "retina")
    )

    assert [axis.get("unit") for axis in cell["axes"]] == ["micrometer"] * 2
    assert cell["datasets"][1]["coordinateTransformations"][0]["scale"] == [0.214, 0.214]
    assert [axis.get("unit") for axis in retina["axes"]] == [None] * 3


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 300))
def test_levels_cover_the_image_and_little_more(height: int, width: int, smallest: int) -> None:
    levels = plan_levels((height, width), (0.5, 0.5), smallest)

    assert max(levels[-1].shape) <= smallest
    for level in levels:
        for n, size, scale, start in zip(
            level.shape, (height, width), level.scale, level.translation, strict=True
        ):
            first_edge, last_edge = start - scale / 2, start + (n - 0.5) * scale
            assert first_edge == pytest.approx(-0.25)
            assert (size - 0.5) * 0.5 <= last_edge + 1e-9 < size * 0.5 - 0.25 + scale


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_coarse_labels_are_the_most_frequent_ones(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (height, width)).astype("u2")

    coarse = coarsen_labels(labels, (2, 2))

    padded = np.pad(labels, [(0, height % 2), (0, width % 2)], "edge")
    for y, x in np.ndindex(coarse.shape):
        counts = np.bincount(padded[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel(), minlength=4)
        assert counts[coarse[y, x]] == counts.max()
