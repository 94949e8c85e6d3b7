"""The menu of recipes: load, save, edit as text, copy as Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QFontDatabase
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QMenu,
    QPlainTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.napari.widgets.file_question import ask_file_to_write
from napari_omezarr_cloud.napari.widgets.plain_label import PlainLabel
from napari_omezarr_cloud.process import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox

__all__ = ["RecipeInputsDialog", "RecipeMenu", "RecipeTextDialog", "ask_file", "ask_file_to_load"]

_FILES = "Recipes (*.yaml *.yml);;All files (*)"


class RecipeMenu(QToolButton):
    """A button with a menu; it only asks, others do."""

    load_requested = Signal()
    save_requested = Signal()
    edit_requested = Signal()
    copy_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText("Recipe ")
        self.setToolTip("A chain of live layers as a file that can be applied to other images")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        self.load_action = QAction("Load and apply…", menu)
        self.save_action = QAction("Save…", menu)
        self.edit_action = QAction("Edit as text…", menu)
        self.copy_action = QAction("Copy as Python", menu)
        menu.addActions([self.load_action, self.save_action, self.edit_action, self.copy_action])
        self.load_action.triggered.connect(self.load_requested)
        self.save_action.triggered.connect(self.save_requested)
        self.edit_action.triggered.connect(self.edit_requested)
        self.copy_action.triggered.connect(self.copy_requested)
        self.setMenu(menu)
        self.allow(has_layer=False, has_live=False)

    def allow(self, *, has_layer: bool, has_live: bool) -> None:
        """Say what there is: a layer to apply a recipe to, a live layer that is one."""
        self.load_action.setEnabled(has_layer)
        for action in (self.save_action, self.edit_action, self.copy_action):
            action.setEnabled(has_live)


def ask_file_to_load(parent: QWidget) -> str:
    """Return the path of a recipe that the person chose; empty if they did not."""
    return str(QFileDialog.getOpenFileName(parent, "Load a recipe", "", _FILES)[0])


def ask_file(parent: QWidget) -> str:
    """Return a path to save a recipe at, also where a file is there; empty if they did not."""
    return ask_file_to_write(parent, "Save the recipe", "recipe.yaml", _FILES, ".yaml")


class RecipeTextDialog(QDialog):
    """A recipe as text; ``recipe`` is what it says when it was accepted."""

    def __init__(self, recipe: Recipe, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Recipe")
        self.recipe = recipe
        self.text = QPlainTextEdit(recipe.to_yaml())
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.message = PlainLabel()
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Apply | QDialogButtonBox.StandardButton.Cancel
        )
        self.apply_button = buttons.button(QDialogButtonBox.StandardButton.Apply)
        if self.apply_button is not None:
            self.apply_button.clicked.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(self.message)
        layout.addWidget(buttons)
        self.resize(520, 420)

    def accept(self) -> None:
        """Take the text, unless it is no recipe: then say why, and stay."""
        try:
            self.recipe = Recipe.from_yaml(self.text.toPlainText())
        except OperationError as error:
            self.message.setText(str(error))
            return
        super().accept()


class RecipeInputsDialog(QDialog):
    """Which layer is meant by each input of a recipe."""

    def __init__(
        self, recipe: Recipe, boxes: Sequence[LayerBox], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Apply the recipe to")
        self.boxes = list(boxes)
        rows = QFormLayout()
        for each, box in zip(recipe.inputs, boxes, strict=True):
            label = PlainLabel()
            channel = "" if each.channel is None else f" (was channel {each.channel})"
            label.setText(each.name + channel)
            rows.addRow(label, box)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(rows)
        layout.addWidget(buttons)
