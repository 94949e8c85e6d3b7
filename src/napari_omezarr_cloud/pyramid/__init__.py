"""Levels, pyramids and regions: arithmetic, and opening one over a store."""

from napari_omezarr_cloud.pyramid.level import (
    ABSENT,
    Absent,
    Chunk,
    Decodes,
    Grid,
    Level,
    Pyramid,
    Runner,
    new_key,
)
from napari_omezarr_cloud.pyramid.region import Index, Region
from napari_omezarr_cloud.pyramid.transform import Transform
from napari_omezarr_cloud.pyramid.view import PyramidView

__all__ = [
    "ABSENT",
    "Absent",
    "Chunk",
    "Decodes",
    "Grid",
    "Index",
    "Level",
    "Pyramid",
    "PyramidView",
    "Region",
    "Runner",
    "Transform",
    "new_key",
]
