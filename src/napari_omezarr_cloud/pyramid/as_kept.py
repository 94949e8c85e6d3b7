"""What is opened, looking as is kept on this computer for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_omezarr_cloud.kept_rendering import kept_for
from napari_omezarr_cloud.ngff.omero import parse_omero

if TYPE_CHECKING:
    from napari_omezarr_cloud.pyramid.opened import OpenedImage

__all__ = ["as_kept"]


def as_kept(opened: OpenedImage) -> OpenedImage:
    """Return an image with the rendering settings kept on this computer, where there are any.

    With a note that says so; what the image says itself is its ``own``.
    """
    kept = kept_for(opened.location)
    if kept is None:
        return opened
    look = parse_omero(kept.omero, notes=[])
    image = replace(
        opened.image,
        channels=look.channels,
        default_z=look.default_z,
        default_t=look.default_t,
        model=look.model,
    )
    notes = (str(kept), *opened.notes)
    return replace(opened, image=image, own=opened.image, kept_rendering=kept, notes=notes)
