"""``omezarr measure``: the objects of a label image of any size, as a table in a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.box import BOX, box_of
from napari_omezarr_cloud.cli.plain import plain
from napari_omezarr_cloud.cli.save import access_of, count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["add_measure"]


def add_measure(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "measure",
        help="measure the objects of a label image of any size, into CSV or Parquet",
        description="Measure each object of a label image, also where it goes on over blocks: "
        "size, position, shape, grey values of an image. Memory does not grow with the image.",
    )
    verb.add_argument("labels", metavar="LABELS", help=link_help)
    verb.add_argument("table", metavar="TABLE", help="file to write: .csv, or .parquet")
    verb.add_argument(
        "--image", metavar="LINK", help="whose grey values are measured, channel by channel"
    )
    verb.add_argument(
        "--channels", type=_numbers, metavar="0,2", help="of the image (default: all)"
    )
    verb.add_argument(
        "--properties",
        type=_names,
        metavar="size,intensity",
        help="size, position, shape, intensity, or single ones in them (default: all; shape takes "
        "a second for 1000 objects)",
    )
    verb.add_argument("--level", type=int, default=0, help="of the labels (default: 0)")
    verb.add_argument(
        "--box", metavar=BOX, help="by axis, in voxels of the level; other axes are taken whole"
    )
    verb.add_argument(
        "--by-plane",
        action="store_true",
        help="measure each plane alone, in 2D: for labels that were made plane by plane",
    )
    verb.add_argument(
        "--threads", type=count, metavar="N", help="blocks at once (default: all CPUs)"
    )
    verb.add_argument("--overwrite", action="store_true", help="replace the file that is there")
    verb.add_argument(
        "--estimate", action="store_true", help="say what would be read, and read nothing"
    )
    add_access(verb)
    verb.set_defaults(run=_run)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _run(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, measuring
    from napari_omezarr_cloud.process.table import check_target

    access = access_of(given)
    check_target(given.table, overwrite=given.overwrite)
    labels = api.open(given.labels, **access)
    image = None if given.image is None else api.open(given.image, **access)
    planned = measuring.plan_measure(
        labels,
        image,
        properties=given.properties,
        level=given.level,
        region=box_of(given.box, labels, given.level),
        channels=given.channels,
        by_plane=given.by_plane,
    )
    print("\n".join(map(plain, str(planned).splitlines())))
    if given.estimate:
        return 0
    show = _show if sys.stderr.isatty() else lambda _: None
    table = planned.run(threads=given.threads, on_progress=show).table
    table.save(given.table, overwrite=given.overwrite)
    for note in table.notes:
        if note not in planned.notes:
            print(plain(note))
    print(plain(f"{len(table):,} objects, written to {given.table}"))
    return 0


def _show(progress: Progress) -> None:
    done = progress.tasks_done == progress.task_count
    text = f"\r{progress.tasks_done:,} of {progress.task_count:,} blocks  "
    print(text, end="\n" if done else "", file=sys.stderr, flush=True)
