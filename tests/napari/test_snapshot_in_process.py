"""*Apply to view* with operations that hold the GIL: in another process, and Cancel ends it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from napari_omezarr_cloud.napari.snapshot import plan_snapshot, start_snapshot
from napari_omezarr_cloud.process import get_operation
from tests.fixtures.images import pattern

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(pattern((60, 80)))
    return viewer


def test_the_result_is_that_of_a_thread(viewer: Any) -> None:
    layers = list(viewer.layers)
    in_thread = replace(get_operation("gaussian"), holds_gil=False)
    in_process = replace(in_thread, holds_gil=True)

    found, expected = (
        start_snapshot(plan_snapshot(viewer, op, {"sigma": 2.0}, layers))[0].result(60)
        for op in (in_process, in_thread)
    )

    np.testing.assert_array_equal(found.layer[0], expected.layer[0])
    assert found.layer[1].keys() == expected.layer[1].keys()
    assert found.snapshot.values == expected.snapshot.values


def test_cancel_ends_what_is_being_computed(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    sign = tmp_path / "begun"
    op = replace(
        get_operation("sobel"),
        function="tests.fixtures.slow_functions:for_ever",
        fixed=(("sign", str(sign)),),
        holds_gil=True,
    )
    future, _ = start_snapshot(plan_snapshot(viewer, op, {}, list(viewer.layers)))
    qtbot.waitUntil(sign.exists, timeout=30000)
    pid = int(sign.read_text())

    future.cancel()

    assert pid != os.getpid()
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid), timeout=30000)
