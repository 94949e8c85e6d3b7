"""Whether something may be saved where it is to go: no data are lost by it, and none broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_omezarr_cloud.errors import CloudError, ExistsError, WriteError
from napari_omezarr_cloud.ngff import ImageLabel
from napari_omezarr_cloud.ngff.writing import image_label_attributes
from napari_omezarr_cloud.pyramid.documents import ROOT
from napari_omezarr_cloud.store import open_store
from napari_omezarr_cloud.write.contents import Contents, contents_of
from napari_omezarr_cloud.write.inside import Holder, holder_of
from napari_omezarr_cloud.write.overlap import lies_in, share_bytes

if TYPE_CHECKING:
    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.write.save_plan import SavePlan
    from napari_omezarr_cloud.write.target import Found

__all__ = ["check_overwriting", "check_overwriting_file", "in_its_image"]


async def in_its_image(planned: SavePlan, *, is_new: bool) -> SavePlan:
    """Return a plan whose place lies in another image as that of labels of it.

    Parameters
    ----------
    planned
        What, and where.
    is_new
        Whether nothing is there yet.

    Raises
    ------
    WriteError
        If the place lies in an array, or in an image, plate or zip file that it would break.
    """
    place = planned.location
    holder = None if planned.listed_in is not None else await holder_of(place)
    if holder is None or (holder.kind in ("plate", "well") and not is_new):
        return planned
    if holder.label is None or planned.packing is not None:
        raise holder.refuse(place)
    _check_labels(planned, holder)
    plan = replace(planned.plan, name=holder.label)
    about = dict(planned.ome.get("image-label") or {})
    link = image_label_attributes(ImageLabel(source="../../"), version=plan.version)
    return replace(
        planned,
        plan=plan,
        ome={**planned.ome, "image-label": {**link["image-label"], **about}},
        listed_in=holder.location,
    )


def _check_labels(planned: SavePlan, holder: Holder) -> None:
    plan = planned.plan
    why = hint = ""
    if np.dtype(plan.dtype).kind not in "iu":
        why = f"labels are whole numbers, and its voxels are {np.dtype(plan.dtype).name}"
        hint = "Save it beside the image."
    elif not plan.copied and len(plan.levels) > 1 and plan.method not in ("mode", "nearest"):
        why = f"coarser levels of labels are never made by {plan.method!r}"
        hint = "Say --method mode (in Python is_labels=True), or save it beside the image."
    elif holder.version is not None and holder.version != plan.version:
        why = f"the image is OME-Zarr {holder.version}, and labels are written as their image is"
        hint = f"Say --version {holder.version}." if holder.version in ("0.4", "0.5") else ""
    if why:
        what = "Could not save the labels beside the image"
        raise WriteError(what, where=str(planned.location), why=why, hint=hint)


def check_overwriting(planned: SavePlan, found: Found) -> None:
    """Refuse to delete more than one image, what is no Zarr, and what is read meanwhile.

    Parameters
    ----------
    planned
        What is to take the place.
    found
        What is there, looked into.

    Raises
    ------
    ExistsError
        If there is no Zarr, a plate or collection, other images, or files that are no Zarr; or if
        any array that is read lies there, or the place in it.
    BusyError
        If somebody is writing below it.
    """
    place = planned.location
    if not found.is_image and not found.is_unfinished:
        raise _refused(place, f"what is there is no Zarr ({found.in_words()}), and is not deleted")
    _check_source(planned)
    if found.contents is not None:
        _check_contents(place, found.contents)


async def check_overwriting_file(planned: SavePlan) -> None:
    """Refuse to replace a zip file that holds anything but one image, and what is read meanwhile.

    Raises
    ------
    ExistsError
        If it does.
    """
    place = planned.location
    _check_source(planned)
    if planned.packing != "zip":
        return
    try:
        opened = await open_store(place, ROOT, ROOT)
        contents = await contents_of(opened.store)
    except CloudError:
        contents = Contents()
    if not contents.kind:
        raise _refused(place, "the file that is there holds no OME-Zarr, as far as can be told")
    _check_contents(place, contents)


def _check_source(planned: SavePlan) -> None:
    place, sources = planned.location, planned.places()
    if not share_bytes(place, sources):
        return
    why = "it is a part of what is saved"
    if any(lies_in(each, place) for each in sources):
        why = "what is saved is read from there, and would be deleted with all that is there"
    hint = "Save it under another name; then delete the old one, if you like."
    raise _refused(place, why, hint)


def _check_contents(place: Location, contents: Contents) -> None:
    for notes in contents.begun:
        notes.refuse_if_busy(str(place))
    if contents.is_more:
        why = f"there is {contents.in_words()}, and an image takes the place of one image only"
        raise _refused(place, why, "Choose another name, or move or delete by hand what is there.")


def _refused(place: Location, why: str, hint: str = "Choose another name.") -> ExistsError:
    return ExistsError("Nothing was overwritten", where=str(place), why=why, hint=hint)
