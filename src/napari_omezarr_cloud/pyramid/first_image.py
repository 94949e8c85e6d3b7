"""Of several images that one group describes, the first."""

from __future__ import annotations

from dataclasses import replace

from napari_omezarr_cloud.ngff import Group, Image, parse_images

__all__ = ["first_image"]


def first_image(group: Group) -> Image:
    """Return the first image of a group, with a note if it has more."""
    images = parse_images(group)
    if len(images) > 1:
        note = f"{len(images)} multiscales are described here; the first one is shown."
        return replace(images[0], notes=(*images[0].notes, note))
    return images[0]
