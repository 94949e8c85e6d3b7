"""OMERO and the IDR: ids, for which a table says where the OME-Zarr is.

The table ``idr_samples.csv`` is that of https://github.com/IDR/ome-ngff-samples as of the date in
its first line. An id that it lacks is looked up in the current one.
"""

from __future__ import annotations

import csv
import io
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["compact_table", "read", "table_date"]

_NAME = "IDR"
_TABLE = "https://raw.githubusercontent.com/IDR/ome-ngff-samples/main/_data/table.csv"
_ROOT = "https://livingobjects.ebi.ac.uk/idr/"
# Domains that no bucket is named after: "s3://s3.embl.de/bucket/key" begins with a host.
_HOST = (
    r"(?i)s3://((?:[\w-]+\.){2,}(?:com|org|net|edu|gov|io|eu|uk|de|ch|fr|jp|nl|ac))/([^/]+)/(.+)"
)


def read(link: Pasted) -> Link | None:
    """Return the zarr of an image or plate in the IDR, or of OMERO's own ``s3://host/bucket/key``.

    Raises
    ------
    LinkError
        If it is a page of another OMERO server, which does not say where a zarr is.
    """
    if found := re.fullmatch(_HOST, link.text):
        return Link("OMERO", (Source(link.locate(f"s3+https://{'/'.join(found.groups())}")),))
    asked = _asked(link)
    if asked is None:
        return None
    if "idr" not in link.host and "openmicroscopy" not in link.host:
        raise LinkError(
            "The link cannot be opened",
            where=f"https://{link.host}",
            why="it is the page of an OMERO server, which does not say where an OME-Zarr is",
            hint="Ask its owners for the link of the OME-Zarr.",
        )
    kind, number = asked
    if path := _shipped().get(asked):
        return Link(_NAME, (Source(link.locate(path), f"{kind} {number}"),))

    def read_table(answer: str) -> Link:
        if path := dict(compact_table(answer)).get(asked):
            return Link(_NAME, (Source(link.locate(path), f"{kind} {number}"),))
        raise LinkError(
            "The link cannot be opened",
            why=f"the IDR's table of OME-Zarr samples does not list {kind} {number}",
            hint="Only some of the IDR's images are there as OME-Zarr.",
        )

    reason = f"the OME-Zarr of {kind} {number} (the list of {table_date()} does not have it)"
    return Link(_NAME, lookup=Lookup(link.locate(_TABLE), reason, read_table))


def _asked(link: Pasted) -> tuple[str, int] | None:
    """Return ``image`` or ``plate`` and the id that a page of OMERO.web shows."""
    if not re.search(r"(?:^|/)(?:webclient|iviewer|webgateway)(?:/|$)", link.path):
        return None
    shown = re.match(r"(image|plate)-(\d{1,18})(?!\d)", link.parameters.get("show", ""))
    if shown:
        return shown[1], int(shown[2])
    image = re.search(r"(?:img_detail|render_image)/(\d{1,18})(?:/|$)", link.path)
    image = image or re.match(r"(\d{1,18})(?!\d)", link.parameters.get("images", ""))
    return ("image", int(image[1])) if image else None


def table_date() -> str:
    """Return the day of the table that is shipped, ``YYYY-MM-DD``."""
    return _lines()[0].removeprefix("#").split()[0]


@cache
def _lines() -> tuple[str, ...]:
    file = files("napari_omezarr_cloud.links").joinpath("idr_samples.csv")
    return tuple(file.read_text(encoding="utf-8").splitlines())


@cache
def _shipped() -> dict[tuple[str, int], str]:
    rows = csv.DictReader(_lines()[1:])
    return {(row["kind"], int(row["id"])): _ROOT + row["path"] for row in rows}


def compact_table(content: str) -> Iterable[tuple[tuple[str, int], str]]:
    """Return what of the IDR's table is needed, later versions of the format last.

    Parameters
    ----------
    content
        Text of ``_data/table.csv``.

    Returns
    -------
    iterable of ((kind, id), link)
        An image in a plate has the link of its own well and field.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(content)))
    except csv.Error as error:
        raise LinkError("Could not read the IDR's table", why=str(error)) from None
    found = []
    for row in rows:
        link = (row.get("File Path") or "").strip().rstrip("/")
        if not link.startswith("https://"):
            continue
        version = row.get("OME-NGFF version") or ""
        if row.get("Wells") and (plate := re.search(r"/(\d{1,18})\.zarr$", link)):
            found.append((version, ("plate", int(plate[1])), link))
        image = re.fullmatch(r"\d{1,18}", (row.get("Representative Image ID") or "").strip())
        if image:
            own = (row.get("Thumbnail") or "").strip().rstrip("/") or link
            found.append((version, ("image", int(image[0])), own))
    found.sort(key=lambda each: each[0])
    return [(asked, link) for _, asked, link in found]
