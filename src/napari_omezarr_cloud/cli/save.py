"""``omezarr save``: an image, or a part of it, as an OME-Zarr of its own."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.box import BOX, box_of
from napari_omezarr_cloud.cli.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.write.hands import Hands
    from napari_omezarr_cloud.write.progress import Progress
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = ["access_of", "add_save", "add_written", "count", "numbers", "write_shown", "written_of"]


def add_save(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "save",
        help="write an image, or a part of it, as OME-Zarr",
        description="Write an image, or a part of it, as OME-Zarr, with its coarser levels. What "
        "broke off is taken up again by the same command. Nothing is overwritten unless you say "
        "so.",
    )
    add_written(verb, link_help)
    verb.add_argument("--channels", type=numbers, metavar="0,2", help="which (default: all)")
    add_access(verb)
    verb.set_defaults(run=_save)


def add_written(verb: argparse.ArgumentParser, link_help: str) -> None:
    """Add from where, to where, and how an image is written."""
    verb.add_argument("source", metavar="SOURCE", help=link_help)
    verb.add_argument(
        "target",
        metavar="TARGET",
        help="a folder, s3://bucket/key, gs://… or az://…; one file if it ends in .ozx, or in "
        ".ome.tif for an OME-TIFF",
    )
    verb.add_argument(
        "--box", metavar=BOX, help="by axis, in voxels of the level; other axes are taken whole"
    )
    verb.add_argument("--level", type=int, default=0, help="which becomes the finest (default: 0)")
    verb.add_argument("--name", help="of the image (default: as it is called)")
    verb.add_argument("--version", choices=("0.5", "0.4"), default="0.5", help="of OME-Zarr")
    verb.add_argument(
        "--method",
        choices=("mean", "gaussian", "nearest", "mode"),
        help="how coarser levels are made (default: mean)",
    )
    verb.add_argument("--levels", type=count, metavar="N", help="at most (default: to a thumbnail)")
    verb.add_argument(
        "--factors",
        type=numbers,
        metavar="1,1,2,2",
        help="by how much each level is coarser than the one before, per axis "
        "(default: so that voxels become cubes)",
    )
    verb.add_argument("--chunks", type=numbers, metavar="1,16,256,256", help="voxels per axis")
    verb.add_argument(
        "--shards",
        type=_shards,
        default="auto",
        metavar="1,64,1024,1024",
        help="voxels per axis, or none (default: where there would be many objects)",
    )
    verb.add_argument(
        "--codec",
        choices=("blosc", "blosc-lz4", "zstd", "gzip", "none"),
        default="blosc",
        help="compression (default: blosc)",
    )
    verb.add_argument("--overwrite", action="store_true", help="replace the image that is there")
    verb.add_argument(
        "--estimate", action="store_true", help="say what would be written, and write nothing"
    )


def count(text: str) -> int:
    """Return a number of 1 and more, as it is written in the shell."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 and more")
    return int(text)


def numbers(text: str) -> list[int]:
    """Return a list of numbers as it is written in the shell, ``1,16,256``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None


def _shards(text: str) -> list[int] | str | None:
    return {"none": None, "auto": "auto"}[text] if text in ("none", "auto") else numbers(text)


def access_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return how to get into source and target."""
    names = ("endpoint", "region", "anonymous", "profile", "requester_pays")
    return {name: getattr(given, name) for name in names}


def written_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return how an image is written, as the verbs of Python take it."""
    names = (
        *("level", "name", "version", "method", "levels", "factors"),
        *("chunks", "shards", "codec"),
    )
    return {name: getattr(given, name) for name in names}


def _save(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, saving

    access = access_of(given)
    image = api.open(given.source, **access)
    planned = saving.plan_save(
        image,
        api.locate(given.target, **access),
        region=box_of(given.box, image, given.level),
        channels=given.channels,
        **written_of(given),
    )
    print("\n".join(map(plain, str(planned).splitlines())))
    if not given.estimate:
        write_shown(planned, given)
    return 0


def write_shown(planned: SavePlan, given: argparse.Namespace, hands: Hands | None = None) -> None:
    """Write what was planned, and show how far it is; ``hands`` say who does it."""
    from napari_omezarr_cloud.write.execution import write_planned
    from napari_omezarr_cloud.write.hands import Hands

    hands = hands or Hands()
    try:
        notes = write_planned(
            planned,
            overwrite=given.overwrite,
            on_progress=_Line(hands.waiting_text),
            **asdict(hands),
        )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        raise
    for note in notes:
        print(plain(note))
    print(plain(f"saved to {planned.location}"))


class _Line:
    """How far a write is: a line that changes; in a log, only what is waited for.

    Parameters
    ----------
    waiting
        What is said while nobody works.
    """

    def __init__(self, waiting: str) -> None:
        self._waiting = waiting
        self._said = ""

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        done, count = progress.tasks_done, progress.task_count
        words = f"{done:,} of {count:,} blocks, {progress.bytes_written / 1e6:,.0f} MB written"
        is_end = done == count
        if progress.stage == "waiting":
            words, is_end = self._waiting, False
        elif progress.stage:
            sizes = f"{progress.stage_bytes / 1e6:,.0f} of {progress.stage_nbytes / 1e6:,.0f} MB"
            words = f"{progress.stage} {sizes}"
            is_end = progress.stage_bytes >= progress.stage_nbytes
        before, self._said = self._said, words
        if sys.stderr.isatty():
            end = "\n" if is_end else ""
            print(f"\r{words:{len(before)}}", end=end, file=sys.stderr, flush=True)
        elif progress.stage == "waiting" and words != before:
            print(words, file=sys.stderr, flush=True)
