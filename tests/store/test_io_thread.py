"""The thread that waits for bytes: who may wait for it, and how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from napari_omezarr_cloud.errors import WouldBlockError
from napari_omezarr_cloud.store import IoThread, forbid_waiting, io_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.slow_http import SlowServer

EXIT_WHILE_OPENING = """
import sys
import napari_omezarr_cloud
future = napari_omezarr_cloud.open_async(sys.argv[1])
sys.stdin.read()
"""


async def nothing() -> str:
    return "done"


def test_a_script_may_wait() -> None:
    assert io_thread().wait(nothing()) == "done"


def test_waiting_on_the_loop_itself_raises_instead_of_hanging() -> None:
    async def wait_inside() -> None:
        io_thread().wait(nothing())

    with pytest.raises(WouldBlockError, match="must never wait"):
        io_thread().wait(wait_inside())


def test_waiting_in_a_pool_thread_raises_instead_of_hanging() -> None:
    found: list[BaseException] = []

    def work() -> None:
        forbid_waiting()
        try:
            io_thread().wait(nothing())
        except WouldBlockError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1


def test_stopping_gives_up_the_work_under_way() -> None:
    thread = IoThread()
    started, ended = threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = thread.submit(work())
    assert started.wait(10)

    thread.stop()

    assert ended.is_set()
    assert future.cancelled()
    assert not thread.loop.is_running()


def test_a_program_that_ends_while_opening_says_nothing(
    slow_server: Callable[..., SlowServer], tmp_path: Path
) -> None:
    server = slow_server(tmp_path)
    server.fault("", "hang")
    command = [sys.executable, "-c", EXIT_WHILE_OPENING, f"{server.url}/x.zarr"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as program:
        assert server.wait_until(lambda s: len(s.log) > 5, 60)

        out, err = program.communicate(b"")

    assert (program.returncode, out, err) == (0, b"", b"")
    assert server.wait_until(lambda s: s.connections.open == 0)


def test_what_is_posted_after_the_end_is_dropped_without_a_word() -> None:
    thread, called = IoThread(), threading.Event()
    thread.post(called.set)
    assert called.wait(10)
    thread.stop()

    thread.post(called.set)
