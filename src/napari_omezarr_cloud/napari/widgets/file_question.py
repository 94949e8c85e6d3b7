"""Where to write one file: the dialog of the system, and a question where it could not ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

__all__ = ["ask_file_to_write"]


def ask_file_to_write(parent: QWidget, title: str, name: str, kinds: str, ending: str) -> str:
    """Return a path that may be written to, also where a file is there; empty: the person did not.

    Parameters
    ----------
    parent
        Over which the dialog opens.
    title, name, kinds
        Of the dialog; the name that it offers; its filters.
    ending
        Of a name that is given none.
    """
    path = str(QFileDialog.getSaveFileName(parent, title, name, kinds)[0])
    if not path or Path(path).suffix:
        return path
    chosen = Path(f"{path}{ending}")
    if chosen.exists():  # the dialog asked about the name without its ending
        question = f"{chosen.name} already exists. Replace it?"
        yes = QMessageBox.StandardButton.Yes
        if QMessageBox.question(parent, title, question) != yes:
            return ""
    return str(chosen)
