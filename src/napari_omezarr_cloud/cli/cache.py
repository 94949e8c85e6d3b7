"""``omezarr cache``: what is kept on this disk, and what for."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.box import BOX, box_of
from napari_omezarr_cloud.cli.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_omezarr_cloud.offline import OfflineProgress, Usage

__all__ = ["add_cache"]

_MEGABYTE = 1 << 20
"""As the settings count."""


def add_cache(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb and what can be done with the cache to the parser's verbs."""
    verb = verbs.add_parser(
        "cache",
        help="what is kept on this disk, for the next time and for offline use",
        description="What was read from servers is kept on this disk, up to a size that you set, "
        "and is not downloaded again. What is kept for offline use stays until it is released.",
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)

    action = actions.add_parser("info", help="how full it is, and what is kept for offline use")
    action.add_argument("--json", action="store_true", help="the same facts for programs")
    action.set_defaults(run=_info)

    action = actions.add_parser("clear", help="delete what is there, of all images or of one")
    action.add_argument("link", nargs="?", metavar="LINK", help="of this image only")
    action.add_argument(
        "--kept", action="store_true", help="also what is kept for offline use (of all images)"
    )
    action.set_defaults(run=_clear)

    action = actions.add_parser("keep", help="download a region and keep it for offline use")
    action.add_argument("link", metavar="LINK", help=link_help)
    action.add_argument(
        "--box",
        metavar=BOX,
        help="by axis, in voxels of the finest level; axes that are not named are taken whole",
    )
    action.add_argument(
        "--levels", metavar="0,1", help="which resolutions, 0 being the finest (default: all)"
    )
    action.add_argument("--no-labels", action="store_true", help="without the label images")
    action.add_argument(
        "--estimate", action="store_true", help="say what it would take, and keep nothing"
    )
    add_access(action)
    action.set_defaults(run=_keep)

    action = actions.add_parser("release", help="let go of what is kept for offline use")
    action.add_argument("numbers", nargs="+", type=int, metavar="NUMBER", help="as info says")
    action.set_defaults(run=_release)

    action = actions.add_parser(
        "set", help="how large it may become, and whether of private images"
    )
    action.add_argument("--mb", type=_size, metavar="N", help="most megabytes; 0 switches it off")
    action.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        help="keep also what needs credentials or a signed link, or never do (and delete it)",
    )
    action.set_defaults(run=_set)


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of megabytes")
    return int(text)


def _info(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import offline

    usage, kept = offline.cache_info(), offline.kept_offline()
    if given.json:
        facts = {
            name: value
            for name, value in asdict(usage).items()
            if name in ("folder", "max_bytes", "nbytes", "entries", "private", "problem")
        }
        print(json.dumps({**facts, "kept": [asdict(each) for each in kept]}, indent=2))
        return 0
    print(_in_words(usage))
    for each in kept:
        when = time.strftime("%Y-%m-%d", time.localtime(each.created))
        state = "" if each.is_whole else "; not whole: keep it again"
        what = f"{each.title}, {each.what}: {_megabytes(each.nbytes)}, since {when}{state}"
        print(plain(f"  {each.id}  {what}"))
        print(plain(f"     {each.where}"))
    return 0


def _in_words(usage: Usage) -> str:
    size, private = _decided_by("disk_bytes"), _decided_by("disk_private")
    if usage.max_bytes == 0:
        return plain(f"The disk cache is switched off{size} ({usage.folder}).")
    kept = "kept, too" if usage.private else "not kept"
    lines = [
        f"{_megabytes(usage.nbytes)} of {_megabytes(usage.max_bytes)}{size} in {usage.folder}",
        f"{_megabytes(usage.kept_nbytes)} of it kept for offline use",
        f"private images are {kept}{private}",
    ]
    if usage.problem:
        lines.append(f"nothing is written at the moment: {usage.problem}")
    return "\n".join(map(plain, lines))


def _decided_by(name: str) -> str:
    """Return in brackets which variable of the environment decides a setting, if one does."""
    from napari_omezarr_cloud.settings import DESCRIPTIONS, in_force

    about = next(each for each in DESCRIPTIONS if each.name == name)
    return f" (by {about.variable})" if name in in_force().from_environment else ""


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / _MEGABYTE:,.1f} MB"


def _clear(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, offline

    if given.link is None:
        usage = offline.clear_cache(kept=given.kept)
    else:
        usage = offline.clear_cache(api.locate(given.link))
    print(f"{_megabytes(usage.nbytes)} are left.")
    return 0


def _keep(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, offline

    names = ("endpoint", "region", "anonymous", "profile", "requester_pays")
    image = api.open(given.link, **{name: getattr(given, name) for name in names})
    region, levels = box_of(given.box, image), _levels(given.levels)
    planned = offline.plan_offline(image, region, levels, labels=not given.no_labels)
    size = _megabytes(planned.nbytes)
    print(plain(f"{image.name}, {planned.what}: {planned.chunks:,} chunks, about {size}"))
    if given.estimate:
        return 0
    future = offline.keep_offline_async(planned, _show if sys.stderr.isatty() else None)
    try:
        kept = future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
    missing = "" if kept.is_whole else ", not whole: some chunks could not be had"
    print(f"kept as {kept.id}: {_megabytes(kept.nbytes)}{missing}")
    return 0 if kept.is_whole else 1


def _show(progress: OfflineProgress) -> None:
    done = progress.done + progress.failed
    end = "\n" if done == progress.chunks else ""
    text = f"\r{done:,} of {progress.chunks:,} chunks, {_megabytes(progress.nbytes)}  "
    print(text, end=end, file=sys.stderr, flush=True)


def _levels(text: str | None) -> Sequence[int] | None:
    from napari_omezarr_cloud.errors import RegionError

    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        why = f"{text!r} is no list of numbers"
        raise RegionError("Could not understand the levels", why=why, hint="Write 0,1.") from None


def _release(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import offline

    for number in given.numbers:
        offline.release_offline(number)
    print(f"{_megabytes(offline.cache_info().kept_nbytes)} are still kept for offline use.")
    return 0


def _set(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import offline

    max_bytes = None if given.mb is None else given.mb * _MEGABYTE
    print(_in_words(offline.set_cache(max_bytes=max_bytes, private=given.private)))
    return 0
