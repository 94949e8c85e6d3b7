"""*Keep this region offline*: what is to be kept, what it takes, how far it is, what is kept."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud import offline
from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.background import Job
from napari_omezarr_cloud.napari.offline_run import OfflineRun
from napari_omezarr_cloud.napari.offline_text import estimate_text, usage_text
from napari_omezarr_cloud.napari.threads import in_thread
from napari_omezarr_cloud.napari.widgets.kept_list import KeptList
from napari_omezarr_cloud.napari.widgets.offline_choices import OfflineChoices, OfflineWish
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.napari.widgets.planned_dialog import PlannedDialog, show_planned
from napari_omezarr_cloud.pyramid import Region

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_omezarr_cloud.offline import Kept, OfflinePlan, Usage

__all__ = ["OfflineDialog", "show_offline"]

_WIDTH_PX, _HEIGHT_PX = 520, 760


def show_offline(viewer: Any) -> OfflineDialog:
    """Show the one dialog of a viewer's window, about the image in hand."""
    return show_planned(viewer, OfflineDialog)


class OfflineDialog(PlannedDialog):
    """Lets the person choose what to keep, says what it takes, keeps it, and lists what is kept.

    Parameters
    ----------
    viewer
        Whose images; it is not kept alive.
    parent
        The viewer's window.
    """

    choices: OfflineChoices

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        tip = "Download it, and hold it on this disk until you release it"
        super().__init__(viewer, parent, action="Keep offline", tip=tip)
        self.setObjectName("omezarr-offline")
        self.setWindowTitle("Keep this region offline")
        self._wish: OfflineWish | None = None
        self._share: float | None = None
        self._usage: Usage | None = None
        self._kept: list[Kept] = []
        self._looking: Job[Any] | None = None
        self._settings: QDialog | None = None
        self.choices = OfflineChoices(viewer)
        self.choices.changed.connect(self._on_choice)
        self._build()

    def _build(self) -> None:
        about = PlainLabel()
        about.setText(
            "Downloads what is chosen here and holds it on this disk until you release it. "
            "It then opens without a network, with the same link."
        )
        self.room = PlainLabel()
        self.run_bar.apply_requested.connect(self.keep)
        self.kept_list = KeptList()
        self.kept_list.release_requested.connect(self.release)
        self.kept_list.resume_requested.connect(self.resume)
        self.settings_button = QPushButton("Settings…")
        self.settings_button.setToolTip("Size of the disk cache; whether private data are kept")
        self.settings_button.clicked.connect(self._show_settings)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.settings_button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        inside = QWidget()
        inside.setMinimumHeight(1)  # else Qt takes that of its narrowest form
        column = QVBoxLayout(inside)
        shown = (about, self.choices, self.estimate, self.room, self.run_bar, self.kept_list)
        for widget in shown:
            column.addWidget(widget)
        column.addStretch(1)
        scroll = QScrollArea()  # on a small screen the buttons must stay in reach
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll)
        layout.addWidget(buttons)
        self.resize(_WIDTH_PX, _HEIGHT_PX)

    # ---- what a script may do, too ------------------------------------------------------------

    def keep(self) -> None:
        """Begin to keep what is chosen; does nothing before it is known what that takes."""
        if self._planned is not None and not self.is_running:
            planned: Future[OfflinePlan] = Future()
            planned.set_result(self._planned)
            self._run_with(planned)

    def cancel(self) -> None:
        """Give up; what has come stays on the disk as long as there is room, but is not held."""
        self._give_up("Cancelled. What has come is not downloaded again if you keep it soon.")

    def release(self, number: int) -> None:
        """Let go of a region that is kept."""
        self._look_at_disk(number)

    def resume(self, kept: Kept) -> None:
        """Go on with a region that is not whole, of an image that is open here."""
        image = next((each for each in self.choices.images if each.where == kept.where), None)
        wish = kept.wish
        if image is not None and wish is not None and not self.is_running:
            region = Region(wish.start, wish.stop)
            wanted = OfflineWish(image.pyramid, region, wish.levels, wish.labels)
            self._run_with(wanted.begin_plan())

    # ---- when it is seen ----------------------------------------------------------------------

    def showEvent(self, event: QShowEvent | None) -> None:
        """Begin to follow the view."""
        super().showEvent(event)
        self.choices.start()
        self._look_at_disk()
        if not self.is_running:
            self.run_bar.show_idle()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow it no more; what is being downloaded goes on, as the person asked for it."""
        super().hideEvent(event)
        self.choices.stop()
        self._rest.stop()
        self._drop_plan()
        self._wish = None

    # ---- what it takes ------------------------------------------------------------------------

    def _on_choice(self) -> None:
        wish = self.choices.wish
        if self._wish is None or wish is None or wish.pyramid is not self._wish.pyramid:
            self._share = None
            self._show_kept()
        if wish != self._wish:
            self._wish = wish
            self._drop_plan()
            self._rest.start()
        self._tell()

    def _plan(self) -> None:
        self._drop_plan()
        if self._wish is not None and self._wish.levels and not self.is_running:
            self._begin_plan(self._wish.begin_plan())

    def _on_planned(self, planned: OfflinePlan) -> None:
        self._planned = planned
        if planned.decoded_nbytes:
            self._share = planned.nbytes / planned.decoded_nbytes
        self._tell()
        self._look_at_disk()

    def _tell(self) -> None:
        """Show what is chosen and what it takes, as far as that is known."""
        if self.is_running:
            return
        self.choices.show_needs(self._planned, self._share)
        why = ""
        if self._planned is not None and self._usage is not None:
            why = offline.lack_of_room(self._planned, self._usage, self._kept)
        if self._wish is None:
            self.estimate.setText(self.choices.trouble)
        else:
            self.estimate.setText(estimate_text(self._wish.levels, self._planned, why))
        self.run_bar.allow(self._planned is not None and not why)

    # ---- the disk -----------------------------------------------------------------------------

    def _look_at_disk(self, release: int | None = None) -> None:
        """Show what the disk holds, after letting go of a region; nobody waits for it."""

        def work() -> tuple[Usage, list[Kept]]:
            if release is not None:
                offline.release_offline(release)
            return offline.cache_info(), offline.kept_offline()

        def failed(error: BaseException) -> None:
            if not isinstance(error, CloudError):
                raise error
            self.room.setText(str(error))

        if offline.is_switched_off():
            self.room.setText("The disk cache is switched off.")
        else:
            self._looking = Job(in_thread(work), self._on_disk, failed, self)

    def _on_disk(self, found: tuple[Usage, list[Kept]]) -> None:
        self._usage, self._kept = found
        self.room.setText(usage_text(self._usage))
        self._show_kept()
        self._tell()

    def _show_kept(self) -> None:
        at_hand = () if self.is_running else [each.where for each in self.choices.images]
        self.kept_list.show_kept(self._kept, at_hand)

    # ---- the download -------------------------------------------------------------------------

    def _run_with(self, planning: Future[OfflinePlan]) -> None:
        self._follow(OfflineRun(planning, self, viewer=self._viewer()))
        self._show_kept()

    def _on_done(self, sentence: str) -> None:
        self._tell_unseen(sentence)
        self._end(sentence)

    def _end(self, sentence: str) -> None:
        super()._end(sentence)
        self._look_again()

    def _look_again(self) -> None:
        """Estimate anew: less is to be fetched now, or more is allowed."""
        self._wish = None
        if self.isVisible():
            self.choices.look()
        self._look_at_disk()

    def _show_settings(self) -> None:
        from napari_omezarr_cloud.napari.widgets.settings_dialog import show_settings

        viewer = self._viewer()
        if viewer is None:
            return
        dialog = show_settings(viewer)
        if dialog is not self._settings:
            self._settings = dialog
            dialog.finished.connect(self._look_again)
