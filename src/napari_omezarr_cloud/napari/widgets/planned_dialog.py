"""A dialog that says what a choice takes once it rests, and then runs it; the one of its window."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDialog, QWidget

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.compat import unwrapped
from napari_omezarr_cloud.napari.notices import tell_error, tell_info
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["PlannedDialog", "show_planned"]

_QUIET_MS = 400
"""What it takes is asked for once the choices rest."""


class _Run(Protocol):
    """What is under way: a `QObject` with these signals."""

    stepped: Any
    done: Any
    failed: Any

    def cancel(self) -> None: ...

    def deleteLater(self) -> None: ...


class PlannedDialog(QDialog):
    """Plans what is chosen, runs the plan, says how that ended; it goes on when it is closed.

    A subclass builds the window, says what is planned in `_plan`, and what follows in `_on_planned`
    and `_on_done`.

    Parameters
    ----------
    viewer
        Whose images; it is not kept alive.
    parent
        The viewer's window.
    action, tip
        Of the button that runs it.
    """

    choices: QWidget
    """What is chosen; not while it runs."""

    def __init__(self, viewer: Any, parent: QWidget | None, *, action: str, tip: str) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._planned: Any = None
        self._planning: Job[Any] | None = None
        self._run: _Run | None = None
        self.estimate = PlainLabel()
        self.run_bar = RunBar(action=action, tip=tip)
        self.run_bar.cancel_requested.connect(self.cancel)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_QUIET_MS)
        self._rest.timeout.connect(self._plan)

    @property
    def is_running(self) -> bool:
        """Whether something is being downloaded."""
        return self._run is not None

    def cancel(self) -> None:
        """Give up what is under way."""
        raise NotImplementedError

    def _plan(self) -> None:
        """Begin to find out what the choice takes: `_begin_plan`."""
        raise NotImplementedError

    def _on_planned(self, planned: Any) -> None:
        """Show what it takes."""
        raise NotImplementedError

    def _on_done(self, result: Any) -> None:
        """Show how it ended: `_end` and `_tell_unseen`."""
        raise NotImplementedError

    # ---- what it takes ------------------------------------------------------------------------

    def _begin_plan(self, planning: Future[Any]) -> None:
        self._planning = Job(planning, self._on_planned, self._on_not_planned, self)

    def _drop_plan(self) -> None:
        self._planned = None
        if self._planning is not None:
            self._planning.cancel()
            self._planning = None

    def _on_not_planned(self, error: BaseException) -> None:
        self._planning = None
        if not isinstance(error, CloudError):
            raise error
        self.estimate.setText(str(error))

    # ---- the run ------------------------------------------------------------------------------

    def _follow(self, run: _Run) -> None:
        self._run = run
        run.stepped.connect(self.run_bar.show_step)
        run.done.connect(self._on_done)
        run.failed.connect(self._on_failed)
        self.choices.setEnabled(False)
        self.run_bar.show_step(0, 0, "Looking what there is…")

    def _give_up(self, sentence: str) -> None:
        if self._run is not None:
            self._run.cancel()
            self._end(sentence)

    def _on_failed(self, error: BaseException) -> None:
        self._end("")
        if not isinstance(error, CloudError):
            raise error
        if not self.isVisible():
            tell_error(error)
        self.run_bar.show_error(str(error), self._viewer())

    def _tell_unseen(self, sentence: str) -> None:
        if not self.isVisible():
            tell_info(sentence)

    def _end(self, sentence: str) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.deleteLater()
        self.choices.setEnabled(True)
        self.run_bar.show_idle(sentence)


_D = TypeVar("_D", bound=PlannedDialog)


def show_planned(viewer: Any, kind: type[_D]) -> _D:
    """Show the one dialog of this kind of a viewer's window, about the image in hand."""
    viewer = unwrapped(viewer)
    window = viewer.window.main_menu.window()
    dialog: _D | None = window.findChild(kind)
    if dialog is None:
        dialog = kind(viewer, window)  # type: ignore[call-arg]
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
    return dialog
