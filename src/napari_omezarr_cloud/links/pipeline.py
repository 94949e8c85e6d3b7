"""URL pipelines, prefixes of formats and chains of fsspec: what they wrap is one location.

- ``root|adapter:path|…`` (jbms/url-pipeline, zarr-developers/zeps#48), ``|`` also as ``%7C``;
- ``zarr://root``, ``zarr3:root``, ``ome-zarr://…``, as neuroglancer and N5 write them;
- ``container?group#attribute`` of N5;
- ``zip::root``, ``zip://inside::root``, ``simplecache::root`` of fsspec.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links.link import Link, Source

if TYPE_CHECKING:
    from napari_omezarr_cloud.links.pasted import Pasted

__all__ = ["is_wrapped", "read", "refused_format", "unwrapped"]

_FORMATS = r"(?i)(?:ome-)?(zarr[23]?|n5|h5|hdf5|precomputed|ref|ome-tiff|nifti|dvid|brainmaps):"
_CACHES = ("simplecache", "filecache", "blockcache", "cached")
_PIPE = r"\||%7C"
_READ = ("zarr", "zarr2", "zarr3", "ome-zarr", "zip", "ozx", "ome", "auto", "")
_ROOTS = (
    (r"(?i)^(?:middleauth|gs\+ngauth|ngauth)\+(https?://)", r"\1"),
    (r"(?i)^gs\+xml://", "gs://"),
)
_DEEPEST = 8


def is_wrapped(text: str) -> bool:
    """Return whether a text is a pipeline, a chain or has the prefix of a format."""
    return bool(
        re.match(_FORMATS, text)
        or re.match(r"(?i)(?:middleauth|gs\+ngauth|gs\+xml)\+?", text)
        or re.match(r"[a-z0-9]{2,16}(?:://[^:]*)?::", text)
        or re.search(rf"(?:{_PIPE})[a-z][a-z0-9+-]{{1,15}}:", text[:8192], re.IGNORECASE)
    )


def unwrapped(text: str) -> str:
    """Return the plain link that a text wraps, for ``parse_location``.

    An image inside a zip file becomes ``file.zip/path``.

    Raises
    ------
    LinkError
        If it names a format that is no zarr.
    """
    text = text.strip()
    for _ in range(_DEEPEST):
        inner = _pipeline(_chain(_prefix(text)))
        if inner == text:
            break
        text = inner
    for pattern, plain in _ROOTS:
        text = re.sub(pattern, plain, text)
    return text


def read(link: Pasted) -> Link | None:
    """Return what a pipeline, a chain or a prefixed link leads to."""
    if not is_wrapped(link.text):
        return None
    return Link("pipeline", (Source(link.locate(unwrapped(link.text))),))


def refused_format(name: str) -> LinkError:
    """Return the error for data that are no zarr."""
    return LinkError(
        "The link cannot be opened",
        why=f"it leads to data of the format '{name}', and only zarr is read",
        hint="Is there an OME-Zarr of the same image?",
    )


def _prefix(text: str) -> str:
    found = re.match(_FORMATS, text)
    if not found:
        return text
    name = found[1].lower()
    if not name.startswith("zarr"):
        raise refused_format(name)
    rest = text[found.end() :]
    # "zarr://https://…" and "zarr:https://…" wrap a link, "zarr:///path" a path.
    if rest.startswith("//"):
        rest = rest[2:]
    # A format's own options, which are not the server's.
    rest = re.sub(r"\?dimension_separator=[^&#|]*$", "", rest)
    root, mark, group = rest.partition("?/")
    if mark:  # N5: container?group#attribute
        group = group.partition("#")[0]
        return f"{root.rstrip('/')}/{group}"
    return rest.partition("#")[0] if re.search(r"#[\w./-]*$", rest) else rest


def _chain(text: str) -> str:
    if "::" not in text[:4096]:
        return text
    first, _, rest = text.partition("::")
    scheme, _, inside = first.partition("://")
    scheme = scheme.lower()
    if scheme in _CACHES:
        return rest
    if scheme == "zip":
        return _inside_zip(rest, inside)
    if re.fullmatch(r"[a-z0-9]{2,16}", scheme) and scheme not in ("http", "https"):
        raise refused_format(scheme)
    return text


def _inside_zip(archive: str, inside: str) -> str:
    inside = inside.strip("/")
    if not inside:
        return archive
    root, mark, query = archive.partition("?")
    return f"{root.rstrip('/')}/{inside}{mark}{query}"


def _pipeline(text: str) -> str:
    root, *adapters = re.split(_PIPE, text, flags=re.IGNORECASE)
    if not adapters or not all(re.match(r"[a-zA-Z][a-zA-Z0-9+-]*:|$", each) for each in adapters):
        return text
    for adapter in adapters[:_DEEPEST]:
        name, _, path = adapter.partition(":")
        if name.lower() not in _READ:
            raise refused_format(name.lower()[:40])
        path = unquote(re.split(r"[?#]", path, maxsplit=1)[0])
        root = _inside_zip(root, path)
    return root
