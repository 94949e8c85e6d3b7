"""``omezarr run``: a recipe on a whole image, or a part of it, into an OME-Zarr of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.box import box_of
from napari_omezarr_cloud.cli.plain import plain
from napari_omezarr_cloud.cli.save import access_of, add_written, count, write_shown, written_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["add_run"]


def add_run(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "run",
        help="run a recipe on a whole image, and write the result as OME-Zarr",
        description="Run a recipe on a whole image, or a part of it, block by block, and write the "
        "result as OME-Zarr. What broke off is taken up again by the same command. Nothing is "
        "overwritten unless you say so.",
    )
    verb.add_argument("recipe", metavar="RECIPE", help="a recipe's file, as the window saves it")
    add_written(verb, link_help)
    verb.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="which is processed (default: as the recipe says, or each alone)",
    )
    verb.add_argument(
        "--overlap",
        type=int,
        metavar="VOXELS",
        help="what operations see around a block that may look everywhere; what depends on more "
        "comes out differently (default: all at once, where that is not too large)",
    )
    hands = verb.add_mutually_exclusive_group()
    hands.add_argument(
        "--threads", type=count, metavar="N", help="blocks at once (default: one more than CPUs)"
    )
    hands.add_argument(
        "--workers", type=count, metavar="N", help="processes on this machine, in place of threads"
    )
    hands.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="of a dask cluster that computes; or the path of its .json file",
    )
    add_access(verb)
    verb.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, saving
    from napari_omezarr_cloud.process import Recipe
    from napari_omezarr_cloud.write.hands import Hands

    hands = Hands(given.threads, given.workers, given.scheduler)
    hands.check()
    access = access_of(given)
    image = api.open(given.source, **access)
    result = api.apply(image, Recipe.load(given.recipe), channels=given.channel)
    planned = saving.plan_save(
        result,
        api.locate(given.target, **access),
        region=box_of(given.box, result, given.level),
        overlap=given.overlap,
        **written_of(given),
    )
    print("\n".join(map(plain, str(planned).splitlines())))
    if sys.stderr.isatty():
        print("measuring what it takes on a block…", end="\r", file=sys.stderr, flush=True)
    print(plain(str(planned.estimate(threads=hands.side_by_side))))
    if not given.estimate:
        write_shown(planned, given, hands)
    return 0
