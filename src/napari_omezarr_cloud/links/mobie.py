"""MoBIE: projects (``project.json``, ``dataset.json``) and collection tables with a ``uri``."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Lookup, Source
from napari_omezarr_cloud.links.pipeline import is_wrapped, unwrapped
from napari_omezarr_cloud.links.values import MOST, as_list, as_map, load_json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_omezarr_cloud.links.pasted import Pasted
    from napari_omezarr_cloud.location import Location

__all__ = ["read"]

_NAME = "MoBIE"
_FORMATS = ("ome.zarr.s3", "ome.zarr")


def read(link: Pasted) -> Link | None:
    """Return what to ask for a project on GitHub, a project's own JSON, or a table of images."""
    if link.host in ("github.com", "www.github.com"):
        return _on_github(link)
    plain = link.text.partition("?")[0].partition("#")[0]
    folder, _, last = plain.rpartition("/")
    if not re.match(r"(?i)[a-z0-9+]{2,16}://", plain):
        return None
    if last == "project.json":
        return Link(_NAME, lookup=_ask_project(folder, link.locate))
    if last == "dataset.json":
        return Link(_NAME, lookup=_ask_dataset(folder, link.locate))
    if re.search(r"(?i)\.(tsv|csv)$", last):
        lookup = Lookup(
            link.locate(link.text),
            "the images that the table lists",
            lambda answer: read_table(answer, folder, link.locate),
        )
        return Link("table", lookup=lookup)
    return None


def _on_github(link: Pasted) -> Link | None:
    found = re.fullmatch(r"([^/]+)/([^/]+?)(?:\.git)?(?:/tree/([^/]+)(?:/data)?)?", link.path)
    if not found:
        return None
    owner, repository, branch = found.groups()
    root = f"https://raw.githubusercontent.com/{owner}/{repository}/{branch or 'HEAD'}"
    there = _ask_project(root, link.locate)
    return Link(_NAME, lookup=_ask_project(f"{root}/data", link.locate, otherwise=there))


def _ask_project(
    folder: str, locate: Callable[[str], Location], otherwise: Lookup | None = None
) -> Lookup:
    def read_project(answer: str) -> Link:
        project = as_map(load_json(answer, "the MoBIE project"))
        names = [name for name in as_list(project.get("datasets")) if isinstance(name, str)]
        default = project.get("defaultDataset")
        name = default if isinstance(default, str) else (names[0] if names else "")
        if not name or _leads_out(name):
            raise LinkError("Could not read the MoBIE project", why="it names no dataset")
        others = [text(each) for each in names if each != name]
        notes = (f"The project has other datasets: {_listed(others)}.",) if others else ()
        return Link(_NAME, lookup=_ask_dataset(f"{folder}/{name}", locate), notes=notes)

    place = locate(f"{folder}/project.json")
    return Lookup(place, "the datasets of the MoBIE project", read_project, otherwise)


def _ask_dataset(folder: str, locate: Callable[[str], Location]) -> Lookup:
    def read_dataset(answer: str) -> Link:
        dataset = as_map(load_json(answer, "the MoBIE dataset"))
        named = as_map(dataset.get("sources"))
        sources: list[Source] = []
        left: list[str] = []
        for name, about in named.items():
            for kind, what in as_map(about).items():
                url = _address(as_map(as_map(what).get("imageData")), folder)
                if url and len(sources) < MOST:
                    place = locate(unwrapped(url) if is_wrapped(url) else url)
                    sources.append(Source(place, text(name), kind == "segmentation"))
                elif kind in ("image", "segmentation"):
                    left.append(text(name))
        if not sources:
            raise LinkError(
                "The link cannot be opened",
                why="no image of this MoBIE dataset is an OME-Zarr",
                hint="Projects whose images are N5 or XML/HDF5 cannot be opened.",
            )
        note = f"Not opened, as they are no OME-Zarr or too many: {_listed(left)}."
        return Link(_NAME, tuple(sources), notes=(note,) if left else ())

    place = locate(f"{folder}/dataset.json")
    return Lookup(place, "the images of the MoBIE dataset", read_dataset)


def _address(data: dict[str, Any], folder: str) -> str:
    for name in _FORMATS:
        about = as_map(data.get(name))
        for key in ("s3Address", "absolutePath"):
            if isinstance(about.get(key), str) and "://" in about[key]:
                return str(about[key])
        relative = about.get("relativePath")
        if isinstance(relative, str) and relative and not _leads_out(relative):
            return f"{folder}/{relative.strip('/')}"
    return ""


def _leads_out(path: str) -> bool:
    return "://" in path or path.startswith("/") or ".." in re.split(r"[/\\]", path)


def read_table(answer: str, folder: str, locate: Callable[[str], Location]) -> Link:
    """Return the images that a collection table lists.

    Parameters
    ----------
    answer
        Text of a table separated by tabs or commas, with a column ``uri``; ``name`` and ``type``
        (``intensities`` or ``labels``) are read, too.
    folder
        Where the table is, for relative links in it.
    locate
        Text → location.

    Raises
    ------
    LinkError
        If it has no such column, or no row that leads to a zarr.
    """
    separator = "\t" if "\t" in answer.partition("\n")[0] else ","
    try:
        rows = list(csv.DictReader(io.StringIO(answer), delimiter=separator))
    except csv.Error as error:
        raise LinkError("Could not read the table", why=str(error)) from None
    if not rows or "uri" not in rows[0]:
        raise LinkError(
            "The link cannot be opened",
            why="it is a table without a column 'uri', and so lists no images",
        )
    sources: list[Source] = []
    left = 0
    for row in rows:
        uri = (row.get("uri") or "").partition(";")[0].strip()
        if not uri or len(sources) >= MOST:
            left += 1
            continue
        try:
            whole = uri if "://" in uri or _leads_out(uri) else f"{folder}/{uri}"
            place = locate(unwrapped(whole) if is_wrapped(whole) else whole)
        except LinkError:
            left += 1
            continue
        if place.kind == "file" or re.search(r"(?i)\.(tiff?|png|jpe?g|n5|xml|h5)$", place.key):
            left += 1  # a table from elsewhere names no file of this computer
            continue
        sources.append(Source(place, text(row.get("name")), row.get("type") == "labels"))
    if not sources:
        raise LinkError("The link cannot be opened", why="no row of the table leads to a zarr")
    note = f"{left} of the table's rows are not opened: they lead to no zarr, or are too many."
    return Link("table", tuple(sources), notes=(note,) if left else ())


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
