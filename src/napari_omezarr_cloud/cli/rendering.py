"""``omezarr rendering``: how an image's channels look: shown, changed, kept here, put back."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.plain import plain, table
from napari_omezarr_cloud.cli.save import access_of
from napari_omezarr_cloud.errors import ChangedError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.api import Image
    from napari_omezarr_cloud.ngff.omero import Channel, Rendering
    from napari_omezarr_cloud.rendering import RenderingPlan

__all__ = ["add_rendering"]

_KEYS = "CHANNEL.color, .window, .name, .active or .inverted; z; t"


def add_rendering(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "rendering",
        help="show or change how an image's channels look",
        description="Show how an image's channels look: names, colours, contrast limits, which "
        "are shown, and the plane that comes first. Or change it: what would be another value is "
        "listed first, and nothing is written before you say yes.",
    )
    verb.add_argument("source", metavar="SOURCE", help=link_help)
    group = verb.add_mutually_exclusive_group()
    group.add_argument(
        "--set",
        nargs="+",
        type=_setting,
        metavar="KEY=VALUE",
        help=f"KEY is {_KEYS}: 0.color=FF8000 0.window=100:2000 1.active=no z=12",
    )
    group.add_argument(
        "--former", action="store_true", help="put back the settings from before the last save"
    )
    group.add_argument(
        "--own",
        action="store_true",
        help="forget what is kept on this computer: back to the image's own",
    )
    verb.add_argument(
        "--keep",
        action="store_true",
        help="keep the change on this computer and leave the image as it is",
    )
    verb.add_argument("--yes", action="store_true", help="write without asking")
    add_access(verb)
    verb.set_defaults(run=_rendering)


def _setting(text: str) -> tuple[int | None, str, Any]:
    """Return channel, field and value of ``0.color=FF8000``."""
    key, _, value = text.partition("=")
    number, dot, name = key.partition(".")
    if key not in _PLANES and not (number.isdecimal() and dot and name in _FIELDS):
        hint = f"KEY=VALUE, with a KEY of {_KEYS}"
        raise argparse.ArgumentTypeError(f"{text!r} is no {hint}")
    try:
        if key in _PLANES:
            return None, _PLANES[key], _plane(value)
        return int(number), *_FIELDS[name](value)
    except (KeyError, ValueError):
        wanted = _WANTED[name or key]
        raise argparse.ArgumentTypeError(f"{text!r}: {wanted} was expected") from None


def _plane(text: str) -> int:
    if not text.isdecimal():
        raise ValueError
    return int(text)


def _color(text: str) -> tuple[str, str]:
    digits = text.removeprefix("#").upper()
    if len(digits) != 6 or not set(digits) <= set("0123456789ABCDEF"):
        raise ValueError
    return "color", digits


def _window(text: str) -> tuple[str, tuple[float, float]]:
    start, end = (float(part) for part in text.split(":"))
    if not -float("inf") < start < end < float("inf"):
        raise ValueError
    return "window", (start, end)


def _name(text: str) -> tuple[str, str]:
    if not text.strip():
        raise ValueError
    return "name", text


def _flag(field: str) -> Callable[[str], tuple[str, bool]]:
    return lambda text: (field, {"yes": True, "no": False}[text.lower()])


_FIELDS: dict[str, Callable[[str], tuple[str, Any]]] = {
    "color": _color,
    "window": _window,
    "name": _name,
    "active": _flag("active"),
    "inverted": _flag("inverted"),
}


_PLANES = {"z": "default_z", "t": "default_t"}
_WANTED = {
    "color": "a colour of six hexadecimal digits, FF8000,",
    "window": "a lower and a higher number, 100:2000,",
    "name": "a name",
    "active": "yes or no",
    "inverted": "yes or no",
    "z": "the number of a plane, counted from 0,",
    "t": "the number of a time point, counted from 0,",
}


def _rendering(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, rendering

    image = api.open(given.source, **access_of(given))
    if given.own:
        dropped = rendering.drop_rendering(image)
        print("forgotten" if dropped else "nothing is kept on this computer for this image")
        return 0
    shown = rendering.rendering_of(image)
    if not (given.set or given.former):
        if given.keep:
            raise WriteError("There is nothing to keep", hint="Say what, with --set.")
        _show(image, shown)
        return 0

    def planned() -> RenderingPlan:
        stored = rendering.stored_rendering(image)
        return (
            stored.plan_former() if given.former else stored.plan(_changed(image, shown, given.set))
        )

    while True:
        plan = planned()
        print("\n".join(map(plain, str(plan).splitlines())))
        if not plan.changes or not _is_allowed(given, plan):
            return 0
        if given.keep:
            rendering.keep_rendering(plan)
            print("kept on this computer")
            return 0
        try:
            notes = rendering.save_rendering(plan)
        except ChangedError as error:
            if given.yes:
                raise
            print(plain(str(error)), file=sys.stderr)  # and what would change now is listed
            continue
        for note in notes:
            print(plain(note))
        print(plain(f"saved into {image.location}"))
        return 0


def _is_allowed(given: argparse.Namespace, plan: RenderingPlan) -> bool:
    """Ask whether to write, where somebody can answer."""
    where = "on this computer" if given.keep else f"into {plan.stored.location}"
    if given.yes or (plan.stored.obstacle and not given.keep):
        return True  # what cannot be written fails with a sentence
    if not sys.stdin.isatty():
        print("nothing is written: say --yes")
        return False
    try:
        answer = input(plain(f"Write this {where}? [y/N] "))
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _changed(
    image: Image, shown: Rendering, settings: Sequence[tuple[int | None, str, Any]]
) -> Rendering:
    from napari_omezarr_cloud.ngff import Window

    counts = dict(zip((axis.name for axis in image.axes), image.levels[0].shape, strict=True))
    channels: list[Channel] = list(shown.channels)
    for number, name, value in settings:
        if number is None:
            axis = name.removeprefix("default_")
            if value >= counts.get(axis, 1):
                count = f"the image has {counts.get(axis, 1)}, counted from 0"
                raise WriteError(f"There is no {axis} {value}", why=count)
            shown = replace(shown, **{name: value})
            continue
        if number >= len(channels):
            count = f"the image has {len(channels)}, counted from 0"
            raise WriteError(f"There is no channel {number}", why=count)
        wanted: dict[str, Any] = {name: Window(*value) if name == "window" else value}
        channel = replace(channels[number], **wanted)
        # A colour that is asked for takes the place of a colormap.
        channels[number] = replace(channel, colormap=None) if name == "color" else channel
    return replace(shown, channels=tuple(channels))


def _show(image: Any, shown: Rendering) -> None:
    kept = image.opened.kept_rendering
    if kept is not None:
        print(str(kept))
    rows = [["channel", "name", "colour", "contrast limits", "shown"]]
    for number, each in enumerate(shown.channels):
        window = each.window
        limits = f"{window.start:.6g} to {window.end:.6g}" if window else "-"
        colour = each.colormap or each.color or "-"
        colour += " inverted" if each.inverted else ""
        cells = [str(number), each.name or "-", colour, limits, "yes" if each.active else "no"]
        rows.append(list(map(plain, cells)))
    print("\n".join(table(rows, indent="")))
    for name, plane in (("z", shown.default_z), ("t", shown.default_t)):
        if plane is not None:
            print(f"{name} shown first: {plane}")
