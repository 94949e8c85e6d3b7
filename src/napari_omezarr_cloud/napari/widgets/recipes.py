"""What the recipe menu does: a chain of live layers to a file, to text, to Python, and back."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QGuiApplication

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.napari.live import change, live_of
from napari_omezarr_cloud.napari.live_recipe import (
    add_recipe,
    chain_of,
    recipe_of,
    roots_of,
    start_recipe,
    suggested_layers,
)
from napari_omezarr_cloud.napari.snippet import as_python
from napari_omezarr_cloud.napari.widgets.layer_box import LayerBox
from napari_omezarr_cloud.napari.widgets.recipe_menu import (
    RecipeInputsDialog,
    RecipeTextDialog,
    ask_file,
    ask_file_to_load,
)
from napari_omezarr_cloud.process import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from qtpy.QtWidgets import QWidget

    from napari_omezarr_cloud.napari.widgets.choices import Choices
    from napari_omezarr_cloud.napari.widgets.live_editor import LiveEditor
    from napari_omezarr_cloud.napari.widgets.recipe_menu import RecipeMenu
    from napari_omezarr_cloud.process.apply import Applied

__all__ = ["Recipes"]

_Begun: TypeAlias = "tuple[Future[Applied], Callable[[Applied], list[Any]]]"


class Recipes(QObject):
    """The recipes of one viewer's live layers; asks with dialogs over ``parent``.

    Parameters
    ----------
    viewer
        Whose layers; it is not kept alive.
    menu
        What the person asks for.
    editor, choices
        Know which live layer is meant, and to which layer a recipe is applied where there is none.
    """

    begun = Signal(object, object)
    """A recipe is being applied: the future, and what adds its layers and returns them."""
    told = Signal(str)
    """Something is done: a sentence."""
    failed = Signal(object)
    """It could not be done: a `CloudError`."""

    def __init__(
        self,
        viewer: Any,
        menu: RecipeMenu,
        editor: LiveEditor,
        choices: Choices,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._editor, self._choices = editor, choices
        menu.load_requested.connect(self._on_load)
        menu.save_requested.connect(lambda: self._on_live(self.save))
        menu.edit_requested.connect(self._on_edit)
        menu.copy_requested.connect(lambda: self._on_live(self.copy))

    def _on_live(self, action: Callable[[Any], str]) -> None:
        """Do something with the recipe of the live layer, and say what came of it."""
        layer = self._editor.layer
        if layer is None:
            return
        try:
            sentence = action(layer)
        except CloudError as error:
            self.failed.emit(error)
        else:
            self.told.emit(sentence)

    def _on_load(self) -> None:
        self._begin_on(self._editor.layer or self._choices.layer, self.load)

    def _on_edit(self) -> None:
        self._begin_on(self._editor.layer, self.edit)

    def _begin_on(self, layer: Any | None, begin: Callable[[Any], _Begun | None]) -> None:
        if layer is None:
            return
        try:
            begun = begin(layer)
        except CloudError as error:
            self.failed.emit(error)
            return
        if begun is not None:
            self.begun.emit(*begun)

    def save(self, layer: Any) -> str:
        """Save how a live layer is made; returns what to say.

        Raises
        ------
        OperationError
            If the file cannot be written.
        """
        path = ask_file(self._widget())
        if not path:
            return ""
        recipe_of(layer).save(path, overwrite=True)  # the dialog has asked
        return f"Saved: {path}"

    def copy(self, layer: Any) -> str:
        """Put Python on the clipboard that computes what a live layer shows; says so."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is None:
            return "There is no clipboard."
        clipboard.setText(as_python(self._viewer(), layer))
        return "Copied: lines of Python that compute what is visible."

    def load(self, first: Any) -> _Begun | None:
        """Begin to apply a recipe from a file to a layer; None if the person did not want to.

        Raises
        ------
        OperationError
            If the file is no recipe, or the layers do not suit it.
        """
        path = ask_file_to_load(self._widget())
        if not path:
            return None
        recipe = Recipe.load(path)
        layers = self._choose(recipe, first)
        return None if layers is None else self._begin(recipe, layers)

    def edit(self, layer: Any) -> _Begun | None:
        """Let the person edit a live layer's recipe; None if no new layers come of it.

        Other values are given to the layers that are there. Other steps make new layers.
        """
        recipe, roots = recipe_of(layer), roots_of(layer)
        dialog = RecipeTextDialog(recipe, self._widget())
        if not dialog.exec() or dialog.recipe == recipe:
            return None
        if _shape(dialog.recipe) == _shape(recipe):
            for each, step in zip(chain_of(layer), dialog.recipe.steps, strict=True):
                live = live_of(each)
                if live is not None and live.applied.step.values != step.values:
                    change(each, step.values)
            return None
        layers: Sequence[Any] | None = roots
        if len(dialog.recipe.inputs) != len(roots):
            layers = self._choose(dialog.recipe, roots[0])
        return None if layers is None else self._begin(dialog.recipe, layers)

    def _begin(self, recipe: Recipe, layers: Sequence[Any]) -> _Begun:
        future = start_recipe(recipe, layers)

        def on_done(applied: Applied) -> list[Any]:
            return add_recipe(self._viewer(), recipe, layers, applied)

        return future, on_done

    def _choose(self, recipe: Recipe, first: Any) -> list[Any] | None:
        """Return a layer for each input; asks where there are several."""
        if len(recipe.inputs) == 1:
            return [first]
        viewer = self._viewer()
        boxes = []
        for layer in suggested_layers(recipe, viewer, first):
            box = LayerBox(viewer, follows=False)
            box.suggest(layer)
            boxes.append(box)
        dialog = RecipeInputsDialog(recipe, boxes, self._widget())
        if not dialog.exec():
            return None
        return [box.layer for box in boxes]

    def _widget(self) -> Any:
        return self.parent()


def _shape(recipe: Recipe) -> Any:
    """Return what of a recipe is no value."""
    return recipe.inputs, [(s.operation, s.inputs, s.dims, s.name) for s in recipe.steps]
