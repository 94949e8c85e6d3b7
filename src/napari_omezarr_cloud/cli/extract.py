"""``omezarr extract``: a box of an image as a file of its own: OME-Zarr, ``.ozx`` or OME-TIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.box import sides_of
from napari_omezarr_cloud.cli.plain import plain
from napari_omezarr_cloud.cli.save import (
    access_of,
    add_written,
    numbers,
    write_shown,
    written_of,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["add_extract"]


def add_extract(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "extract",
        help="write a box of an image as OME-Zarr, .ozx or OME-TIFF",
        description="Write a box of an image, some of its levels or channels, as a file of its "
        "own. The target's name says what kind: a folder for OME-Zarr, .ozx for the same in one "
        "file, .ome.tif for a pyramidal OME-TIFF. What broke off is taken up again by the same "
        "command. Nothing is overwritten unless you say so.",
    )
    add_written(verb, link_help)
    verb.add_argument(
        "--world",
        action="store_true",
        help="the box is in the axes' own units, z=0:12.5, instead of voxels",
    )
    verb.add_argument(
        "--copy-levels",
        type=numbers,
        metavar="1,2,3",
        help="levels that are copied as they are (default: the level is taken, and coarser ones "
        "are made of it)",
    )
    verb.add_argument("--channels", type=numbers, metavar="0,2", help="which (default: all)")
    add_access(verb)
    verb.set_defaults(run=_extract)


def _extract(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api, extracting

    access = access_of(given)
    image = api.open(given.source, **access)
    options = written_of(given)
    planned = extracting.plan_extract(
        image,
        api.locate(given.target, **access),
        None if given.box is None else sides_of(given.box),
        units="world" if given.world else "pixel",
        level=options.pop("level"),
        levels=given.copy_levels,
        channels=given.channels,
        level_count=options.pop("levels"),
        **options,
    )
    print("\n".join(map(plain, str(planned).splitlines())))
    if not given.estimate:
        write_shown(planned, given)
    return 0
