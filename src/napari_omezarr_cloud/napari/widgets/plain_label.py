"""A label for sentences that hold text of others: links, names, messages."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

__all__ = ["PlainLabel"]

_BREAK = "\u200b"
_LONG_WORD = re.compile(r"(\S{24})(?=\S)")


class PlainLabel(QLabel):
    """Shows text as it is, without markup; wrapped, and to be copied.

    It never asks for width: a link of 300 characters would make the dock as wide as the screen.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def setText(self, text: str | None) -> None:
        """Show a text; words too long for a line may break anywhere."""
        super().setText(_LONG_WORD.sub(rf"\1{_BREAK}", text or ""))

    def text(self) -> str:
        """Return the text as it was given."""
        return str(super().text()).replace(_BREAK, "")
