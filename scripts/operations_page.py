"""Write docs/reference/operations.md from the descriptions of the operations.

python scripts/operations_page.py
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from napari_omezarr_cloud.process.registry import _described

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.process import Operation, Parameter

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "operations.md"

HEAD = """\
# Operations

<!-- Written by scripts/operations_page.py from the descriptions; do not edit. -->

{count} operations, under the headings they have in the window. The names are those of recipes and
scripts. Where scikit-image has the function, the result is that of scikit-image's own call, but
grey values stay in the image's own range: scikit-image brings integers to 0 to 1.

Every result says which numbers come out. The *kind* says how it is computed:

| kind | |
|---|---|
| local | looks at a pixel and some way around it: computed chunk by chunk, without seams |
| global | the same, once a number has been measured on the whole image; it can be typed instead |
| unbounded | may look everywhere: live ones are computed on what is visible, as one array |
| objects | as unbounded, and gives labels |
| projection | folds one axis |

*Plane by plane*: each plane of a volume is treated alone. Where nothing is said, a volume is
treated as one, and flat voxels are taken as flat. *Colour*: whether a colour picture can be used
(each colour alone), or is needed.

Lengths are in µm, in pixels of the finest level where an image has no units. In the window they
start from as many pixels as the numbers here say. *auto*: measured on the image where nothing is
typed.
"""


def page() -> str:
    """Return the whole page."""
    described = _described().values()
    tables = [_table(group, ops) for group, ops in groupby(described, key=lambda op: op.group)]
    return "\n".join([HEAD.format(count=len(described)), *tables])


def _table(group: str, ops: Iterable[Operation]) -> str:
    rows = "\n".join(_row(op) for op in ops)
    return f"## {group}\n\n| name | what it does | kind | parameters |\n|---|---|---|---|\n{rows}\n"


def _row(op: Operation) -> str:
    parameters = "<br>".join(_parameter(p) for p in op.parameters)
    return f"| `{op.name}` | **{op.title}.** {op.help}{_needs(op)} | {_kind(op)} | {parameters} |"


def _needs(op: Operation) -> str:
    """Say what it takes, where that is not one image."""
    if len(op.inputs) == 1 and op.inputs[0].kind == "image":
        return ""
    words = {"image": "an image", "mask": "a mask", "labels": "labels", "any": "an image or a mask"}
    return f" Takes {' and '.join(words[each.kind] for each in op.inputs)}."


def _kind(op: Operation) -> str:
    words: list[str] = [op.kind]
    if op.dims == "plane":
        words.append("plane by plane")
    if op.colours == "each":
        words.append("colour")
    if op.colours == "together":
        words.append("needs colour")
    return ", ".join(words)


def _parameter(parameter: Parameter) -> str:
    default = parameter.default
    if default is None:
        value = "auto"
    elif isinstance(default, bool):
        value = "yes" if default else "no"
    elif isinstance(default, float):
        value = f"{default:g}"
    else:
        value = str(default)
    unit = f" {parameter.unit}" if parameter.unit and default is not None else ""
    choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
    return f"`{parameter.name}` = {value}{unit}{choices}: {parameter.help}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
