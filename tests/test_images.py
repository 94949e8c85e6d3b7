"""The images that other tests read hold what they claim, to a reader that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.images import Written


def arrays(written: Written) -> list[zarr.Array[Any]]:
    found = dict(zarr.open_group(written.path, mode="r").arrays())
    return [found[name] for name in sorted(found)]


def test_zarr_reads_every_level(any_image: Written) -> None:
    for array, level in zip(arrays(any_image), any_image.levels, strict=True):
        assert array.dtype == level.dtype
        assert np.array_equal(array[...], level)


def test_every_level_has_a_transform_of_all_axes(any_image: Written) -> None:
    lengths = {len(one) for one in (*any_image.scales, *any_image.translations)}

    assert lengths == {len(any_image.axes)}
    assert len(any_image.scales) == len(any_image.levels)


def test_kinds_are_stored_as_their_names_say(ome_zarr: Callable[[str], Written]) -> None:
    sharded, dotted = ome_zarr("sharded"), ome_zarr("dots in keys")
    uneven, holey = ome_zarr("scales are no shape ratios"), ome_zarr("missing chunks")

    assert arrays(sharded)[0].shards == (1, 128, 128)
    assert (dotted.path / "0" / "c.0.0").is_file()
    assert uneven.levels[1].shape == (257, 193)
    assert uneven.scales[1] == (0.5, 0.5)
    assert uneven.translations[1] == (0.125, 0.125)
    assert len([file for file in (holey.path / "0" / "c").rglob("*") if file.is_file()]) == 9


def test_labels_lie_beside_their_image(ome_zarr: Callable[[str], Written]) -> None:
    for kind in ("v04 with labels", "v05 with labels"):
        image = ome_zarr(kind)
        group = zarr.open_group(image.path / "labels" / "cells", mode="r")

        for number, level in enumerate(image.labels["cells"]):
            assert np.array_equal(dict(group.arrays())[f"s{number}"][...], level)
