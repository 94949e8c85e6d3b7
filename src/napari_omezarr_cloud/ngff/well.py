"""Wells: the fields of view that were taken in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff.paths import check_path
from napari_omezarr_cloud.ngff.values import settled, shown, whole_number
from napari_omezarr_cloud.ngff.version import stated_version

if TYPE_CHECKING:
    from napari_omezarr_cloud.ngff.group import Group

__all__ = ["MOST_FIELDS", "Well", "WellImage", "parse_well"]

MOST_FIELDS = 10_000


@dataclass(frozen=True)
class WellImage:
    """One field of view."""

    path: str
    """Below the well; checked."""
    acquisition: int | None = None
    """Id of the acquisition it belongs to; None: not stated."""


@dataclass(frozen=True)
class Well:
    """What a well says of itself."""

    images: tuple[WellImage, ...]
    """In the order listed; may be none."""
    version: str | None = None
    """As stated, not checked; None: not stated."""
    notes: tuple[str, ...] = ()
    """What was odd and tolerated, in sentences for a person."""

    def fields(self, acquisition: int | None = None) -> tuple[WellImage, ...]:
        """Return the fields of an acquisition; of all of them where it is None."""
        if acquisition is None:
            return self.images
        return tuple(image for image in self.images if image.acquisition == acquisition)


def parse_well(group: Group) -> Well:
    """Return the well that a group describes.

    Parameters
    ----------
    group
        Of kind ``"well"``.

    Raises
    ------
    MetadataError
        If it is no object, or names only paths that lead out of the data set.
    """
    notes = list(group.notes)
    value = group.attributes.get("well")
    if not isinstance(value, dict):
        raise MetadataError(
            "Could not open the well",
            where=group.where,
            key=group.key,
            why=f"well is {shown(value)}, where an object is needed",
            hint="Open one of its images by its own link.",
        )
    items = value.get("images")
    if not isinstance(items, list):
        notes.append(f"The images of the well are no list ({shown(items)}).")
        items = []
    if len(items) > MOST_FIELDS:
        notes.append(f"Of {len(items):,} fields the first {MOST_FIELDS:,} are used.")
    found: dict[str, WellImage] = {}
    refused: list[MetadataError] = []
    for item in items[:MOST_FIELDS]:
        path = item.get("path") if isinstance(item, dict) else item
        number = whole_number(path)
        try:
            path = check_path(
                path if number is None else str(number), where=group.where, key=group.key
            )
        except MetadataError as error:
            error.what = "Could not use the path of a field that the well lists"
            refused.append(error)
            continue
        acquisition = whole_number(item.get("acquisition")) if isinstance(item, dict) else None
        found.setdefault(path, WellImage(path, acquisition))
    if refused and not found:
        raise refused[0]
    notes += [f"A field was left out: {error.why}." for error in refused[:100]]
    return Well(tuple(found.values()), stated_version(group.attributes, value), settled(notes))
