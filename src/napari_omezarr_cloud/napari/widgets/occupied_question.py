"""What is asked before anything that is there is touched: it names what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_omezarr_cloud.napari.save_run import Occupied, SaveRun

__all__ = ["OccupiedQuestion"]


class OccupiedQuestion(QMessageBox):
    """Answers a run that found something at its place; Escape means cancel.

    Parameters
    ----------
    there
        What is there.
    run
        Who is answered.
    title
        Of the window.
    parent
        Over which it opens.
    """

    def __init__(self, there: Occupied, run: SaveRun, title: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._run = run
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        cancel = self.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        self._go_on: Any = None
        self._overwrite: Any = None
        if there.is_same:
            self.setText(f"At {there.where} there is {there.what}. Go on with it?")
            self._go_on = self.addButton("Go on", QMessageBox.ButtonRole.AcceptRole)
        elif not there.why_not:
            self.setText(f"At {there.where} there is {there.what}. Overwrite it?")
            text = (
                "All that is there is deleted, once the new image is whole. This cannot be undone."
            )
            self.setInformativeText("\n\n".join(filter(None, [there.beside, text])))
            role = QMessageBox.ButtonRole.DestructiveRole
            self._overwrite = self.addButton("Overwrite", role)
        else:
            self.setText(f"At {there.where} {there.why_not}.")
            self.setInformativeText("Nothing is overwritten. Choose another name.")
        self.setDefaultButton(self._go_on if there.is_same else cancel)
        self.setEscapeButton(cancel)
        # Not by the buttons: who closes the window has answered, too.
        self.finished.connect(self._on_finished)

    def _on_finished(self, *_: Any) -> None:
        button = self.clickedButton()
        if button is not None and button is self._go_on:
            self._run.write()
        elif button is not None and button is self._overwrite:
            self._run.write(overwrite=True)
        else:
            self._run.cancel()
