"""What is written, in the eyes of others: metadata by two validators, voxels by tensorstore.

And opened by ome-zarr-py, ngff-zarr and napari-ome-zarr, as far as they are installed: the last two
are large, or would open the tests' own images in napari, and come with the ``bench`` extra.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.ngff import ImageLabel
from napari_omezarr_cloud.write.codecs import CODECS
from tests.fixtures.images import write_directly

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))

# Axes, shape, dtype, options of the save.
CASES: dict[str, tuple[str, tuple[int, ...], str, dict[str, Any]]] = {
    "plane": ("yx", (300, 401), "u1", {}),
    "plane, old": ("yx", (300, 401), "u1", {"version": "0.4", "codec": "blosc-lz4"}),
    "volume in shards": (
        "zyx",
        (21, 70, 50),
        "u2",
        {"chunks": (4, 16, 16), "shards": (8, 32, 64), "factors": [(2, 2, 2), (1, 3, 2)]},
    ),
    "everything": ("tczyx", (2, 3, 5, 33, 40), "i2", {"factors": [(1, 1, 2, 2, 2)]}),
    "everything, old": ("tczyx", (2, 3, 5, 33, 40), "i4", {"version": "0.4", "codec": "gzip"}),
    "channels of floats": ("cyx", (4, 37, 41), "f4", {"codec": "zstd", "factors": [(1, 2, 2)]}),
    "double, old": ("tyx", (3, 37, 41), "f8", {"version": "0.4", "codec": "zstd"}),
    "flags": ("zyx", (3, 37, 41), "?", {"method": "nearest", "factors": [(1, 2, 2)]}),
    "flags, old": ("zyx", (3, 37, 41), "?", {"version": "0.4", "method": "nearest"}),
    "big-endian": ("cyx", (2, 37, 41), ">u2", {"codec": "none", "chunks": (1, 16, 16)}),
    "big-endian, old": ("cyx", (2, 37, 41), ">f4", {"version": "0.4", "codec": "none"}),
    "one voxel": ("zyx", (1, 1, 1), "u1", {"factors": [(2, 2, 2)]}),
    "one voxel, old": ("yx", (1, 1), "i8", {"version": "0.4"}),
    "a row": ("cyx", (1, 1, 1000), "u4", {"chunks": (1, 1, 7), "shards": (1, 1, 70)}),
    "half": ("yx", (20, 30), "f2", {"factors": [(2, 2)]}),
    "64 bits": ("zyx", (2, 20, 30), "u8", {"factors": [(1, 2, 2)], "method": "mode"}),
}


def pixels_of(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Return values of the whole range of a type, and none of them twice in a row."""
    kind, dice = np.dtype(dtype), np.random.default_rng(7)
    if kind.kind == "b":
        return dice.random(shape) < 0.5
    if kind.kind == "f":
        return (dice.standard_normal(shape) * 1000).astype(kind)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return dice.integers(low, high, shape, kind.newbyteorder("="), endpoint=True).astype(kind)


def tensors(path: Path, level: str) -> np.ndarray[Any, Any]:
    """Return all voxels of an array, as tensorstore reads them."""
    driver = "zarr3" if (path / level / "zarr.json").exists() else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{path / level}/"}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def assert_valid(path: Path, version: str) -> None:
    """See that both validators are content with an image, or labels."""
    group = zarr.open_group(path, mode="r")
    model = ome_zarr_models.open_ome_zarr(group, version=version)
    assert model.ome_zarr_version == version
    if version == "0.5":
        yaozarrs.validate_zarr_store(str(path))
    else:
        document = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
        yaozarrs.validate_ome_object(document, yaozarrs.v04.Image)


@pytest.mark.parametrize("case", CASES)
def test_others_read_what_was_written(case: str, tmp_path: Path) -> None:
    axes, shape, dtype, options = CASES[case]
    array = pixels_of(shape, dtype)
    scale = tuple(0.25 * (n + 1) for n in range(len(axes)))
    image = noc.from_array(array, axes, scale=scale, unit="micrometer", name="cells")
    path = tmp_path / "a.ome.zarr"

    saved = noc.save(image, path, **options)

    assert_valid(path, options.get("version", "0.5"))
    assert (tensors(path, "0") == array).all()
    for level in saved.levels[1:]:
        theirs = tensors(path, level.path)
        assert theirs.shape == level.shape
        np.testing.assert_array_equal(theirs, saved.read(level.number))
    node = next(iter(Reader(parse_url(str(path)))()))
    assert (np.asarray(node.data[0]) == array).all()
    assert [axis["name"] for axis in node.metadata["axes"]] == list(axes)
    theirs = [
        next(step["scale"] for step in steps if step["type"] == "scale")
        for steps in node.metadata["coordinateTransformations"]
    ]
    assert theirs == [list(level.scale) for level in saved.levels]


shapes = st.integers(2, 5).flatmap(
    lambda n: st.tuples(*[st.integers(1, 3)] * (n - 2), st.integers(1, 40), st.integers(1, 40))
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=shapes,
    dtype=st.sampled_from(["u1", "<u2", ">u2", "i1", "<i4", ">i8", "<f4", ">f8", "?"]),
    version=st.sampled_from(["0.4", "0.5"]),
    codec=st.sampled_from(sorted(CODECS)),
    edge=st.integers(1, 17),
    shard=st.none() | st.integers(1, 3),
    factor=st.integers(1, 3),
    method=st.sampled_from(["mean", "nearest"]),
)
def test_others_read_whatever_is_written(
    shape: tuple[int, ...],
    dtype: str,
    version: str,
    codec: str,
    edge: int,
    shard: int | None,
    factor: int,
    method: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.zarr"
    array = pixels_of(shape, dtype)
    chunks = (1,) * (len(shape) - 2) + (edge, edge)

    saved = noc.save(
        noc.from_array(array, "tczyx"[-len(shape) :] if len(shape) != 4 else "czyx"),
        path,
        version=version,
        codec=codec,
        chunks=chunks,
        shards=tuple(c * shard for c in chunks) if shard and version == "0.5" else None,
        factors=[(1,) * (len(shape) - 2) + (factor, factor)] * 2,
        method=method,
    )

    assert_valid(path, version)
    assert (tensors(path, "0") == array).all()
    for level in saved.levels[1:]:
        np.testing.assert_array_equal(tensors(path, level.path), saved.read(level.number))


# ---- where coarser voxels lie --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mean", "gaussian", "nearest"])
def test_voxels_of_all_levels_lie_where_their_values_say(method: str, tmp_path: Path) -> None:
    """Of a picture whose values are positions, a coarser one has the position of each voxel."""
    scale, start = (3.0, 0.5, 0.25), (10.0, 20.0, 30.0)
    grid = np.meshgrid(*(s * np.arange(n) for s, n in zip(scale, (12, 96, 96), strict=True)),
                       indexing="ij")  # fmt: skip
    for axis in range(3):
        array = (grid[axis] + start[axis]).astype("f8")
        path = tmp_path / f"{method}{axis}.zarr"
        transforms = [(list(scale), list(start))]
        source = tmp_path / f"source{axis}.zarr"
        write_directly(source, "zyx", [array], chunks=array.shape, transforms=transforms)

        saved = noc.save(
            noc.open(source),
            path,
            method=method,
            factors=[(2, 2, 2), (1, 3, 2)],
        )

        document = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        datasets = document["attributes"]["ome"]["multiscales"][0]["datasets"]
        for dataset in datasets:
            steps = {each["type"]: each for each in dataset["coordinateTransformations"]}
            voxels = tensors(path, dataset["path"])
            places = steps["translation"]["translation"][axis] + steps["scale"]["scale"][
                axis
            ] * np.arange(voxels.shape[axis])
            # Away from the border, which a Gaussian smooths over.
            inner = slice(2, -2) if method == "gaussian" else slice(None)
            middle = np.moveaxis(voxels, axis, 0).mean(axis=(1, 2))
            np.testing.assert_allclose(middle[inner], places[inner], atol=1e-6)
        assert len(saved.levels) == 3


def test_coarser_levels_lie_where_ngff_zarr_puts_them(tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr is in the bench extra")
    array = pixels_of((8, 64, 64), "u2")
    saved = noc.save(
        noc.from_array(array, "zyx", scale=(2.0, 0.5, 0.5)), tmp_path / "a.zarr",
        factors=[(2, 2, 2)],
    )  # fmt: skip

    theirs = ngff_zarr.to_multiscales(
        ngff_zarr.to_ngff_image(array, dims="zyx", scale={"z": 2.0, "y": 0.5, "x": 0.5}),
        scale_factors=[{"z": 2, "y": 2, "x": 2}],
        method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK,
    )

    coarse = theirs.images[1]
    assert [coarse.translation[a] for a in "zyx"] == list(saved.levels[1].translation)
    np.testing.assert_allclose(np.asarray(coarse.data), saved.read(1), atol=1)


# ---- how channels look, labels -------------------------------------------------------------------


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """Save an image of two channels with looks and labels, and return where."""
    array = pixels_of((2, 30, 40), "u2")
    omero = {
        "channels": [
            {"label": name, "color": color, "active": active,
             "window": {"start": 3, "end": 900, "min": 0, "max": 65535}}
            for name, color, active in (("DNA", "0080FF", True), ("actin", "FF0000", False))
        ]
    }  # fmt: skip
    write_directly(tmp_path / "source.zarr", "cyx", [array], chunks=array.shape, omero=omero)
    factors = [(1, 2, 2), (1, 3, 2)]
    saved = noc.save(noc.open(tmp_path / "source.zarr"), tmp_path / "a.zarr", factors=factors)
    numbers, scale = (array[0] % 5).astype("u2"), saved.levels[0].scale[1:]
    cells = noc.from_array(numbers, "yx", scale=scale, unit="micrometer", name="cells")
    label = ImageLabel(colors={1: (255, 0, 0, 255)}, properties={1: {"class": "mitotic"}})
    noc.save_labels(cells, saved, "cells", label=label)
    # Of the next level, and of a part of it.
    part = noc.Labels(saved.pyramid, "part", ImageLabel())
    noc.save_labels(part, saved, "part", level=1, region=(0, slice(2, 9), slice(3)))
    return tmp_path / "a.zarr"


def test_others_see_channels_and_labels(channels: Path) -> None:
    assert_valid(channels, "0.5")
    for labels in noc.open(channels).labels:
        assert_valid(channels / "labels" / labels.name, "0.5")
        # As many levels as the image, and of the same voxels.
        first = 0 if labels.name == "cells" else 1
        steps = [level.scale[-2:] for level in labels.levels]
        image = [level.scale[-2:] for level in noc.open(channels).levels]
        assert steps == [*image[first:], *[image[-1]] * first]

    image, *below = Reader(parse_url(str(channels)))()
    labels = next(node for node in below if "color" in node.metadata)

    assert image.metadata["channel_names"] == ["DNA", "actin"]
    assert image.metadata["contrast_limits"] == [[3, 900]] * 2
    assert image.metadata["visible"] == [True, False]
    # From black to the colour.
    assert image.metadata["colormap"][0][1] == pytest.approx([0, 128 / 255, 1])
    assert labels.metadata["color"][1] == [1.0, 0.0, 0.0, 1.0]
    assert labels.metadata["properties"] == {1: {"class": "mitotic"}}
    document = json.loads((channels / "zarr.json").read_text(encoding="utf-8"))
    assert [c["color"] for c in document["attributes"]["ome"]["omero"]["channels"]] == [
        "0080FF",
        "FF0000",
    ]


def test_napari_ome_zarr_shows_it_as_we_do(channels: Path) -> None:
    theirs = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is in the bench extra")
    read = theirs.napari_get_reader(str(channels))

    layers = read(str(channels))

    data, attributes, kind = layers[0]
    ours, our_attributes, _ = noc.to_layers(noc.open(channels))[0]
    assert kind == "image"
    assert attributes["name"] == ["source: DNA", "source: actin"]
    assert [list(limits) for limits in attributes["contrast_limits"]] == [[3, 900]] * 2
    assert list(attributes["scale"]) == list(our_attributes["scale"])
    assert [level.shape for level in data][-1][-2:] == (5, 10)
    assert layers[1][2] == "labels"
    assert ours is not None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ngff_zarr_reads_it(version: str, tmp_path: Path) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr is in the bench extra")
    array = pixels_of((2, 5, 33, 40), "u2")
    image = noc.from_array(array, "czyx", scale=(1, 2, 0.5, 0.5), unit="micrometer", name="cells")
    saved = noc.save(image, tmp_path / "a.ome.zarr", version=version, factors=[(1, 1, 2, 2)])

    theirs = ngff_zarr.from_ngff_zarr(str(tmp_path / "a.ome.zarr"), validate=True)

    for mine, their in zip(saved.levels, theirs.images, strict=True):
        assert (np.asarray(their.data) == saved.read(mine.number)).all()
        assert [their.scale[a] for a in "zyx"] == list(mine.scale[1:])
        assert [their.translation[a] for a in "zyx"] == list(mine.translation[1:])
    assert theirs.images[0].axes_units["x"] == "micrometer"
    assert theirs.metadata.name == "cells"
