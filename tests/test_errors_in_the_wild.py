"""Stores as other programs got them wrong: opened as well as they can be, with a note.

Each is opened over HTTP, and what is asserted is what the person sees: voxels, axes, channels and
the sentence that says what was odd. ``test_plates_and_series_in_the_wild`` holds those of several
images, ``test_servers_in_the_wild`` what servers get wrong.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

PIXELS = np.arange(40 * 30, dtype="u2").reshape(40, 30)
CHANNELS = np.stack([PIXELS, PIXELS + 1])
AXES = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space"}]
CYX = [{"name": "c", "type": "channel"}, *AXES]
SCALE = [{"type": "scale", "scale": [2, 3]}]
ENTRY: dict[str, Any] = {
    "version": "0.4",
    "axes": AXES,
    "datasets": [{"path": "0", "coordinateTransformations": SCALE}],
}


@pytest.fixture
def server(slow_server: Callable[..., SlowServer], tmp_path: Path) -> SlowServer:
    return slow_server(tmp_path)


def store(root: Path, attributes: dict[str, Any], *levels: Any, **how: Any) -> Path:
    """Write a zarr v2 group of arrays 0, 1, … with these attributes."""
    how = {"chunk_key_encoding": {"name": "v2", "separator": "/"}, **how}
    write_levels(zarr.create_group(root, zarr_format=2), levels or (PIXELS,), how)
    (root / ".zattrs").write_text(json.dumps(attributes))
    return root


def store_v3(root: Path, attributes: dict[str, Any], *levels: Any) -> Path:
    group = zarr.create_group(root, zarr_format=3, attributes=attributes)
    write_levels(group, levels or (PIXELS,), {})
    return root


def write_levels(group: zarr.Group, levels: Any, how: dict[str, Any]) -> None:
    for number, pixels in enumerate(levels):
        array = group.create_array(
            str(number), shape=pixels.shape, dtype=pixels.dtype,
            chunks=(1,) * (pixels.ndim - 2) + (16, 16), **how,
        )  # fmt: skip
        array[...] = pixels


def changed(**values: Any) -> dict[str, Any]:
    """Return metadata of one image; None takes a key out."""
    entry = {k: v for k, v in {**ENTRY, **values}.items() if v is not None}
    return {"multiscales": [entry]}


def transformed(*transforms: dict[str, Any]) -> dict[str, Any]:
    return changed(datasets=[{"path": "0", "coordinateTransformations": list(transforms)}])


def opened(server: SlowServer, root: Path, below: str = "") -> noc.Image:
    link = f"{server.url}/{root.relative_to(server.root).as_posix()}"
    return noc.open(f"{link}/{below}" if below else link)


def noted(image: noc.Image, *words: str) -> bool:
    """Tell whether a note holds all of these words, in the image and in its layers."""
    said = [note for note in image.notes if all(word in note for word in words)]
    shown = [layer[1]["metadata"]["omezarr"]["notes"] for layer in noc.to_layers(image)]
    return bool(said) and all(said[0] in notes for notes in shown)


def axis_names(image: noc.Image) -> str:
    return "".join(axis.name for axis in image.axes)


ODD: dict[str, tuple[dict[str, Any], tuple[float, float], tuple[str, ...]]] = {
    "no axes": (changed(axes=None), (2, 3), ("No axes are stated", "y, x")),
    "axes without type": (
        changed(axes=[{"name": "y"}, {"name": "x"}]), (2, 3), ("without a type", "y (space)"),
    ),
    "axes as strings": (changed(axes=["y", "x"]), (2, 3), ()),
    "blank unit": (changed(axes=[{**AXES[0], "unit": " "}, AXES[1]]), (2, 3), ("unit", "' '")),
    "no version": (changed(version=None), (2, 3), ("No version", "0.4")),
    "unknown version": (changed(version="7.1"), (2, 3), ("7.1", "0.4")),
    "version as a number": (changed(version=0.4), (2, 3), ()),
    "versions that differ": ({**changed(), "version": "0.3"}, (2, 3), ("0.3", "0.4")),
    "no transformations": (changed(datasets=[{"path": "0"}]), (1, 1), ()),
    "no axes, version, transformations": (
        {"multiscales": [{"datasets": [{"path": "0"}]}]}, (1, 1), ("No version",),
    ),
    "path with a slash at its end": (
        changed(datasets=[{"path": "0/", "coordinateTransformations": SCALE}]), (2, 3), (),
    ),
    "scale of wrong length": (
        transformed({"type": "scale", "scale": [1, 2, 3]}), (1, 1), ("3", "not used"),
    ),
    "scale of zero": (transformed({"type": "scale", "scale": [0, 1]}), (1, 1), ("holds 0",)),
    "scale of text": (transformed({"type": "scale", "scale": ["a", 1]}), (1, 1), ("no list",)),
    "numbers in quotes": (transformed({"type": "scale", "scale": ["2", 3]}), (2, 3), ("text",)),
    "multiscales is an object": ({"multiscales": ENTRY}, (2, 3), ("one object",)),
    "null beside": ({**changed(), "omero": None, "labels": None}, (2, 3), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_multiscales_are_shown_voxel_for_voxel(
    name: str, server: SlowServer, tmp_path: Path
) -> None:
    attributes, scale, words = ODD[name]

    image = opened(server, store(tmp_path / "a.zarr", attributes))

    assert np.array_equal(image.read(0), PIXELS)
    assert axis_names(image) == "yx"
    assert image.levels[0].scale == scale
    assert noted(image, *words) if words else not image.notes


@pytest.mark.parametrize(
    "value", ["0.1", "0.2", "0.3", "0.4", "0.4-dev", None], ids=lambda version: f"version {version}"
)
def test_an_image_of_five_axes_without_axes_is_tczyx_in_any_version(
    value: str | None, server: SlowServer, tmp_path: Path
) -> None:
    pixels = PIXELS.reshape(1, 1, 1, 40, 30)

    image = opened(server, store(tmp_path / "a.zarr", changed(version=value, axes=None), pixels))

    assert axis_names(image) == "tczyx"
    assert np.array_equal(image.read(0), pixels)


def test_the_translation_of_each_level_is_where_it_lies(server: SlowServer, tmp_path: Path) -> None:
    levels = [PIXELS, PIXELS[::2, ::2]]
    datasets = [
        {"path": str(n), "coordinateTransformations": [
            {"type": "scale", "scale": [size, size]},
            {"type": "translation", "translation": [100 + size / 2, 200 + size / 2]},
        ]}
        for n, size in enumerate([0.5, 1.0])
    ]  # fmt: skip

    image = opened(server, store(tmp_path / "a.zarr", changed(datasets=datasets), *levels))
    _, attributes, _ = noc.to_layers(image)[0]

    assert [level.translation for level in image.levels] == [(100.25, 200.25), (100.5, 200.5)]
    assert list(attributes["translate"]) == [100.25, 200.25]
    assert not image.notes


def with_omero(*channels: Any, **more: Any) -> dict[str, Any]:
    return {
        **changed(axes=CYX, datasets=[{"path": "0"}]),
        "omero": {"channels": list(channels), **more},
    }


GOOD = {"start": 5, "end": 300, "min": 0, "max": 65535}


@pytest.mark.parametrize(
    "window",
    [
        None, {}, {"start": None, "end": None}, {"start": float("nan"), "end": 9},
        {"start": 5, "end": 5}, {"start": 9, "end": 5}, "wide", [0, 1], {"min": 0, "max": 9},
    ],
)  # fmt: skip
def test_a_window_of_no_use_costs_no_other_channel_its_looks(
    window: Any, server: SlowServer, tmp_path: Path
) -> None:
    attributes = with_omero(
        {"color": "00FF00", "label": "nuclei", "window": window},
        {"color": "FF00FF", "label": "walls", "window": GOOD},
    )

    image = opened(server, store(tmp_path / "a.zarr", attributes, CHANNELS))
    layers = noc.to_layers(image)

    assert [about["name"] for _, about, _ in layers] == ["a: nuclei", "a: walls"]
    assert [about["colormap"] for _, about, _ in layers] == ["#00FF00", "#FF00FF"]
    assert layers[0][1]["contrast_limits"][0] < layers[0][1]["contrast_limits"][1]
    assert list(layers[1][1]["contrast_limits"]) == [5, 300]
    assert noted(image, "channel 0", "contrast is taken from the pixels")


def test_a_channel_without_the_key_window_keeps_its_name_and_colour(
    server: SlowServer, tmp_path: Path
) -> None:
    attributes = with_omero({"color": "FF0000", "label": "a"}, {"label": "b", "window": GOOD})

    image = opened(server, store(tmp_path / "a.zarr", attributes, CHANNELS))

    assert [channel.name for channel in image.channels] == ["a", "b"]
    assert image.channels[0].color == "FF0000"
    assert noted(image, "channel 0", "no window")


COLOURS: dict[str, tuple[Any, str, bool]] = {
    "hash": ("#FF0000", "#FF0000", True),
    "short": ("F00", "#FF0000", True),
    "lower case": ("ff8000", "#FF8000", False),
    "with opacity": ("00FF00FF", "#00FF00", True),
    "number": (16711680, "#FF0000", True),
    "signed number with opacity": (-16776961, "#FF0000", True),
}


@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_written_otherwise_is_the_colour_meant(
    name: str, server: SlowServer, tmp_path: Path
) -> None:
    color, wanted, is_odd = COLOURS[name]
    channels = [{"color": color, "window": GOOD}] * 2

    image = opened(server, store(tmp_path / "a.zarr", with_omero(*channels), CHANNELS))

    assert [about["colormap"] for _, about, _ in noc.to_layers(image)] == [wanted] * 2
    assert noted(image, "channels 0 and 1", "color") if is_odd else not image.notes


@pytest.mark.parametrize("color", ["reddish", "", "12345", [255, 0, 0], 10**12, True])
def test_a_colour_that_is_none_leaves_the_rest_of_the_channel(
    color: Any, server: SlowServer, tmp_path: Path
) -> None:
    channels = [{"color": color, "label": "a", "window": GOOD}, {"label": "b", "window": GOOD}]

    image = opened(server, store(tmp_path / "a.zarr", with_omero(*channels), CHANNELS))

    assert [channel.name for channel in image.channels] == ["a", "b"]
    assert (noc.to_layers(image)[1][0][0].compute() == CHANNELS[1]).all()
    assert noted(image, "channel 0", "color")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, ()), (1, ("1 channel", "2")), (2, ()), (5, ("5 channels", "2"))],
    ids=["none", "fewer", "as many", "more"],
)
def test_channels_are_those_of_the_axis_whatever_omero_counts(
    count: int, words: tuple[str, ...], server: SlowServer, tmp_path: Path
) -> None:
    channels = [{"label": f"dye {n}", "color": "FF0000", "window": GOOD} for n in range(count)]

    image = opened(server, store(tmp_path / "a.zarr", with_omero(*channels), CHANNELS))
    layers = noc.to_layers(image)

    assert [channel.name for channel in image.channels] == [
        f"dye {n}" if n < count else None for n in range(2)
    ]
    assert np.array_equal([data[0].compute() for data, _, _ in layers], CHANNELS)
    assert noted(image, *words) if words else not image.notes


def test_omero_beside_ome_and_not_in_it_is_used(server: SlowServer, tmp_path: Path) -> None:
    attributes = with_omero({"label": "a", "window": GOOD}, {"label": "b", "window": GOOD})
    omero = attributes.pop("omero")
    attributes["multiscales"][0].pop("version")
    root = store_v3(
        tmp_path / "a.zarr", {"ome": {"version": "0.5", **attributes}, "omero": omero}, CHANNELS
    )

    image = opened(server, root)

    assert [channel.name for channel in image.channels] == ["a", "b"]
    assert noted(image, "omero", "beside 'ome'")


def test_metadata_of_version_5_at_the_root_are_used(server: SlowServer, tmp_path: Path) -> None:
    image = opened(server, store_v3(tmp_path / "a.zarr", changed(version="0.5")))

    assert image.version == "0.5"
    assert np.array_equal(image.read(0), PIXELS)
    assert noted(image, "'ome'")


def test_attributes_are_enough_without_a_group_file(server: SlowServer, tmp_path: Path) -> None:
    root = store(tmp_path / "a.zarr", changed())
    (root / ".zgroup").unlink()

    assert np.array_equal(opened(server, root).read(0), PIXELS)


def test_a_group_file_that_cannot_be_read_does_not_matter(
    server: SlowServer, tmp_path: Path
) -> None:
    root = store(tmp_path / "a.zarr", changed())
    server.fault(".zgroup", 403)

    assert np.array_equal(opened(server, root).read(0), PIXELS)


@pytest.mark.parametrize(("written", "stated"), [("/", "."), (".", "/"), ("/", None)])
def test_chunks_under_the_other_separator_are_found(
    written: str, stated: str | None, server: SlowServer, tmp_path: Path
) -> None:
    encoding = {"name": "v2", "separator": written}
    root = store(tmp_path / "a.zarr", changed(), chunk_key_encoding=encoding)
    document = json.loads((root / "0" / ".zarray").read_text())
    document.pop("dimension_separator", None)
    if stated is not None:
        document["dimension_separator"] = stated
    (root / "0" / ".zarray").write_text(json.dumps(document))

    image = opened(server, root)

    assert np.array_equal(image.read(0), PIXELS)
    assert any("separator" in note for note in image.notes)


def test_a_misspelt_separator_is_used(server: SlowServer, tmp_path: Path) -> None:
    root = store(tmp_path / "a.zarr", changed())
    path = root / "0" / ".zarray"
    path.write_text(path.read_text().replace("dimension_separator", "dimension_seperator"))

    image = opened(server, root)

    assert np.array_equal(image.read(0), PIXELS)
    assert noted(image, "dimension_seperator")


@pytest.mark.parametrize("what", ["stale", "partial"])
def test_consolidated_metadata_are_not_believed_against_the_live_files(
    what: str, server: SlowServer, tmp_path: Path
) -> None:
    root = store(tmp_path / "a.zarr", changed())
    array = json.loads((root / "0" / ".zarray").read_text())
    held = {"0/.zarray": {**array, "shape": [1, 1]}} if what == "stale" else {".zgroup": {}}
    (root / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": held}))

    assert np.array_equal(opened(server, root).read(0), PIXELS)


AFFINE = [[0.0, 2.0, 0.0], [3.0, 0.0, 5.0], [0.0, 0.0, 1.0]]


def systems(*transforms: dict[str, Any]) -> dict[str, Any]:
    return {"ome": {"version": "0.6rc0", "multiscales": [{
        "coordinateSystems": [{"name": name, "axes": AXES} for name in ("pixels", "world")],
        "datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "identity", "input": {"path": "0"}, "output": {"name": "pixels"}}
        ]}],
        "coordinateTransformations": [
            {**each, "input": {"name": "pixels"}, "output": {"name": "world"}}
            for each in transforms
        ],
    }]}}  # fmt: skip


def test_an_affine_with_a_homogeneous_row_is_read_without_it(
    server: SlowServer, tmp_path: Path
) -> None:
    roots = [
        store_v3(tmp_path / f"{n}.zarr", systems({"type": "affine", "affine": rows}))
        for n, rows in enumerate([AFFINE, AFFINE[:2]])
    ]

    odd, right = (opened(server, root) for root in roots)

    (_, placed, _), (_, wanted, _) = noc.to_layers(odd)[0], noc.to_layers(right)[0]
    assert [level.scale for level in odd.levels] == [level.scale for level in right.levels]
    assert axis_names(odd) == axis_names(right)
    assert np.array_equal(placed["scale"], wanted["scale"])
    assert np.array_equal(placed["translate"], wanted["translate"])
    assert noted(odd, "affine", "last row")
    assert not noted(right, "affine")


def test_an_affine_whose_further_row_is_no_unit_row_is_not_used(
    server: SlowServer, tmp_path: Path
) -> None:
    rows = [*AFFINE[:2], [0.0, 0.0, 2.0]]

    image = opened(
        server, store_v3(tmp_path / "a.zarr", systems({"type": "affine", "affine": rows}))
    )

    assert np.array_equal(image.read(0), PIXELS)
    assert noted(image, "affine", "not used")


def with_labels(root: Path, attributes: dict[str, Any], *names: str, listed: Any = None) -> Path:
    """Write an image with label images 1 + n at ``labels/name``."""
    store(root, changed())
    zarr.create_group(root / "labels", zarr_format=2)
    for n, name in enumerate(names):
        store(root / "labels" / name, attributes, np.full_like(PIXELS, n + 1))
    if listed is not None:
        (root / "labels" / ".zattrs").write_text(json.dumps({"labels": listed}))
    return root


LABEL = {**changed(), "image-label": {"version": "0.4"}}


@pytest.mark.parametrize("below", ["labels/orphaned", "labels/orphaned/", "labels/orphaned/0"])
def test_labels_that_are_not_listed_open_by_their_own_link(
    below: str, server: SlowServer, tmp_path: Path
) -> None:
    root = with_labels(tmp_path / "a.zarr", LABEL, "orphaned")

    image = opened(server, root, below)

    assert (image.read(0) == 1).all()
    assert image.read(0).shape == PIXELS.shape
    assert image.opened.image.label is not None
    assert noted(image, "labels of the image at")


def test_labels_without_an_image_label_are_labels_all_the_same(
    server: SlowServer, tmp_path: Path
) -> None:
    root = with_labels(tmp_path / "a.zarr", changed(), "cells", listed=["cells"])

    image = opened(server, root)
    alone = opened(server, root, "labels/cells")

    assert [(each.read(0) == 1).all() for each in image.labels] == [True]
    assert alone.opened.image.label is not None
    assert noted(alone, "image-label")


def test_labels_of_another_version_than_their_image_are_shown(
    server: SlowServer, tmp_path: Path
) -> None:
    attributes = {**changed(version="0.3", axes=["y", "x"]), "image-label": {"version": "0.1"}}
    root = with_labels(tmp_path / "a.zarr", attributes, "cells", listed=["cells/"])

    (labels,) = opened(server, root).labels

    assert (labels.read(0) == 1).all()


def test_an_unnamed_image_and_its_labels_have_names_of_their_own(
    server: SlowServer, tmp_path: Path
) -> None:
    root = with_labels(tmp_path / "cells.zarr", LABEL, "a", "b", listed=["a", "b"])
    attributes = with_omero({"window": GOOD}, {"window": GOOD})
    store(tmp_path / "channels.zarr", attributes, CHANNELS)

    image, channels = opened(server, root), opened(server, tmp_path / "channels.zarr")
    from napari_omezarr_cloud.napari.layer_data import labels_layer

    layers = [labels_layer(each, image.name, "") for each in image.labels]
    layers += [*noc.to_layers(image), *noc.to_layers(channels)]
    names = [about["name"] for _, about, _ in layers]

    assert len(set(names)) == 5
    assert all("cells" in name or "channels" in name for name in names)


def test_an_image_called_image_is_told_apart_by_its_link(
    server: SlowServer, tmp_path: Path
) -> None:
    roots = [store(tmp_path / f"{n}.zarr", changed(name="/")) for n in "ab"]

    assert [opened(server, root).name for root in roots] == ["a", "b"]


def test_many_channels_ask_for_nothing_before_they_are_looked_at(
    server: SlowServer, tmp_path: Path
) -> None:
    pixels = np.zeros((44, 8, 8), "u1")
    channels = [{"label": f"dye {n}", "window": GOOD} for n in range(44)]
    root = store(tmp_path / "a.zarr", with_omero(*channels), pixels)

    layers = noc.to_layers(opened(server, root))

    assert len(layers) == 44
    assert not [path for path in server.paths if path.endswith("0/0/0")]
