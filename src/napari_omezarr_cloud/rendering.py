"""Rendering settings: how an image's channels look, as its file says, and put there anew.

Read (`stored_rendering`), compared with others (`StoredRendering.plan`), and then saved into the
image (`save_rendering`) or, where that may not be changed, kept on this computer
(`keep_rendering`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud import kept_rendering
from napari_omezarr_cloud.api import Image
from napari_omezarr_cloud.errors import CloudError, WriteError
from napari_omezarr_cloud.kept_rendering import KeptRendering, kept_for
from napari_omezarr_cloud.location import Location
from napari_omezarr_cloud.ngff.omero import Rendering, parse_omero
from napari_omezarr_cloud.ngff.omero_document import HeldOmero
from napari_omezarr_cloud.ngff.omero_edit import OmeroChange, edited_omero, omero_changes
from napari_omezarr_cloud.ngff.writing import omero_attributes
from napari_omezarr_cloud.pyramid.opening import OpenedImage, open_image
from napari_omezarr_cloud.store import io_thread
from napari_omezarr_cloud.write.rendering import StoredOmero, read_omero, write_omero

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = [
    "OmeroChange",
    "RenderingPlan",
    "StoredRendering",
    "drop_rendering",
    "keep_rendering",
    "rendering_of",
    "save_rendering",
    "save_rendering_async",
    "stored_rendering",
    "stored_rendering_async",
]

_WHAT = "Could not save the rendering settings"


@dataclass(frozen=True, eq=False)
class StoredRendering:
    """The rendering settings that are in an image, as they were when they were read."""

    location: Location
    """Of the image."""
    stored: StoredOmero
    """What is in its document."""
    kept: KeptRendering | None = None
    """What is kept on this computer and shown instead; None: nothing is."""

    @property
    def rendering(self) -> Rendering:
        """The image's own settings."""
        return parse_omero(self.stored.held.omero, notes=[])

    @property
    def obstacle(self) -> str:
        """Why nothing can be saved into the image, as far as that is known beforehand."""
        return self.stored.obstacle

    @property
    def has_former(self) -> bool:
        """Whether the image still holds the settings that it had before the last save."""
        return self.stored.held.has_former

    def plan(self, rendering: Rendering) -> RenderingPlan:
        """Return what saving other settings would change; asks and writes nothing.

        Parameters
        ----------
        rendering
            Channels in the order of the channel axis; what is None, and what is not mentioned,
            stays as it is in the image.
        """
        return RenderingPlan(self, edited_omero(self.stored.held.omero, rendering))

    def plan_former(self) -> RenderingPlan:
        """Return what going back to the settings before the last save would change.

        Raises
        ------
        WriteError
            If there are none.
        """
        if not self.has_former:
            raise WriteError(
                "Could not go back to the former rendering settings",
                where=str(self.location),
                why="this program has not changed them",
            )
        return RenderingPlan(self, self.stored.held.former)


@dataclass(frozen=True, eq=False)
class RenderingPlan:
    """What saving rendering settings would change; ``str()`` lists it."""

    stored: StoredRendering
    """What it was compared with."""
    omero: Any
    """The new ``omero``, with all that is not changed."""

    @property
    def rendering(self) -> Rendering:
        """How the image will look."""
        return parse_omero(self.omero, notes=[])

    @property
    def changes(self) -> tuple[OmeroChange, ...]:
        """What would be another value in the image."""
        return omero_changes(self.stored.stored.held.omero, self.omero)

    def __str__(self) -> str:
        """Return all changes, one a line."""
        lines = [str(each) for each in self.changes] or ["Nothing changes."]
        if self.stored.obstacle:
            lines.append(f"Cannot be saved into the image: {self.stored.obstacle}.")
        return "\n".join(lines)


def rendering_of(image: Image) -> Rendering:
    """Return how an open image is shown: as it says itself, or as is kept on this computer."""
    about = image.opened.image
    return Rendering(image.channels, about.default_z, about.default_t, about.model)


def stored_rendering_async(image: Image | Location) -> Future[StoredRendering]:
    """Begin to read an image's own settings; as `stored_rendering`, without waiting.

    A window, which has no image but its layers, gives the place of what they show.
    """
    return io_thread().submit(_stored(image.opened if isinstance(image, Image) else image))


def stored_rendering(image: Image) -> StoredRendering:
    """Return the rendering settings that are in an image now; waits.

    Parameters
    ----------
    image
        An open image.

    Raises
    ------
    CloudError
        If its metadata cannot be read any more.
    """
    return io_thread().wait(_stored(image.opened))


async def _stored(image: OpenedImage | Location) -> StoredRendering:
    opened = await open_image(image) if isinstance(image, Location) else image
    location = opened.location
    stored = await read_omero(opened.store, location)
    obstacle = ""
    if opened.plate is not None:
        obstacle = "it is a plate or a well, where each field has settings of its own"
    elif not opened.image.version:
        obstacle = "it is plain Zarr, without OME-Zarr metadata to put them in"
    if obstacle:
        about = opened.own or opened.image
        own = Rendering(about.channels, about.default_z, about.default_t, about.model)
        held = HeldOmero(omero_attributes(own).get("omero"))
        stored = StoredOmero(stored.key, held, obstacle)
    return StoredRendering(location, stored, kept_for(location))


def save_rendering_async(plan: RenderingPlan) -> Future[tuple[str, ...]]:
    """Begin to save; as `save_rendering`, without waiting."""
    return io_thread().submit(_save(plan))


def save_rendering(plan: RenderingPlan) -> tuple[str, ...]:
    """Save rendering settings into the image, for everybody; waits.

    The settings that were there are kept in the image beside the new ones, for
    `StoredRendering.plan_former`; what was kept on this computer for it is dropped.

    Parameters
    ----------
    plan
        As planned: if anybody has changed the settings since they were read, nothing is written.

    Returns
    -------
    tuple of str
        What the person should know: that this server does not guard against two writers.

    Raises
    ------
    ChangedError
        If somebody else has changed them since.
    WriteError, AccessRefusedError
        If nothing may be written there.
    CloudError
        If it cannot be read or written.
    """
    return io_thread().wait(_save(plan))


async def _save(plan: RenderingPlan) -> tuple[str, ...]:
    stored = plan.stored
    if stored.obstacle:
        raise WriteError(
            _WHAT,
            where=str(stored.location),
            why=stored.obstacle,
            hint="They can be kept on this computer instead.",
        )
    notes = await write_omero(stored.location, stored.stored, plan.omero)
    try:
        kept_rendering.drop_kept(stored.location)
    except CloudError as error:
        return (*notes, str(error))
    return notes


def keep_rendering(plan: RenderingPlan) -> None:
    """Keep rendering settings on this computer: the image is shown so whenever it is opened here.

    Raises
    ------
    CloudError
        If they cannot be written.
    """
    kept_rendering.keep(plan.stored.location, plan.omero)


def drop_rendering(image: Image | Location) -> bool:
    """Forget what is kept on this computer for an image; tell whether anything was.

    Raises
    ------
    CloudError
        If it cannot be deleted.
    """
    return kept_rendering.drop_kept(image if isinstance(image, Location) else image.location)
