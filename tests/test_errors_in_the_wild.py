"""Stores as other programs got them wrong: opened as well as they can be, with a note."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import napari_omezarr_cloud as noc

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.arange(40 * 30, dtype="u2").reshape(40, 30)
AXES = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space"}]
SCALE = [{"type": "scale", "scale": [2, 3]}]
ENTRY: dict[str, Any] = {
    "version": "0.4",
    "axes": AXES,
    "datasets": [{"path": "0", "coordinateTransformations": SCALE}],
}


def store(root: Path, attributes: dict[str, Any], pixels: Any = PIXELS, **how: Any) -> str:
    """Write a zarr v2 image with these attributes."""
    group = zarr.create_group(root, zarr_format=2)
    how = {"chunk_key_encoding": {"name": "v2", "separator": "/"}, **how}
    array = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, chunks=(1,) * (pixels.ndim - 2) + (16, 16),
        **how,
    )  # fmt: skip
    array[...] = pixels
    (root / ".zattrs").write_text(json.dumps(attributes))
    return str(root)


def without(*names: str) -> dict[str, Any]:
    return {"multiscales": [{k: v for k, v in ENTRY.items() if k not in names}]}


def changed(**values: Any) -> dict[str, Any]:
    return {"multiscales": [{**ENTRY, **values}]}


def transformed(*transforms: dict[str, Any]) -> dict[str, Any]:
    return changed(datasets=[{"path": "0", "coordinateTransformations": list(transforms)}])


WITH_NOTE = {
    "no axes": without("axes"),
    "axes without type": changed(axes=[{"name": "y"}, {"name": "x"}]),
    "no version": without("version"),
    "unknown version": changed(version="7.1"),
    "scale of wrong length": transformed({"type": "scale", "scale": [1, 2, 3]}),
    "scale of zero": transformed({"type": "scale", "scale": [0, 1]}),
    "scale of text": transformed({"type": "scale", "scale": ["a", 1]}),
    "multiscales is an object": {"multiscales": ENTRY},
}
WITHOUT_LOSS = {
    "no transformations": changed(datasets=[{"path": "0"}]),
    "blank unit": changed(axes=[{**AXES[0], "unit": " "}, AXES[1]]),
    "path with a slash at its end": changed(datasets=[{"path": "0/"}]),
}


@pytest.mark.parametrize("name", [*WITH_NOTE, *WITHOUT_LOSS])
def test_odd_multiscales_are_shown_voxel_for_voxel(name: str, tmp_path: Path) -> None:
    image = noc.open(store(tmp_path / "a.zarr", {**WITH_NOTE, **WITHOUT_LOSS}[name]))

    assert np.array_equal(image.read(0), PIXELS)
    if name in WITH_NOTE:
        assert image.notes
        said = noc.to_layers(image)[0][1]["metadata"]
        assert str(list(image.notes)) in str(said)


WINDOWS: list[Any] = [
    None, {}, {"start": None, "end": None}, {"start": float("nan"), "end": 9},
    {"start": 5, "end": 5}, "wide",
]  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_of_no_use_leaves_an_image_that_can_be_seen(window: Any, tmp_path: Path) -> None:
    omero = {"channels": [{"color": "00FF00", "window": window}]}

    image = noc.open(store(tmp_path / "a.zarr", {**changed(), "omero": omero}))
    _, attributes, _ = noc.to_layers(image)[0]

    low, high = attributes.get("contrast_limits") or (0, 1)
    assert low < high


@pytest.mark.parametrize("color", ["#FF0000", "F00", "ff0000", "FF0000", 16711680])
@pytest.mark.parametrize("count", [1, 3])
def test_colours_and_numbers_of_channels_are_made_to_fit(
    color: Any, count: int, tmp_path: Path
) -> None:
    pixels = np.stack([PIXELS, PIXELS + 1])
    attributes = changed(
        axes=[{"name": "c", "type": "channel"}, *AXES], datasets=[{"path": "0"}]
    ) | {"omero": {"channels": [{"color": color}] * count}}

    layers = noc.to_layers(noc.open(store(tmp_path / "a.zarr", attributes, pixels)))

    assert len(layers) == 2


def test_attributes_are_enough_without_a_group_file(tmp_path: Path) -> None:
    link = store(tmp_path / "a.zarr", changed())
    (tmp_path / "a.zarr" / ".zgroup").unlink()

    assert np.array_equal(noc.open(link).read(0), PIXELS)


@pytest.mark.parametrize(("written", "stated"), [("/", "."), (".", "/"), ("/", None)])
def test_chunks_under_the_other_separator_are_found(
    written: str, stated: str | None, tmp_path: Path
) -> None:
    encoding = {"name": "v2", "separator": written}
    link = store(tmp_path / "a.zarr", changed(), chunk_key_encoding=encoding)
    path = tmp_path / "a.zarr" / "0" / ".zarray"
    document = json.loads(path.read_text())
    document.pop("dimension_separator", None)
    if stated is not None:
        document["dimension_separator"] = stated
    path.write_text(json.dumps(document))

    assert np.array_equal(noc.open(link).read(0), PIXELS)


def test_a_misspelt_separator_is_used_with_a_note(tmp_path: Path) -> None:
    link = store(tmp_path / "a.zarr", changed())
    path = tmp_path / "a.zarr" / "0" / ".zarray"
    path.write_text(path.read_text().replace("dimension_separator", "dimension_seperator"))

    image = noc.open(link)

    assert np.array_equal(image.read(0), PIXELS)
    assert any("dimension_seperator" in note for note in image.notes)


def test_stale_consolidated_metadata_are_not_believed(tmp_path: Path) -> None:
    link = store(tmp_path / "a.zarr", changed())
    stale = json.loads((tmp_path / "a.zarr" / "0" / ".zarray").read_text()) | {"shape": [1, 1]}
    (tmp_path / "a.zarr" / ".zmetadata").write_text(
        json.dumps({"zarr_consolidated_format": 1, "metadata": {"0/.zarray": stale}})
    )

    assert np.array_equal(noc.open(link).read(0), PIXELS)
