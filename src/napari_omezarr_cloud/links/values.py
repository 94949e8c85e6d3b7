"""Reading what strangers wrote into a link: bounded, and of the type that is asked for."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from napari_omezarr_cloud.errors import LinkError

__all__ = ["as_list", "as_map", "color", "load_json", "number", "numbers", "text", "window"]

MOST = 256
"""Images, channels or files that are read from one link; the rest is told in a note."""

_COLORS = {
    "red": "#FF0000",
    "green": "#00FF00",
    "lime": "#00FF00",
    "blue": "#0000FF",
    "white": "#FFFFFF",
    "yellow": "#FFFF00",
    "cyan": "#00FFFF",
    "magenta": "#FF00FF",
    "gray": "#808080",
    "grey": "#808080",
    "orange": "#FFA500",
}


def load_json(content: str, what: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    LinkError
        If it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError:
        why = "it is nested too deeply"
    except ValueError:
        why = "it is no valid JSON"
    raise LinkError(f"Could not read {what}", why=why, hint="Was the link cut off?")


def as_map(value: Any) -> dict[str, Any]:
    """Return a JSON object; of anything else, an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a JSON list; of anything else, an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any, longest: int = 200) -> str:
    """Return a text to show, without line breaks and invisible characters; else an empty one."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[:longest]).strip()


def number(value: Any) -> float | None:
    """Return a finite number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value[:40] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    # What goes beyond is no place in any image, and overflows in other units.
    return found if math.isfinite(found) and abs(found) < 1e15 else None


def numbers(values: Any) -> list[float | None]:
    """Return the numbers of a list, None where there is none."""
    return [number(each) for each in as_list(values)[:MOST]]


def window(values: Any) -> tuple[float, float] | None:
    """Return a contrast window: two numbers, the first smaller."""
    found = numbers(values)
    if len(found) != 2 or found[0] is None or found[1] is None or found[0] >= found[1]:
        return None
    return found[0], found[1]


def color(value: Any) -> str | None:
    """Return a colour as ``#RRGGBB``: of hexadecimal digits, a common name, or three numbers."""
    if isinstance(value, list):
        parts = numbers(value)
        if len(parts) in (3, 4) and all(p is not None and 0 <= p <= 255 for p in parts[:3]):
            return "#" + "".join(f"{round(p or 0):02X}" for p in parts[:3])
        return None
    if not isinstance(value, str):
        return None
    digits = value.strip().lower()
    if found := re.fullmatch(r"#?([0-9a-f]{6})(?:[0-9a-f]{2})?", digits):
        return f"#{found[1].upper()}"
    if found := re.fullmatch(r"#([0-9a-f])([0-9a-f])([0-9a-f])", digits):
        return "#" + "".join(2 * part for part in found.groups()).upper()
    return _COLORS.get(digits)
