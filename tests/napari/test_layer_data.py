"""Layers from images of every type of number, and where they are placed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from napari.layers import Layer

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.napari.layer_data import labels_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_omezarr_cloud.napari.layer_data import LayerData

DTYPES = ["bool", "i1", "u1", "i2", ">u2", "i4", ">u4", "i8", "u8", "f2", "f4", ">f8"]


def write(
    folder: Path, pixels: Any, axes: str, scale: list[float] | None = None, **ome: Any
) -> str:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.create_array("0", data=pixels, chunks=tuple(min(n, 8) for n in pixels.shape))
    transform = {"type": "scale", "scale": scale or [1.0] * pixels.ndim}
    kinds = {"c": {"type": "channel"}, "t": {"type": "time"}}
    listed = [{"name": a, **kinds.get(a, {"type": "space"}), **ome.pop(a, {})} for a in axes]
    datasets = [{"path": "0", "coordinateTransformations": [transform]}]
    about = {"version": "0.5", "multiscales": [{"axes": listed, "datasets": datasets}], **ome}
    group.attrs["ome"] = about
    return str(folder)


def layer_of(data: LayerData) -> Any:
    return Layer.create(*data)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_every_type_are_shown_as_they_are(tmp_path: Path, dtype: str) -> None:
    pixels = (np.arange(12 * 10).reshape(12, 10) % 100).astype(dtype)

    layer = layer_of(noc.to_layers(noc.open(write(tmp_path / "a.zarr", pixels, "yx")))[0])

    assert layer.data[0].dtype.isnative
    np.testing.assert_array_equal(np.asarray(layer.data[0]), pixels)
    assert layer.contrast_limits[0] < layer.contrast_limits[1]


def test_complex_numbers_are_shown_as_magnitude_and_kept_in_the_image(tmp_path: Path) -> None:
    pixels = (np.arange(80).reshape(8, 10) * (3 + 4j)).astype("c8")
    image = noc.open(write(tmp_path / "a.zarr", pixels, "yx"))

    layer = layer_of(noc.to_layers(image)[0])

    np.testing.assert_allclose(np.asarray(layer.data[0]), np.abs(pixels))
    np.testing.assert_array_equal(image.levels[0].dask.compute(), pixels)
    np.testing.assert_array_equal(image.read(), pixels)
    with pytest.warns(UserWarning, match="Their magnitude is saved, as it is shown; their phase"):
        saved = noc.save_layers([layer], tmp_path / "b.zarr")
    np.testing.assert_allclose(saved.read(), np.abs(pixels))


def test_booleans_are_labels_too(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", np.zeros((8, 8), "u1"), "yx")
    mask = np.eye(8, dtype=bool)
    zarr.open_group(tmp_path / "a.zarr/labels", mode="w").attrs["ome"] = {"labels": ["mask"]}
    write(tmp_path / "a.zarr/labels/mask", mask, "yx")
    image = noc.open(str(tmp_path / "a.zarr"))

    layer = layer_of(labels_layer(image.labels[0], image.name, "here"))

    np.testing.assert_array_equal(np.asarray(layer.data[0]), mask)


@pytest.mark.parametrize(("value", "dtype"), [(2**40 + 7, "u8"), (2**33, "i8"), (70_000, "u4")])
def test_labels_of_large_values_are_shown_whatever_their_colours(
    tmp_path: Path, value: int, dtype: str
) -> None:
    pixels = np.zeros((9, 8), dtype)
    pixels[2:4, 3] = value
    about = {
        "colors": [{"label-value": value, "rgba": [255, 0, 0, 255]}],
        "properties": [{"label-value": value, "area": 2}],
    }
    image = noc.open(write(tmp_path / "x.zarr", pixels, "yx", **{"image-label": about}))
    label = image.opened.image.label
    assert label is not None

    made = labels_layer(noc.Labels(image.pyramid, "x", label), "x", "here")
    layer = layer_of(made)

    assert layer.get_value((2, 3), world=True)[-1] == value
    assert (layer._slice.image.view[2, 3] != 0).all()
    assert value in list(layer.features["index"])
    notes = layer.metadata["omezarr"]["notes"]
    assert find_spec("numba") is not None or any("only with numba" in note for note in notes)


def test_colours_on_the_last_axis_are_one_picture(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 10, 3)).astype("u1")

    (data,) = noc.to_layers(noc.open(write(tmp_path / "a.zarr", pixels, "yxc")))

    layer = layer_of(data)
    assert layer.rgb
    np.testing.assert_array_equal(np.asarray(layer.data[0]), pixels)


def test_channels_that_come_first_are_one_picture_on_demand(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 10)).astype("u1")
    image = noc.open(write(tmp_path / "a.zarr", pixels, "cyx"))

    assert len(noc.to_layers(image)) == 3
    (data,) = noc.to_layers(image, rgb=True)

    np.testing.assert_array_equal(np.asarray(layer_of(data).data[0]), np.moveaxis(pixels, 0, -1))


def test_all_lengths_come_in_micrometres(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 8), "u1")
    units = {"z": {"unit": "millimeter"}, "y": {"unit": "nanometer"}, "x": {"unit": "micrometer"}}
    image = noc.open(write(tmp_path / "a.zarr", pixels, "zyx", [0.002, 500.0, 0.5], **units))

    layer = layer_of(noc.to_layers(image)[0])

    np.testing.assert_allclose(layer.scale, [2.0, 0.5, 0.5])
    assert {str(unit) for unit in layer.units} == {"micrometer"}
