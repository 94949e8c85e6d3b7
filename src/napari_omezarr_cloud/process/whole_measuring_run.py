"""The run of a whole measuring: blocks tallied side by side, then objects that no block held."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.chunks import engine
from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.blockwise import BLOCK_VOXELS, BlockReader
from napari_omezarr_cloud.process.region_frame import Notes
from napari_omezarr_cloud.process.tally import Tally, TallyOfBlocks, tally_block, whole_values
from napari_omezarr_cloud.process.tally_table import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_omezarr_cloud.process.table import Table
    from napari_omezarr_cloud.process.whole_measuring import WholeMeasuring
    from napari_omezarr_cloud.pyramid import Region
    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["MeasuringRun"]

_Array = npt.NDArray[Any]

_OBJECT_VOXELS = 1 << 25
"""Box of an object that is read at once: about a gigabyte, with what is made of it."""
_OBJECTS_AT_ONCE = BLOCK_VOXELS
"""Voxels read for several objects that lie near each other."""


class MeasuringRun:
    """One measuring under way; on ordinary threads.

    Parameters
    ----------
    plan
        What is measured.
    progress
        Counts; by it another thread cancels.
    threads
        How many blocks at once; None: as many as there are processors.
    tell
        Called in this thread after each block.
    """

    def __init__(
        self,
        plan: WholeMeasuring,
        progress: Progress,
        threads: int | None,
        tell: Callable[[Progress], None],
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._threads = threads or os.cpu_count() or 1
        self._tell = tell
        self._reader = BlockReader(engine())
        self._transform = plan.labels.transform(plan.number)

    def table(self) -> tuple[Table, Tally]:
        """Measure, and return the table and what stands behind it; waits.

        Raises
        ------
        OperationError
            If it was cancelled, or the labels are none.
        CloudError
            If voxels cannot be read.
        """
        plan, grid = self._plan, self._plan.grid
        notes = Notes()
        for sentence in plan.notes:
            notes.add(sentence)
        join = self._progress.waits.join
        with ThreadPoolExecutor(self._threads, "omezarr-measure", join) as pool:
            self._progress.task_count += plan.block_count
            found = TallyOfBlocks()
            for each in self._each(pool, self._block, grid.blocks()):
                found.add(each)
            tally = found.tally
            if tally is not None and plan.wanted.of_wholes and tally.is_open.any():
                tally = self._with_wholes(pool, tally, notes)
        if tally is None:
            tally = Tally.of_none(plan.labels.dtype, plan.wanted, len(plan.images))
        shape = [grid.region.shape[axis] for axis in grid.space]
        table = table_of(
            tally,
            set(plan.properties),
            plan.wanted,
            images=plan.names,
            frame=plan.frame,
            shape=shape,
            places=self._places(tally),
            notes=notes,
        )
        return table, tally

    def _places(self, tally: Tally) -> dict[str, _Array]:
        """Return where objects are along the other axes of more than one position."""
        grid = self._plan.grid
        others = grid.others
        shape = [grid.region.shape[axis] for axis in others]
        if not others:
            return {}
        at = np.unravel_index(tally.places, shape)
        return {
            self._plan.labels.axes[axis].name: where + grid.region.start[axis]
            for axis, where, size in zip(others, at, shape, strict=True)
            if size > 1
        }

    def _each(
        self, pool: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]
    ) -> Iterator[Any]:
        """Yield what a function gives for each item, in their order, a few at a time."""
        running: deque[Any] = deque()
        items = iter(items)
        try:
            while True:
                for item in itertools.islice(items, self._threads + 1 - len(running)):
                    running.append(pool.submit(function, item))
                if not running:
                    return
                try:
                    result = running.popleft().result()
                except BaseException as error:
                    self._progress.cancel()  # what others read now is for nothing
                    if isinstance(error, CancelledError):
                        raise OperationError("Measuring was cancelled") from error
                    raise
                self._progress.tasks_done += 1
                self._tell(self._progress)
                yield result
        finally:
            for future in running:
                future.cancel()

    def _check(self) -> None:
        if self._progress.is_cancelled:
            raise OperationError("Measuring was cancelled")

    def _read(self, region: Region, *, with_images: bool = True) -> tuple[_Array, list[_Array]]:
        """Return labels and images of a region, without its other axes."""
        plan = self._plan

        async def labels() -> _Array:
            level, there = plan.labels.level(plan.number), plan.labels.expand(region)
            return plan.labels.reduce(await self._reader.region(level, there))

        async def images() -> list[_Array]:
            reading = (
                each.read(region, self._transform, self._reader)
                for each in plan.images
                if with_images
            )
            return list(await asyncio.gather(*reading))

        io = engine().io
        found = self._on_space(io.wait(labels()))
        if not found.any():
            return found, []
        greys = [self._on_space(each) for each in io.wait(images())]
        self._progress.add(found.nbytes + sum(each.nbytes for each in greys), 0)
        return found, greys

    def _on_space(self, pixels: _Array) -> _Array:
        return pixels.squeeze(axis=self._plan.grid.others)

    def _block(self, block: Region) -> Tally | None:
        self._check()
        plan, grid = self._plan, self._plan.grid
        labels, images = self._read(block)
        if not labels.any():
            return None
        found = tally_block(
            labels,
            dict(zip(plan.names, images, strict=True)),
            plan.wanted,
            place=grid.place(block),
            origin=[block.start[a] - grid.region.start[a] for a in grid.space],
            inner=grid.inner(block),
            is_cancelled=lambda: self._progress.is_cancelled,
        )
        self._check()
        return found

    # ---- objects that no block held -------------------------------------------------------------

    def _with_wholes(self, pool: ThreadPoolExecutor, tally: Tally, notes: Notes) -> Tally:
        """Read the objects that are open, and measure what needs a whole one."""
        sizes = np.diff(tally.boxes, axis=2)[..., 0].astype(np.float64).prod(axis=1)
        rows = np.flatnonzero(tally.is_open & (sizes <= _OBJECT_VOXELS))
        too_large = int(np.count_nonzero(tally.is_open)) - len(rows)
        for name in self._plan.wanted.of_wholes:
            notes.missing(name, too_large, "they are too large to be read at once")
        groups = list(_near(rows, tally))
        self._progress.task_count += len(groups)
        wholes, reasons = tally.wholes.copy(), dict(tally.reasons)
        for found in self._each(pool, lambda group: self._wholes(tally, group), groups):
            for row, values in found:
                for column, (name, value) in enumerate(values):
                    if isinstance(value, str):
                        key = int(tally.places[row]), int(tally.numbers[row])
                        reasons[key] = [*reasons.get(key, ()), (name, value)]
                    else:
                        wholes[row, column] = value
        return replace(tally, wholes=wholes, reasons=reasons)

    def _wholes(self, tally: Tally, rows: Sequence[int]) -> list[tuple[int, Any]]:
        self._check()
        boxes = tally.boxes[rows]
        around = np.stack([boxes[..., 0].min(axis=0), boxes[..., 1].max(axis=0)], axis=1)
        wanted = self._plan.wanted
        region = self._plan.grid.region_of(int(tally.places[rows[0]]), around)
        labels, images = self._read(region, with_images=bool(wanted.medians))
        greys = dict(zip(self._plan.names, images, strict=False))
        found = []
        for row, box in zip(rows, boxes - around[:, :1], strict=True):
            self._check()
            part = tuple(slice(int(a), int(b)) for a, b in box)
            mask = labels[part] == tally.numbers[row]
            inside = {name: greys[name][part] for name in wanted.medians}
            found.append((int(row), whole_values(mask, inside, wanted)))
        return found


def _near(rows: npt.NDArray[np.intp], tally: Tally) -> Iterator[npt.NDArray[np.intp]]:
    """Yield objects in groups that are read together: near each other, at one place."""
    starts = tally.boxes[rows, :, 0]
    side = max(1, round(_OBJECTS_AT_ONCE ** (1 / starts.shape[1]) / 2))
    keys = [starts[:, axis] // side for axis in reversed(range(starts.shape[1]))]
    ordered = rows[np.lexsort((*keys, tally.places[rows]))]
    first = 0
    low, high = None, None
    for at, row in enumerate(ordered):
        box = tally.boxes[row]
        if low is None or high is None:
            low, high = box[:, 0], box[:, 1]
            continue
        wider = np.minimum(low, box[:, 0]), np.maximum(high, box[:, 1])
        is_near = float((wider[1] - wider[0]).astype(np.float64).prod()) <= _OBJECTS_AT_ONCE
        if is_near and tally.places[row] == tally.places[ordered[first]]:
            low, high = wider
        else:
            yield ordered[first:at]
            first, low, high = at, box[:, 0], box[:, 1]
    if len(ordered):
        yield ordered[first:]
