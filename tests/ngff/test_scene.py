"""Scenes of OME-Zarr 0.6: which images they name, and where those lie."""

from __future__ import annotations

import json
from typing import Any

import pytest

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import Affine, Group, Image, parse_group, parse_images
from napari_omezarr_cloud.ngff.scene import Scene, parse_scene, place_images

AXES = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]


def _group(**ome: Any) -> Group:
    attributes = {"ome": {"version": "0.6rc0", **ome}}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return parse_group({"zarr.json": json.dumps(document).encode()}, where="scene.zarr")


def _scene(*transformations: Any, systems: tuple[str, ...] = ("world",)) -> Scene:
    return parse_scene(
        _group(
            scene={
                "coordinateSystems": [{"name": name, "axes": AXES} for name in systems],
                "coordinateTransformations": list(transformations),
            }
        )
    )


def _image(*transformations: Any, systems: tuple[str, ...] = ("physical",)) -> Image:
    scale = {"type": "scale", "scale": [1, 1], "output": {"name": "physical"}}
    entry = {
        "coordinateSystems": [{"name": name, "axes": AXES} for name in systems],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        "coordinateTransformations": list(transformations),
    }
    return parse_images(_group(multiscales=[entry]))[0]


def _of(path: str, name: str = "physical") -> dict[str, str]:
    return {"path": path, "name": name}


def _move(start: Any, end: Any, *by: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(by), "input": start, "output": end}


WORLD = {"name": "world"}


def test_images_lie_where_the_scene_puts_them() -> None:
    scene = _scene(_move(_of("a"), WORLD, 0, 0), _move(_of("b"), WORLD, 5, 348))

    placed, notes = place_images(scene, {"a": _image(), "b": _image()})

    assert scene.paths == ("a", "b")
    assert placed["a"].affine is None
    assert placed["b"].affine == Affine.diagonal((1, 1), (5, 348))
    assert notes == []


def test_an_image_is_reached_backwards_and_over_another_image() -> None:
    scene = _scene(_move(WORLD, _of("a"), 0, 50), _move(_of("b"), _of("a"), 1, 1))

    placed, _ = place_images(scene, {"a": _image(), "b": _image()})

    assert placed["a"].affine == Affine.diagonal((1, 1), (0, -50))
    assert placed["b"].affine == Affine.diagonal((1, 1), (1, -49))


def test_an_images_own_transformation_is_on_the_way() -> None:
    turned = {
        "type": "rotation",
        "rotation": [[0, -1], [1, 0]],
        "input": {"name": "physical"},
        "output": {"name": "rotated"},
    }
    image = _image(turned, systems=("rotated", "physical"))
    scene = _scene(_move(_of("a", "rotated"), WORLD, 10, 0))

    placed, _ = place_images(scene, {"a": image})

    assert placed["a"].affine == Affine(((0.0, -1.0), (1.0, 0.0)), (10.0, 0.0))


def test_the_first_of_the_scenes_own_systems_is_shown() -> None:
    scene = _scene(
        _move(_of("a"), {"name": "second"}, 1, 1),
        _move(_of("a"), {"name": "first"}, 2, 2),
        systems=("first", "second"),
    )

    placed, _ = place_images(scene, {"a": _image()})

    assert placed["a"].affine == Affine.diagonal((1, 1), (2, 2))


def test_without_systems_of_its_own_a_scene_is_shown_where_its_first_transformation_leads() -> None:
    scene = _scene(_move(_of("a"), _of("b"), 3, 4), systems=())

    placed, notes = place_images(scene, {"a": _image(), "b": _image()})

    assert placed["a"].affine == Affine.diagonal((1, 1), (3, 4))
    assert placed["b"].affine is None
    assert "'physical' of 'b'" in notes[0]


def test_an_image_without_a_way_is_shown_as_it_is_with_a_note() -> None:
    field = {"type": "displacements", "path": "field", "input": _of("a"), "output": WORLD}
    scene = _scene(field, _move(_of("b"), WORLD, 1, 1))

    placed, notes = place_images(scene, {"a": _image(), "b": _image()})

    assert placed["a"].affine is None
    assert any("could not be found" in note for note in placed["a"].notes)
    assert any("displacements" in note for note in notes)


def test_drafts_that_write_path_and_name_as_one_text_are_read() -> None:
    scene = _scene(_move("a/physical", "world", 1, 2))

    placed, _ = place_images(scene, {"a": _image()})

    assert placed["a"].affine == Affine.diagonal((1, 1), (1, 2))


@pytest.mark.parametrize("path", ["../secret", "/etc", "a/../../b", "https://x.org/a", "%2e%2e/a"])
def test_a_scene_never_leads_out_of_the_data_set(path: str) -> None:
    with pytest.raises(MetadataError, match="path"):
        _scene(_move(_of(path), WORLD, 0, 0))


@pytest.mark.parametrize("scene", [{}, [], {"coordinateTransformations": [3, None, {}]}, "text"])
def test_a_scene_without_images_says_so(scene: Any) -> None:
    with pytest.raises(MetadataError, match=r"scene\.zarr"):
        parse_scene(_group(scene=scene))
