"""Documents of the groups and arrays below a group, from its consolidated metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_omezarr_cloud.errors import CloudError
from napari_omezarr_cloud.ngff.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_omezarr_cloud.ngff import Group
    from napari_omezarr_cloud.pyramid.documents import Documents

__all__ = ["NOTHING", "Consolidated"]


class Consolidated:
    """Copies of the documents below a group, which whoever wrote them may have let go stale.

    Parameters
    ----------
    nodes
        As `Group.consolidated`.
    zarr_format
        2 or 3.
    """

    def __init__(self, nodes: Mapping[str, object], zarr_format: int) -> None:
        self._nodes = nodes
        self._end = "/zarr.json" if zarr_format == 3 else ""

    @classmethod
    def of(cls, group: Group) -> Consolidated:
        """Return those of a group; without consolidated metadata: none."""
        return cls(group.consolidated or {}, group.zarr_format)

    def get(self, key: str) -> bytes | None:
        """Return the copy of a document; None: there is none, which tells nothing of the file."""
        if not key.endswith(self._end):
            return None
        node = self._nodes.get(key.removesuffix(self._end))
        return json.dumps(node).encode() if isinstance(node, dict) else None

    def agrees_with(self, documents: Documents) -> bool:
        """Tell whether the copies of documents that were read say the same as those."""
        for key, raw in documents.items():
            copy = self.get(key)
            if copy is not None and (raw is None or _content(bytes(raw)) != _content(copy)):
                return False
        return True


NOTHING = Consolidated({}, 3)


def _content(raw: bytes) -> object:
    try:
        document = parse_json(raw, where="", key="")
    except CloudError:
        return None
    return {name: value for name, value in document.items() if name != "consolidated_metadata"}
