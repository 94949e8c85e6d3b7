"""Calls in processes of their own: what arrives, what cancelling does, and how they end."""

from __future__ import annotations

import asyncio
import importlib
import operator
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud import errors
from napari_omezarr_cloud.chunks import Pools
from napari_omezarr_cloud.chunks.workers import Workers
from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.process import get_operation, operations, run
from napari_omezarr_cloud.process.functions import remember
from napari_omezarr_cloud.process.registry import remove_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.images import Written

FOR_EVER_S = 10_000


@pytest.fixture
def pools() -> Iterator[Pools]:
    pools = Pools(compute_threads=1)
    pools.workers = Workers(most=1)
    yield pools
    pools.close()


def in_process(pools: Pools, function: Callable[..., Any], *args: Any) -> Any:
    return asyncio.run(pools.compute(function, *args, in_process=True))


def own_pid() -> int:
    """Stand for a function of a notebook: only this process has it."""
    return os.getpid()


own_pid.__module__ = "__main__"


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; pytest's own time limit ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.005)


async def begun(pools: Pools, tmp_path: Path) -> asyncio.Task[Any]:
    """Start a call that takes for ever, and return when a process is at it."""
    sign = tmp_path / "begun"
    code = f"import pathlib, time; pathlib.Path({str(sign)!r}).touch(); time.sleep({FOR_EVER_S})"
    task = asyncio.ensure_future(pools.compute(exec, code, in_process=True))
    await until(sign.exists)
    return task


def python(code: str) -> tuple[str, str]:
    """Run a program, and return what it and its processes printed when all of them have ended."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# ---- what arrives ---------------------------------------------------------------------------


def test_the_call_runs_in_another_process_which_stays_for_the_next(pools: Pools) -> None:
    first = in_process(pools, os.getpid)
    second = in_process(pools, os.getpid)

    assert first == second != os.getpid()


@pytest.mark.parametrize("name", ["gaussian", "label", "difference"])
def test_an_operation_gives_what_it_gives_in_a_thread(pools: Pools, name: str) -> None:
    op = get_operation(name)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 4000, (5, 40, 50)).astype("uint16") for _ in op.inputs]

    found = in_process(pools, run, op, arrays, {})

    np.testing.assert_array_equal(found, run(op, arrays, {}))


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1), id="transposed"),
        pytest.param(np.arange(24).reshape(4, 6)[::2, 1::3], id="with gaps"),
        pytest.param(np.arange(24, dtype=">u2").reshape(4, 6), id="big-endian"),
        pytest.param(np.zeros((0, 3)), id="empty"),
        pytest.param(np.ones(3_000_000, "f4"), id="larger than a pipe"),
    ],
)
def test_arrays_travel_there_and_back(pools: Pools, array: np.ndarray[Any, Any]) -> None:
    found = in_process(pools, np.positive, array)

    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_more_calls_than_processes_are_all_answered(pools: Pools) -> None:
    async def many() -> list[int]:
        calls = (pools.compute(operator.mul, n, n, in_process=True) for n in range(20))
        return await asyncio.gather(*calls)

    assert asyncio.run(many()) == [n * n for n in range(20)]


def test_what_the_function_prints_does_not_disturb_the_answer(
    pools: Pools, capfd: pytest.CaptureFixture[str]
) -> None:
    assert in_process(pools, print, "a word") is None
    assert in_process(pools, os.system, "echo another") == 0

    assert in_process(pools, operator.add, 1, 2) == 3
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.split("\n")[:2] == ["a word", "another"]


def test_every_operation_of_the_registry_can_be_sent() -> None:
    for op in operations().values():
        assert pickle.loads(pickle.dumps(op)).name == op.name


# ---- errors ---------------------------------------------------------------------------------


def test_an_error_of_ours_arrives_as_itself(pools: Pools) -> None:
    image = np.zeros((4, 4))
    with pytest.raises(OperationError) as here:
        run(get_operation("gaussian"), [image], {"sigma": "wide"})

    with pytest.raises(OperationError) as there:
        in_process(pools, run, get_operation("gaussian"), [image], {"sigma": "wide"})

    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_ours_can_be_sent(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("What", where="here", key="0/0", status=404, why="because", hint="Do this.")

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is kind
    assert str(arrived) == str(error)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        pytest.param((operator.truediv, 1, 0), "ZeroDivisionError: division by zero", id="raises"),
        pytest.param((sys.exit, 3), "SystemExit: 3", id="exits"),
        pytest.param((threading.Lock,), "cannot pickle", id="result cannot be sent"),
    ],
)
def test_other_errors_arrive_with_their_text_and_the_process_goes_on(
    pools: Pools, call: tuple[Any, ...], text: str
) -> None:
    pid = in_process(pools, os.getpid)

    with pytest.raises(OperationError, match=text):
        in_process(pools, *call)

    assert in_process(pools, os.getpid) == pid


@pytest.mark.parametrize(
    "call", [pytest.param((os.abort,), id="crash"), pytest.param((os._exit, 9), id="exit")]
)
def test_a_process_that_dies_is_an_error_and_the_next_call_works(
    pools: Pools, call: tuple[Any, ...]
) -> None:
    pid = in_process(pools, os.getpid)

    with pytest.raises(OperationError, match=r"the process that computed it ended .*smaller"):
        in_process(pools, *call)

    assert in_process(pools, os.getpid) not in (pid, os.getpid())


def test_a_process_that_died_while_nobody_used_it_is_replaced(pools: Pools) -> None:
    pid = in_process(pools, os.getpid)

    process = psutil.Process(pid)
    process.kill()
    process.wait()

    assert in_process(pools, os.getpid) != pid


# ---- cancelling -----------------------------------------------------------------------------


def test_cancelling_kills_the_call_and_another_process_takes_over(
    pools: Pools, tmp_path: Path
) -> None:
    async def cancel() -> tuple[int, int]:
        task = await begun(pools, tmp_path)
        (pid,) = pools.workers.pids
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        successor = await pools.compute(os.getpid, in_process=True)
        return pid, successor

    pid, successor = asyncio.run(cancel())

    assert successor not in (pid, os.getpid())
    assert not psutil.pid_exists(pid)


def test_cancelling_a_call_that_waits_leaves_the_running_one_alone(
    pools: Pools, tmp_path: Path
) -> None:
    async def cancel() -> tuple[list[int], list[int], bool]:
        running = await begun(pools, tmp_path)
        before = pools.workers.pids
        waiting = asyncio.ensure_future(pools.compute(os.getpid, in_process=True))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        after, is_done = pools.workers.pids, running.done()
        running.cancel()
        await asyncio.wait([running])
        return before, after, is_done

    before, after, is_done = asyncio.run(cancel())

    assert before == after
    assert not is_done


def test_a_running_call_keeps_neither_the_loop_nor_the_compute_pool(
    pools: Pools, tmp_path: Path
) -> None:
    async def meanwhile() -> int:
        running = await begun(pools, tmp_path)
        found = await pools.compute(os.getpid)  # its pool has one thread
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
        return int(found)

    assert asyncio.run(meanwhile()) == os.getpid()


# ---- what cannot be sent runs here ----------------------------------------------------------


def test_a_function_of_main_runs_in_this_process(pools: Pools) -> None:
    assert in_process(pools, own_pid) == os.getpid()


def test_an_operation_that_names_a_function_of_main_runs_in_this_process(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "mine", lambda image: image + os.getpid(), raising=False)
    op = replace(
        get_operation("gaussian"), function="__main__:mine", parameters=(), fixed=(), holds_gil=True
    )

    found = in_process(pools, run, op, [np.zeros((2, 2))], {})

    assert found[0, 0] == os.getpid()


def test_a_function_without_a_name_runs_in_this_process(pools: Pools) -> None:
    assert in_process(pools, lambda: os.getpid()) == os.getpid()


def test_a_function_of_a_module_that_has_no_file_runs_in_this_process(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("made_in_memory")
    exec("import os\ndef pid(): return os.getpid()", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_in_memory", module)

    assert in_process(pools, module.pid) == os.getpid()


def test_an_operation_whose_function_is_known_here_only_runs_in_this_process(
    pools: Pools,
) -> None:
    def mine(image: Any) -> Any:
        return image + os.getpid()

    op = replace(get_operation("sobel"), function=remember(mine), holds_gil=True)

    found = in_process(pools, run, op, [np.zeros((2, 2))], {})

    assert found[0, 0] == os.getpid()


def test_an_argument_that_cannot_be_sent_runs_in_this_process(pools: Pools) -> None:
    lock = threading.Lock()

    assert in_process(pools, operator.is_, lock, lock) is True


@pytest.mark.parametrize("executable", [None, "", "/nothing/here/python", shutil.which("true")])
def test_without_a_python_to_start_it_runs_in_this_process(
    monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    pools = Pools()

    assert in_process(pools, os.getpid) == os.getpid()
    assert in_process(pools, os.getpid) == os.getpid()
    pools.close()


def test_a_frozen_program_computes_in_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    pools = Pools()

    assert in_process(pools, os.getpid) == os.getpid()
    pools.close()


# ---- own operations --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the name of an operation of a module on the import path, that asks for a process."""
    text = """
        import os
        from napari_omezarr_cloud.process.own import operation

        @operation(holds_gil=True)
        def number_of_process(image):
            return 0 * image + os.getpid()
    """
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_operations.py").write_text(textwrap.dedent(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.import_module("my_operations")
        yield "number_of_process"
        remove_operation("number_of_process")


def test_an_own_operation_can_ask_for_a_process(pools: Pools, own: str) -> None:
    op = get_operation(own)

    found = in_process(pools, run, op, [np.zeros((2, 2))], {})

    assert op.holds_gil
    assert found[0, 0] not in (0, os.getpid())


def test_a_worker_that_is_warm_learns_of_a_new_place_to_import_from(
    pools: Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process(pools, os.getpid) != os.getpid()
    (tmp_path / "brand_new.py").write_text("import os\n\ndef number():\n    return os.getpid()\n")
    monkeypatch.syspath_prepend(tmp_path)
    number = importlib.import_module("brand_new").number

    assert in_process(pools, number) != os.getpid()


def test_a_computed_image_whose_operation_asks_for_a_process_is_computed_in_one(
    own: str, ome_zarr: Callable[[str], Written]
) -> None:
    image = noc.open(str(ome_zarr("v05 with labels").path))

    found = noc.apply(image, noc.Step(own)).read(level=1)

    assert found.size > 0
    assert not np.isin(found, (0, os.getpid())).any()


# ---- surroundings ---------------------------------------------------------------------------


def test_what_the_parent_can_import_the_process_can(
    pools: Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_filters.py").write_text("import os\ndef pid(): return os.getpid()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_filters  # type: ignore[import-not-found]

    assert in_process(pools, my_filters.pid) != os.getpid()


def test_linear_algebra_takes_one_thread_unless_the_person_chose(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    assert in_process(pools, os.getenv, "OPENBLAS_NUM_THREADS") == "1"
    assert in_process(pools, os.getenv, "OMP_NUM_THREADS") == "3"


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no niceness")
def test_the_window_goes_first(pools: Pools) -> None:
    assert in_process(pools, os.nice, 0) >= min(os.nice(0) + 5, 19)


# ---- the end --------------------------------------------------------------------------------


def test_a_process_without_work_ends(pools: Pools) -> None:
    pools.workers = Workers(idle_s=0.05)
    pid = in_process(pools, os.getpid)

    asyncio.run(until(lambda: not pools.workers.pids))

    assert not psutil.pid_exists(pid)
    assert in_process(pools, os.getpid) not in (pid, os.getpid())


def test_closing_ends_a_call_that_runs(tmp_path: Path) -> None:
    async def close() -> int:
        pools = Pools()
        task = await begun(pools, tmp_path)
        (pid,) = pools.workers.pids
        pools.close()
        await asyncio.wait([task])
        assert isinstance(task.exception(), CloudError)
        return pid

    assert not psutil.pid_exists(asyncio.run(close()))


def test_a_program_without_a_guard_runs_once_and_ends_in_the_middle_of_a_call() -> None:
    printed, warned = python("""
        import os, time
        from napari_omezarr_cloud.chunks import engine

        print("main")

        def mine():
            return os.getpid()

        def compute(*call):
            return engine().io.submit(engine().compute(*call, in_process=True))

        print(compute(os.getpid).result() == os.getpid())
        print(compute(mine).result() == os.getpid())
        compute(time.sleep, 10_000)
        time.sleep(0.2)
    """)

    assert printed.split() == ["main", "False", "True"]
    assert warned == ""


def test_processes_end_when_their_parent_is_killed() -> None:
    code = """
        from napari_omezarr_cloud.chunks import engine

        code = "import time; print('begun'); time.sleep(10_000)"
        engine().io.wait(engine().compute(exec, code, in_process=True))
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE, text=True
    )
    assert parent.stderr is not None
    assert parent.stderr.readline().strip() == "begun"

    parent.kill()

    # Its standard error is shared with the process, and ends with the last of them.
    parent.communicate(timeout=120)
