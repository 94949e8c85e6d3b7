"""What the tests in a real window share."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_omezarr_cloud import settings as settings_module
from tests.fixtures.images import pattern, pyramid, write_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.images import Written


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> None:
    """Spare the garbage collector what is loaded by now, and will be for good.

    napari collects all garbage whenever layers are removed, the tests' fixtures do after each
    test. Over all modules and collected tests that takes longer than most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once() -> Iterator[None]:
    """Have each list of plugins look through what is installed once, not for every window."""
    discover, done = PluginManager.discover, WeakSet[PluginManager]()

    def discover_once(manager: PluginManager, *args: Any, **how: Any) -> int:
        if manager in done:
            return 0
        done.add(manager)
        return discover(manager, *args, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManager, "discover", discover_once)
        yield


@pytest.fixture(autouse=True)
def no_key_held() -> Iterator[None]:
    """Let go of Alt, Ctrl and Shift: Qt holds on to those of the last key that a test pressed."""
    yield
    if QGuiApplication.keyboardModifiers():
        QTest.keyRelease(QWidget(), Qt.Key.Key_Alt)


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer(show=True)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What notifications said."""
    sentences: list[str] = []

    def listen(notification: Any) -> None:
        sentences.append(notification.message)

    notification_manager.notification_ready.connect(listen)
    yield sentences
    notification_manager.notification_ready.disconnect(listen)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two channels over time and depth, of which no two voxels near each other are alike."""
    levels = pyramid(pattern((2, 2, 4, 256, 192)), 3)
    path = tmp_path_factory.mktemp("stack") / "stack.zarr"
    return write_directly(path, "tczyx", levels, chunks=(1, 1, 2, 64, 64))


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Switch loading ahead on for this test; called with settings, change them."""
    monkeypatch.delenv("OMEZARR_PREFETCH")

    def change(**changes: Any) -> None:
        chosen = replace(settings_module.Settings(), **changes)
        forced = replace(settings_module.in_force(), settings=chosen)
        monkeypatch.setattr(settings_module, "_in_force", forced)

    change()
    return change
