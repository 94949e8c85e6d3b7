"""Extracting: the exact pixels of what is in view, or of a box, as ordinary layers in memory.

What to read is settled by `plan_extracts`; an `Extraction` reads it beside the window and adds
the layers. Stand-ins never get into them: a chunk that cannot be read ends it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer, Signal

from napari_omezarr_cloud.errors import CloudError, OperationError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.extract_plan import (
    Wish,
    check_size,
    chosen_layers,
    plan_extracts,
)
from napari_omezarr_cloud.napari.loading_dialog import LoadingDialog
from napari_omezarr_cloud.napari.notices import plain, tell_error
from napari_omezarr_cloud.napari.region_text import bytes_text, position_text, size_text
from napari_omezarr_cloud.napari.wiring import is_open
from napari_omezarr_cloud.store import io_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_omezarr_cloud.napari.extract_plan import Chosen, Extract

__all__ = ["Extraction", "extract_now", "extracted_text"]

_FRAME_MS = 35

_under_way: set[Extraction] = set()


class Extraction(QObject):
    """One extraction under way: reads, then adds the layers over their sources.

    Parameters
    ----------
    viewer
        Where the layers go; not kept alive.
    extracts
        What to read.
    """

    done = Signal(object)
    """The layers are in the viewer: a list of them."""
    failed = Signal(object)
    """It could not be done: the `CloudError`."""
    ended = Signal()
    """It is over, however it ended."""

    def __init__(self, viewer: Any, extracts: Sequence[Extract]) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self.extracts = tuple(extracts)
        self.chunks = sum(each.chunks for each in extracts)
        """Chunks to load."""
        self.loaded = 0
        """Chunks that have come."""
        self._job: Job[list[npt.NDArray[Any]]] | None = None
        self._waiting: deque[tuple[Extract, npt.NDArray[Any]]] = deque()
        self._made: list[Any] = []

    def start(self) -> None:
        """Begin to read; returns at once. It lives until it has ended."""
        _under_way.add(self)
        future = io_thread().submit(self._read())
        self._job = Job(future, self._on_read, self._on_error)

    def cancel(self) -> None:
        """Give up what is being loaded; nothing comes of it later."""
        if self._job is not None:
            self._job.cancel()
        if self in _under_way:
            self._end()

    async def _read(self) -> list[npt.NDArray[Any]]:
        reading = [each.pixels.read(each.seen.region, self._count) for each in self.extracts]
        return list(await asyncio.gather(*reading))

    def _count(self) -> None:
        self.loaded += 1

    def _on_read(self, arrays: list[npt.NDArray[Any]]) -> None:
        self._job = None
        self._waiting = deque(zip(self.extracts, arrays, strict=True))
        self._add_next()

    def _add_next(self) -> None:
        """Add one layer, and the next one a frame later: each costs napari a tenth of a second."""
        viewer = self._viewer()
        if self not in _under_way:
            return
        if viewer is None or not is_open(viewer):
            self._end()
            return
        extract, pixels = self._waiting.popleft()
        try:
            self._made.append(_add(viewer, extract, pixels, self._under()))
        except Exception as error:  # napari refuses what it cannot draw
            self._on_error(error)
            return
        if self._waiting:
            QTimer.singleShot(_FRAME_MS, self._add_next)
            return
        self._end()
        self.done.emit(self._made)

    def _under(self) -> list[Any]:
        """Return the layers over which the next one lies."""
        return [*(each.source() for each in self.extracts), *self._made]

    def _on_error(self, error: BaseException) -> None:
        if not isinstance(error, CloudError):
            names = ", ".join(each.name for each in self.extracts)
            error = OperationError(f"Could not extract {names}", why=str(error))
        self._end()
        self.failed.emit(error)

    def _end(self) -> None:
        self._job = None
        _under_way.discard(self)
        self.ended.emit()


def extract_now(viewer: Any) -> Extraction | None:
    """Extract the selected layers (or all visible ones) at once: the view, or the rectangle drawn.

    Returns at once; a dialog that can cancel shows how far it is, if it takes long. What was
    taken, or why nothing was, is told by a notification.

    Returns
    -------
    Extraction or None
        What is under way; None where nothing could be begun.
    """
    chosen, wish = chosen_layers(viewer), Wish()
    try:
        extracts = plan_extracts(viewer, chosen, wish)
        check_size(viewer, chosen, wish, extracts)
    except CloudError as error:
        tell_error(error)
        return None
    extraction = Extraction(viewer, extracts)
    sentence = extracted_text(chosen, extracts)
    reference = weakref.ref(viewer)

    def tell(_: object) -> None:
        live = reference()
        if live is not None:
            live.status = sentence
        show_info(plain(sentence))

    extraction.done.connect(tell)
    extraction.failed.connect(tell_error)
    words = "Extracting " + ", ".join(each.name for each in extracts)
    LoadingDialog(viewer, extraction, "Extract", words)
    extraction.start()
    return extraction


def extracted_text(chosen: Chosen, extracts: Sequence[Extract]) -> str:
    """Return what was taken, in a sentence or two."""
    first = extracts[0].seen
    names = ", ".join(f"“{each.name}”" for each in extracts)
    levels = dict.fromkeys(each.seen.level.number for each in extracts)
    level = f"level {' and '.join(map(str, levels))}"
    nbytes = bytes_text(sum(each.nbytes for each in extracts))
    parts = [
        f"Extracted {size_text(first)} at {level} of {names}: {position_text(first)}, {nbytes}."
    ]
    if chosen.shapes is not None:
        parts.append(f"Taken: the rectangle of “{chosen.shapes.name}”.")
    if not chosen.is_selected:
        parts.append("No image was selected, so all visible ones were taken.")
    taken = {each.name for each in extracts}
    left = [f"“{layer.name}”" for layer in chosen.layers if layer.name not in taken]
    if left:
        place = "in view" if chosen.shapes is None else "in it"
        parts.append(f"Nothing of {', '.join(left)} is {place}.")
    return " ".join(parts)


def _add(viewer: Any, extract: Extract, pixels: npt.NDArray[Any], under: Sequence[Any]) -> Any:
    """Add a layer right over others, and leave what is selected so, to go on from there."""
    from napari.layers import Layer

    flat = pixels.reshape(pixels.shape[extract.dropped :])
    layer = Layer.create(flat, {**extract.attributes, "multiscale": False}, extract.kind)
    if extract.limits_range is not None:
        layer.contrast_limits_range = extract.limits_range
    places = [viewer.layers.index(each) for each in under if each in viewer.layers]
    selected = set(viewer.layers.selection)
    viewer.layers.insert(max(places) + 1 if places else len(viewer.layers), layer)
    viewer.layers.selection = selected
    return layer
