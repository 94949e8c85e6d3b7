"""An image that looks as is kept on this computer: told when it opens, with a way back."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.kept_rendering import kept_for
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY
from napari_omezarr_cloud.napari.notices import offer, tell_error
from napari_omezarr_cloud.napari.rendering_on_screen import ImageOnScreen, images_on_screen
from napari_omezarr_cloud.ngff.omero import Rendering
from napari_omezarr_cloud.rendering import drop_rendering

if TYPE_CHECKING:
    from napari_omezarr_cloud.api import Image

__all__ = ["back_to_own", "tell_kept"]


def tell_kept(viewer: Any, image: Image) -> None:
    """Say that an image looks as is kept on this computer, and offer to end that."""
    kept, own = image.opened.kept_rendering, image.opened.own
    if kept is None or own is None:
        return
    pyramid, reference = image.pyramid, weakref.ref(viewer)
    rendering = Rendering(own.channels, own.default_z, own.default_t, own.model)

    def drop(*_: Any) -> None:
        live = reference()
        shown = [] if live is None else images_on_screen(live)
        here = next((each for each in shown if each.pyramid is pyramid), None)
        try:
            if here is None:
                drop_rendering(image)
            else:
                back_to_own(live, here, rendering)
        except CloudError as error:
            tell_error(error)

    offer(f"{image.name}: {kept}", "Back to the image's own", drop)


def back_to_own(viewer: Any, image: ImageOnScreen, own: Rendering) -> None:
    """Forget what is kept on this computer for an image, and show it as it says itself.

    Raises
    ------
    CloudError
        If it cannot be forgotten; then it looks as it did.
    """
    kept = kept_for(image.location)
    drop_rendering(image.location)
    image.show(viewer, own)
    for layer in image.layers:
        about = layer.metadata.get(METADATA_KEY)
        if about is not None and kept is not None:
            about["notes"] = [note for note in about.get("notes", []) if note != str(kept)]
