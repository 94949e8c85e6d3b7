"""A scene, opened: all its images at once, each in its place."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.ngff import Group, Image, parse_group
from napari_omezarr_cloud.ngff.scene import parse_scene, place_images
from napari_omezarr_cloud.pyramid.documents import (
    ARRAY_KEY,
    GROUP_KEY,
    GUESSED_LEVELS,
    top_documents,
)
from napari_omezarr_cloud.pyramid.first_image import first_image
from napari_omezarr_cloud.pyramid.image_opening import open_image_group
from napari_omezarr_cloud.pyramid.opened import OpenedImage, Sibling
from napari_omezarr_cloud.store import OpenedStore, open_inside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["open_scene"]

_T = TypeVar("_T")
_Read = tuple[OpenedStore, Group, Image]


async def open_scene(opened: OpenedStore, group: Group) -> OpenedImage:
    """Open the images of a scene: two rounds more, however many there are.

    Parameters
    ----------
    opened
        The scene's store, and what the first round brought.
    group
        Of kind ``"scene"``.

    Returns
    -------
    OpenedImage
        The first of them; all are its ``series``, the others ``together`` with it.

    Raises
    ------
    MetadataError
        If the scene names no images, or one outside the data set.
    CloudError
        What is wrong with the first image, if none can be opened. Where some can, what is wrong
        with the others is a note.
    """
    scene = parse_scene(group)
    read, failures = await _all({path: _read(opened, group, path) for path in scene.paths})
    placed, notes = place_images(scene, {path: image for path, (_, _, image) in read.items()})
    done, more = await _all(
        {
            path: open_image_group(inside, below, placed[path])
            for path, (inside, below, _) in read.items()
        }
    )
    failures |= more
    if not done:
        raise next(iter(failures.values()))
    notes += [f"The image {path!r} could not be opened. {e}" for path, e in failures.items()]
    return _first_of(done, tuple(dict.fromkeys((*opened.notes, *scene.notes, *notes))))


async def _read(opened: OpenedStore, scene: Group, path: str) -> _Read:
    array_key = ARRAY_KEY[scene.zarr_format]
    group_key = GROUP_KEY[scene.zarr_format]
    guesses = [f"{level}/{array_key}" for level in GUESSED_LEVELS]
    inside = await open_inside(opened, path, [group_key, f"labels/{group_key}", *guesses])
    group = parse_group(top_documents(inside.documents), where=str(inside.location))
    return inside, group, first_image(group)


async def _all(work: Mapping[str, Awaitable[_T]]) -> tuple[dict[str, _T], dict[str, CloudError]]:
    """Wait for all at once; return by path what came, and what failed."""
    results = await asyncio.gather(*work.values(), return_exceptions=True)
    good: dict[str, _T] = {}
    failed: dict[str, CloudError] = {}
    for path, result in zip(work, results, strict=True):
        if isinstance(result, CloudError):
            failed[path] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            good[path] = result
    return good, failed


def _first_of(done: Mapping[str, OpenedImage], notes: tuple[str, ...]) -> OpenedImage:
    names = Counter(image.name for image in done.values())
    images = {
        path: image if names[image.name] == 1 else replace(image, name=path)
        for path, image in done.items()
    }
    series = tuple(
        Sibling(image.name, path, image.location, _opener(image)) for path, image in images.items()
    )
    first, *others = images.values()
    return replace(first, notes=(*notes, *first.notes), series=series, together=tuple(others))


def _opener(image: OpenedImage) -> Callable[[], Awaitable[OpenedImage]]:
    async def opened() -> OpenedImage:
        return image

    return opened
