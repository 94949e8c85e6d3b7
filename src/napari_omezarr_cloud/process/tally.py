"""What blocks of a label image say of its objects, and what that makes together. Pure.

An object that crosses blocks is measured whole: its voxels, their positions, their products and
grey values are summed block by block, second moments about each block's own mean and put together
as Chan, Golub and LeVeque (1979) do, which does not lose digits far from the origin. What cannot be
put together (a median, a convex hull) is measured of the objects that a block holds whole; the
others are `open`, and are measured one by one, each read as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.process.objects import Pixels, Regions, find_regions
from napari_omezarr_cloud.process.region_shape import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Grey",
    "Tally",
    "TallyOfBlocks",
    "Wanted",
    "WholeValues",
    "combined",
    "tally_block",
    "whole_values",
]

_Array: TypeAlias = npt.NDArray[Any]
_Floats: TypeAlias = npt.NDArray[np.float64]

_PENDING = 1 << 17
"""Rows of blocks that are put together in one go, at least."""

WholeValues = list[tuple[str, float | str]]
"""By name a value, or why there is none."""


@dataclass(frozen=True)
class Wanted:
    """What is measured."""

    spacing: tuple[float, ...]
    """Size of a voxel per axis of space."""
    moments: bool = True
    """Whether second moments are: axes, eccentricity, orientation."""
    shapes: tuple[str, ...] = ()
    """Names of shapes that need the whole object."""
    medians: tuple[str, ...] = ()
    """Names of the images whose medians are."""

    @property
    def of_wholes(self) -> tuple[str, ...]:
        """Names of what needs the whole object."""
        return (*self.shapes, *(f"median_{name}" for name in self.medians))


@dataclass(frozen=True, eq=False)
class Grey:
    """Grey values of objects in one image; all ``(object,)``, ``moments`` ``(object, axis)``."""

    totals: _Floats
    squares: _Floats
    """Sum of the squared differences from the object's mean."""
    lows: _Floats
    highs: _Floats
    moments: _Floats
    """Sum of grey value times position in voxels."""


@dataclass(frozen=True, eq=False)
class Tally:
    """What is known of objects, in ascending order of place and number.

    Attributes
    ----------
    places
        ``(object,)``: which position along the axes that are none of space.
    numbers
        ``(object,)``: in the label image.
    parts
        ``(object,)``: how many blocks have some of it.
    boxes
        ``(object, axis, 2)``: start and stop in voxels of the level, half-open.
    counts
        ``(object,)``: voxels.
    sums
        ``(object, axis)``: of the positions of its voxels; whole numbers, exact below 2**53.
    spreads
        ``(object, axis, axis)``: sums of products of distances from the mean, in voxels; empty
        where no moments are wanted.
    greys
        By image.
    wholes
        ``(object, name)``: what needs the whole object, in the order of `Wanted.of_wholes`.
    is_open
        ``(object,)``: whether no block held it whole, so that `wholes` says nothing.
    reasons
        By place and number: what could not be measured, and why.
    """

    places: npt.NDArray[np.int64]
    numbers: _Array
    parts: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    sums: _Floats
    spreads: _Floats
    greys: tuple[Grey, ...]
    wholes: _Floats
    is_open: npt.NDArray[np.bool_]
    reasons: Mapping[tuple[int, int], WholeValues] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, place: int) -> Tally:
        """Return what is known of the objects at one place."""
        rows = slice(*np.searchsorted(self.places, [place, place + 1]))
        own = {
            each.name: getattr(self, each.name)[rows]
            for each in fields(self)
            if each.name not in ("greys", "reasons")
        }
        greys = tuple(
            Grey(**{each.name: getattr(grey, each.name)[rows] for each in fields(Grey)})
            for grey in self.greys
        )
        return Tally(**own, greys=greys, reasons=self.reasons)

    @classmethod
    def of_none(cls, dtype: np.dtype[Any], wanted: Wanted, images: int) -> Tally:
        """Return what is known where there is no object."""
        ndim = len(wanted.spacing)
        whole, floats = np.zeros(0, np.int64), np.zeros(0)
        grey = Grey(floats, floats, floats, floats, np.zeros((0, ndim)))
        return cls(
            places=whole,
            numbers=np.zeros(0, dtype),
            parts=whole,
            boxes=np.zeros((0, ndim, 2), np.int64),
            counts=whole,
            sums=np.zeros((0, ndim)),
            spreads=np.zeros((0, ndim, ndim)),
            greys=(grey,) * images,
            wholes=np.zeros((0, len(wanted.of_wholes))),
            is_open=np.zeros(0, bool),
        )


def tally_block(
    labels: _Array,
    images: Mapping[str, _Array],
    wanted: Wanted,
    *,
    place: int = 0,
    origin: Sequence[int],
    inner: npt.NDArray[np.bool_],
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Tally | None:
    """Return what a block says of the objects in it; None where there are none.

    Parameters
    ----------
    labels
        ``yx`` or ``zyx``, whole numbers; 0 is background.
    images
        Grey values by name, of the shape of ``labels``.
    wanted
        What is measured.
    place
        Position of the block along other axes.
    origin
        Its first voxel in the level.
    inner
        ``(axis, 2)``: on which sides it goes on.
    is_cancelled
        Asked before each object that is measured by itself.

    Raises
    ------
    OperationError
        If the labels are none.
    """
    regions = find_regions(labels)
    if not len(regions):
        return None
    pixels = Pixels.of(regions)
    counts = pixels.counts.astype(np.int64)
    along = [pixels.places(axis) for axis in range(labels.ndim)]
    local = np.stack([pixels.total(each) for each in along], axis=1)
    shift = np.array(origin, np.int64)
    boxes = regions.boxes.astype(np.int64)
    sides = np.stack([boxes[:, :, 0] == 0, boxes[:, :, 1] == np.array(labels.shape)], axis=2)
    is_open = np.asarray((sides & inner).any(axis=(1, 2)))
    wholes, reasons = _wholes(regions, images, wanted, ~is_open, is_cancelled)
    return Tally(
        places=np.full(len(regions), place, np.int64),
        numbers=regions.numbers,
        parts=np.ones(len(regions), np.int64),
        boxes=boxes + shift[:, None],
        counts=counts,
        sums=local + counts[:, None] * shift.astype(np.float64),
        spreads=_spreads(pixels, along, local) if wanted.moments else _no_spreads(len(regions)),
        greys=tuple(_grey(image, pixels, along, shift) for image in images.values()),
        wholes=wholes,
        is_open=is_open,
        reasons={(place, int(regions.numbers[row])): why for row, why in reasons.items()},
    )


def _no_spreads(count: int) -> _Floats:
    return np.zeros((count, 0, 0))


def _spreads(pixels: Pixels, along: Sequence[_Array], local: _Floats) -> _Floats:
    means = local / pixels.counts[:, None]
    away = [at - means[pixels.who, axis] for axis, at in enumerate(along)]
    found = np.empty((len(local), len(along), len(along)))
    for i in range(len(along)):
        for j in range(i + 1):
            found[:, i, j] = found[:, j, i] = pixels.total(away[i] * away[j])
    return found


def _grey(image: _Array, pixels: Pixels, along: Sequence[_Array], shift: _Array) -> Grey:
    grey = image.reshape(-1)[pixels.flat].astype(np.float64)
    count = len(pixels.counts)
    with np.errstate(all="ignore"):
        totals = pixels.total(grey)
        means = totals / pixels.counts
        lows, highs = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(lows, pixels.who, grey)
        np.maximum.at(highs, pixels.who, grey)
        moments = np.stack([pixels.total(grey * at) for at in along], axis=1)
        return Grey(
            totals=totals,
            squares=pixels.total((grey - means[pixels.who]) ** 2),
            lows=lows,
            highs=highs,
            moments=moments + totals[:, None] * shift,
        )


def _wholes(
    regions: Regions,
    images: Mapping[str, _Array],
    wanted: Wanted,
    is_whole: npt.NDArray[np.bool_],
    is_cancelled: Callable[[], bool],
) -> tuple[_Floats, dict[int, WholeValues]]:
    names = wanted.of_wholes
    found = np.full((len(regions), len(names)), np.nan)
    reasons: dict[int, WholeValues] = {}
    for row in np.flatnonzero(is_whole) if names else ():
        if is_cancelled():
            break
        box = tuple(slice(a, b) for a, b in regions.boxes[row])
        mask = regions.ids[box] == row + 1
        greys = {name: images[name][box] for name in wanted.medians}
        for column, (name, value) in enumerate(whole_values(mask, greys, wanted)):
            if isinstance(value, str):
                reasons.setdefault(int(row), []).append((name, value))
            else:
                found[row, column] = value
    return found, reasons


def whole_values(
    mask: npt.NDArray[np.bool_], greys: Mapping[str, _Array], wanted: Wanted
) -> WholeValues:
    """Return what needs a whole object, in the order of `Wanted.of_wholes`.

    Parameters
    ----------
    mask
        The object within its box.
    greys
        Grey values by name, of that box.
    wanted
        What is measured.
    """
    found: WholeValues = list(shape_of(mask, wanted.spacing, wanted.shapes))
    for name in wanted.medians:
        # NaN among them gives NaN, which the other statistics of the image tell of.
        median = np.median(greys[name][mask].astype(np.float64))
        found.append((f"median_{name}", float(median)))
    return found


def combined(tallies: Sequence[Tally]) -> Tally:
    """Return what several tallies, of which one at least, say together.

    The same tallies in the same order give the same digits.
    """
    order, first = _groups(tallies)
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(order))))

    def joined(name: str) -> _Array:
        return np.concatenate([getattr(each, name) for each in tallies])[order]

    def total(values: _Array) -> _Array:
        return np.add.reduceat(values, first, axis=0)

    numbers, places = joined("numbers")[first], joined("places")[first]
    parts = total(joined("parts"))
    counts, sums, boxes = joined("counts"), joined("sums"), joined("boxes")
    counts_all, sums_all = total(counts), total(sums)
    spreads = joined("spreads")
    if spreads.shape[1]:
        away = sums / counts[:, None] - (sums_all / counts_all[:, None])[group]
        spreads = spreads + counts[:, None, None] * away[:, :, None] * away[:, None, :]
    reasons = {key: why for each in tallies for key, why in each.reasons.items()}
    is_open = np.logical_or.reduceat(joined("is_open"), first) | (parts > 1)
    wholes = joined("wholes")[first]
    wholes[is_open] = np.nan
    if reasons:
        closed = set(zip(places[~is_open].tolist(), numbers[~is_open].tolist(), strict=True))
        reasons = {key: why for key, why in reasons.items() if key in closed}
    return Tally(
        places=places,
        numbers=numbers,
        parts=parts,
        boxes=np.stack(
            [
                np.minimum.reduceat(boxes[:, :, 0], first, axis=0),
                np.maximum.reduceat(boxes[:, :, 1], first, axis=0),
            ],
            axis=2,
        ),
        counts=counts_all,
        sums=sums_all,
        spreads=total(spreads),
        greys=tuple(
            _grey_of([each.greys[i] for each in tallies], order, first, group, counts, counts_all)
            for i in range(len(tallies[0].greys))
        ),
        wholes=wholes,
        is_open=is_open,
        reasons=reasons,
    )


def _groups(tallies: Sequence[Tally]) -> tuple[_Array, _Array]:
    """Return the order by place and number, and where in it each object begins."""
    places = np.concatenate([each.places for each in tallies])
    numbers = np.concatenate([each.numbers for each in tallies])
    order = np.lexsort((numbers, places))
    places, numbers = places[order], numbers[order]
    begins = (places[1:] != places[:-1]) | (numbers[1:] != numbers[:-1])
    return order, np.flatnonzero(np.concatenate([[True], begins]))


def _grey_of(
    greys: Sequence[Grey],
    order: _Array,
    first: _Array,
    group: _Array,
    counts: _Array,
    counts_all: _Array,
) -> Grey:
    of = {
        each.name: np.concatenate([getattr(grey, each.name) for grey in greys])[order]
        for each in fields(Grey)
    }
    with np.errstate(all="ignore"):
        totals = np.add.reduceat(of["totals"], first)
        away = of["totals"] / counts - (totals / counts_all)[group]
        return Grey(
            totals=totals,
            squares=np.add.reduceat(of["squares"] + counts * away**2, first),
            lows=np.minimum.reduceat(of["lows"], first),
            highs=np.maximum.reduceat(of["highs"], first),
            moments=np.add.reduceat(of["moments"], first, axis=0),
        )


class TallyOfBlocks:
    """Puts tallies together as they come: holds about as much as there are objects."""

    def __init__(self) -> None:
        self._held: list[Tally] = []
        self._rows = 0

    def add(self, tally: Tally | None) -> None:
        """Add what a block says; None: nothing."""
        if tally is None:
            return
        self._held.append(tally)
        self._rows += len(tally)
        if len(self._held) > 1 and self._rows > max(_PENDING, 2 * len(self._held[0])):
            self._held = [combined(self._held)]
            self._rows = len(self._held[0])

    @property
    def tally(self) -> Tally | None:
        """What all of them say together; None where there is no object."""
        return combined(self._held) if self._held else None
