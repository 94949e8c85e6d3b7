"""A table of objects as features of its labels layer, where hovering shows them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

    from napari_omezarr_cloud.process.table import Table

__all__ = ["merged_features", "set_features"]

_ours: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()
"""Which columns of a layer were measured, and go when it is measured again."""


def set_features(layer: Any, table: Table) -> None:
    """Give a labels layer what was measured; on the GUI thread.

    What the layer had stays, such as the properties that its file states; only what was measured
    before goes, since it was of another view.
    """
    kept = layer.features.drop(columns=list(_ours.get(layer, ())), errors="ignore")
    merged, added = merged_features(kept, table)
    layer.features = merged
    _ours[layer] = added


def merged_features(kept: pd.DataFrame, table: Table) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return features with the measured columns beside those that are kept, and their names.

    Parameters
    ----------
    kept
        Features of a labels layer. Without a column ``index`` row n is of label n, as in napari.
    table
        With a column ``label``. Its others are named by title; where there is a column of this
        name already, ``(measured)`` is added.
    """
    import pandas as pd

    measured = table.to_pandas()
    numbers = pd.Index(measured.pop("label").to_numpy())
    measured.index = numbers
    measured.columns = [
        f"{name} (measured)" if name in kept.columns else name for name in measured.columns
    ]
    added = frozenset(measured.columns)
    if kept.shape[1] == 0:
        return _with_index(measured), added
    if "index" in kept.columns:
        kept = kept.set_index("index")
        kept = kept[~kept.index.duplicated(keep="last")]  # which one napari shows
    if kept.index.dtype != numbers.dtype:
        # int64 beside uint64 would become float64, which cannot tell large numbers apart.
        kept.index = pd.Index([_plain(n) for n in kept.index], dtype=object)
        measured.index = pd.Index(numbers.tolist(), dtype=object)
    return _with_index(kept.join(measured, how="outer", sort=False)), added


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    frame.index.name = "index"
    return frame.reset_index()


def _plain(number: Any) -> Any:
    return number.item() if isinstance(number, np.generic) else number
