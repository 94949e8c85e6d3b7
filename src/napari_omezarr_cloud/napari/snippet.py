"""*Copy as Python*: what a live layer shows, as lines that run anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.live_recipe import recipe_of, roots_of
from napari_omezarr_cloud.napari.sources import sources
from napari_omezarr_cloud.napari.visible import visible_region

if TYPE_CHECKING:
    from napari_omezarr_cloud.process import Recipe
    from napari_omezarr_cloud.pyramid import PyramidView

__all__ = ["as_python"]


def as_python(viewer: Any, layer: Any) -> str:
    """Return Python that computes what a live layer shows now; it holds no secret.

    Parameters
    ----------
    viewer
        Says what is on screen.
    layer
        A live layer.
    """
    recipe, roots = recipe_of(layer), roots_of(layer)
    opened = [_opened(root, name) for root, name in zip(roots, _names(recipe), strict=True)]
    lines = ["import napari_omezarr_cloud as noc", ""]
    if any("viewer." in line for line in opened):
        lines = ["import napari", *lines, "viewer = napari.current_viewer()"]
    # Channels of one image are told by the recipe: it is opened once.
    is_one = len({line.partition(" = ")[2] for line in opened}) == 1
    lines += opened[:1] if is_one else opened
    text = recipe.to_yaml().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines.append(f'recipe = noc.Recipe.from_yaml("""\\\n{text}""")')
    given = _names(recipe)[0] if is_one else _mapping(recipe)
    lines.append(f"result = noc.apply({given}, recipe)")
    lines.append(f"pixels = result.read({_on_screen(viewer, layer, sources().view(roots[0]))})")
    return "\n".join(lines) + "\n"


def _names(recipe: Recipe) -> list[str]:
    return [each.name.replace(" ", "_") for each in recipe.inputs]


def _mapping(recipe: Recipe) -> str:
    pairs = zip(recipe.inputs, _names(recipe), strict=True)
    return "{" + ", ".join(f"{each.name!r}: {name}" for each, name in pairs) + "}"


def _opened(root: Any, name: str) -> str:
    """Return the line that opens what a layer shows."""
    about = getattr(root, "metadata", {}).get(METADATA_KEY, {})
    source = about.get("source")
    if source is None and not hasattr(root, "data"):  # the layer was removed, its view is left
        source = root.pyramid.source
    if source and "labels" in about:
        wanted = about["labels"]
        found = f"next(each for each in noc.open({source!r}).labels if each.name == {wanted!r})"
        return f"{name} = {found}"
    if source:
        return f"{name} = noc.open({source!r})"
    view = sources().view(root)
    axes = "".join(axis.name[0] for axis in view.axes)
    scale = tuple(round(n, 9) for n in view.transform(0).scale)
    units = {axis.unit for axis in view.axes if axis.type == "space"}
    unit = f", unit={units.pop()!r}" if len(units) == 1 else ""
    array = f"viewer.layers[{root.name!r}].data"
    levels = f"list({array})" if root.multiscale else array
    return f"{name} = noc.from_array({levels}, {axes!r}, scale={scale}{unit})"


def _on_screen(viewer: Any, layer: Any, root: PyramidView) -> str:
    """Return level and region that are visible, as arguments."""
    seen = visible_region(viewer, layer)
    if seen is None:
        return ""
    level = f"level={seen.level.number}"
    if list(root.order) != sorted(root.order):
        return level  # colours were brought to the end: the image has its axes in another order
    box = zip(seen.region.start, seen.region.stop, strict=True)
    parts = ", ".join(str(a) if b == a + 1 else f"slice({a}, {b})" for a, b in box)
    return f"{level}, region=({parts})"
