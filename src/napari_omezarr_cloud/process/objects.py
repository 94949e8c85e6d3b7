"""The objects of a label image: which pixels are whose, whatever their numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError

__all__ = ["Pixels", "Regions", "find_regions"]

_Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Regions:
    """The objects of a label image.

    Attributes
    ----------
    numbers
        Their numbers in the label image, ascending; 0 is none of them.
    ids
        The label image with consecutive numbers (int32): ``i + 1`` is object ``numbers[i]``.
    boxes
        ``(object, axis, 2)``: start and stop in voxels, half-open.
    """

    numbers: _Array
    ids: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.numbers)


def find_regions(labels: _Array) -> Regions:
    """Return the objects of a label image; pixels of one number are one object.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, whole numbers of any size, or bool; 0 is background.

    Raises
    ------
    OperationError
        If these are no whole numbers, or not two or three axes.
    """
    from scipy import ndimage

    if labels.ndim not in (2, 3):
        raise OperationError(
            "Could not measure", why=f"the labels have {labels.ndim} axes, not 2 or 3"
        )
    if labels.dtype.kind not in "biu":
        raise OperationError(
            "Could not measure", why=f"labels are whole numbers, not {labels.dtype}"
        )
    numbers, ids = _relabelled(labels)
    found = ndimage.find_objects(ids) if len(numbers) else []
    boxes = np.array([[(s.start, s.stop) for s in box] for box in found], np.intp)
    return Regions(numbers, ids, boxes.reshape(len(numbers), labels.ndim, 2))


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels that belong to objects."""

    flat: npt.NDArray[np.intp]
    """Their positions in the flattened label image."""
    who: npt.NDArray[np.int32]
    """Which object each belongs to, from 0."""
    counts: npt.NDArray[np.intp]
    """Pixels per object."""
    shape: tuple[int, ...]

    @classmethod
    def of(cls, regions: Regions) -> Pixels:
        """Return the pixels of all objects."""
        ids = regions.ids.reshape(-1)
        flat = np.flatnonzero(ids)
        who = ids[flat] - 1
        return cls(flat, who, np.bincount(who, minlength=len(regions)), regions.ids.shape)

    def places(self, axis: int) -> npt.NDArray[np.intp]:
        """Return the position of each pixel along an axis."""
        return self.flat // math.prod(self.shape[axis + 1 :]) % self.shape[axis]

    def total(self, values: _Array) -> npt.NDArray[np.float64]:
        """Return the sum of a value over the pixels of each object."""
        return np.bincount(self.who, values, len(self.counts)).astype(np.float64, copy=False)


def _relabelled(labels: _Array) -> tuple[_Array, npt.NDArray[np.int32]]:
    """Return the numbers of the objects, and the labels as consecutive numbers."""
    if labels.dtype.kind == "b":
        labels = labels.view(np.uint8)
    labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
    if labels.size == 0:
        return np.zeros(0, labels.dtype), np.zeros(labels.shape, np.int32)
    if labels.min() >= 0 and labels.max() <= max(labels.size, 1 << 16):
        # Few enough for a list of all numbers there could be, which spares the sorting.
        is_there = np.zeros(int(labels.max()) + 1, bool)
        is_there[labels] = True
        numbers, index = np.flatnonzero(is_there).astype(labels.dtype), labels
        new = np.zeros(len(is_there), np.int32)
    else:
        numbers, index = np.unique(labels, return_inverse=True)
        is_there = np.ones(len(numbers), bool)
        new = np.zeros(len(numbers), np.int32)
    is_object = numbers != 0
    new[np.flatnonzero(is_there)[is_object]] = np.arange(1, is_object.sum() + 1)
    return numbers[is_object], new[index].reshape(labels.shape)
