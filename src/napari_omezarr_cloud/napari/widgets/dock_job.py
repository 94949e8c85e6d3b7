"""What a dock has under way: one job at a time, shown as it goes on, given up with the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QTimer

from napari_omezarr_cloud.napari.background import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from qtpy.QtWidgets import QWidget

    from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

__all__ = ["DockJob", "Steps"]

_PROGRESS_MS = 80


class Steps(Protocol):
    """How far something is; may be written by another thread."""

    def step(self) -> tuple[int, int, str]:
        """Return how much is done, of how much (0: nobody knows), and both in words."""


class DockJob:
    """Work beside the window whose end is told to a dock, as `Job` does.

    Parameters
    ----------
    dock
        With whom it ends, whoever deletes it.
    bar
        Of the dock; shows how far the work is, while the dock is shown.
    """

    def __init__(self, dock: QWidget, bar: RunBar) -> None:
        self._bar = bar
        self._job: Job[Any] | None = None
        self._steps: Steps | None = None
        self._give_up: Callable[[], None] | None = None
        self._clock = QTimer(dock)
        self._clock.setInterval(_PROGRESS_MS)
        self._clock.timeout.connect(self._show)
        dock.destroyed.connect(self._cancel)

    @property
    def is_running(self) -> bool:
        """Whether something is under way."""
        return self._job is not None

    def begin(
        self,
        future: Future[Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
        *,
        steps: Steps | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """Wait for a future; ``give_up`` ends what its cancelling does not."""
        self._steps, self._give_up = steps, give_up
        # Without a parent: who deletes a dock with PySide would leave it to be deleted twice.
        self._job = Job(future, on_done, on_error)
        self._show()
        self._clock.start()

    def end(self) -> None:
        """Give up what is under way, if it is; nothing is told any more."""
        self._clock.stop()
        self._cancel()

    def pause(self) -> None:
        """Show nothing, while the dock is hidden; the work goes on."""
        self._clock.stop()

    def resume(self) -> None:
        """Show again how far it is."""
        if self.is_running:
            self._clock.start()

    def _show(self) -> None:
        if self._steps is not None:
            self._bar.show_step(*self._steps.step())

    def _cancel(self, *_: object) -> None:
        if self._give_up is not None:
            self._give_up()
        if self._job is not None:
            self._job.cancel()
        self._job, self._steps, self._give_up = None, None, None
