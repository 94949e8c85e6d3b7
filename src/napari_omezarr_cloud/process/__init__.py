"""scikit-image operations as data, and running them; importing this loads numpy and no more."""

from napari_omezarr_cloud.process.operation import (
    Input,
    Kind,
    Operation,
    Parameter,
    Value,
    validate,
)
from napari_omezarr_cloud.process.recipe import Recipe, RecipeInput, Step
from napari_omezarr_cloud.process.registry import get_operation, operations
from napari_omezarr_cloud.process.run import run, statistic

__all__ = [
    "Input",
    "Kind",
    "Operation",
    "Parameter",
    "Recipe",
    "RecipeInput",
    "Step",
    "Value",
    "get_operation",
    "operations",
    "run",
    "statistic",
    "validate",
]
