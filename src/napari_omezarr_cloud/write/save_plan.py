"""What is saved, from which voxels and where: an image, and the labels that go beside it.

Python, the shell and the window make such plans; all of them are shown and written here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_omezarr_cloud.ngff.omero import OWN_KEY
from napari_omezarr_cloud.write.estimate import Estimate, estimate
from napari_omezarr_cloud.write.packed_plan import check_packing
from napari_omezarr_cloud.write.packing import Packing, Workshop, packed_as
from napari_omezarr_cloud.write.passes import PassLevel, pass_place
from napari_omezarr_cloud.write.sizes import bytes_text
from napari_omezarr_cloud.write.sources import ViewSource, Written
from napari_omezarr_cloud.write.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_omezarr_cloud.location import Location
    from napari_omezarr_cloud.ngff import Axis
    from napari_omezarr_cloud.write.merging import Merging
    from napari_omezarr_cloud.write.plan import Plan
    from napari_omezarr_cloud.write.progress import Progress

__all__ = ["CREATOR", "SavePlan"]

CREATOR = OWN_KEY

_SYMBOLS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm"}


@dataclass(frozen=True, eq=False)
class SavePlan:
    """What would be written and where; nothing has been written yet. ``str()`` shows it."""

    location: Location
    plan: Plan
    source: ViewSource
    ome: Mapping[str, Any]
    """OME metadata beside ``multiscales``: how channels look, or what the labels are."""
    provenance: Mapping[str, Any]
    """Where the voxels came from: the source's link without secrets, the recipe."""
    labels: tuple[SavePlan, ...] = ()
    """Label images that are written with it, below ``labels/``, each under its plan's name."""
    listed_in: Location | None = None
    """The image that is there already and gets this as one of its label images."""
    merging: Merging | None = None
    """How objects go on across blocks, where the source labels each block for itself."""
    passes: tuple[SavePlan, ...] = ()
    """Labellings on the way to it that are written first, each of one view and level: what comes
    after them needs objects that are joined."""
    notes: tuple[str, ...] = ()
    """What will not be as it is now, in sentences."""

    def __post_init__(self) -> None:
        """Refuse what its place cannot hold."""
        check_packing(self)

    @property
    def packing(self) -> Packing | None:
        """What kind of file it becomes; None: a folder, or objects in a bucket."""
        return packed_as(self.location)

    @property
    def to_open(self) -> Location | None:
        """What shows it, once it is written; None: nothing here does."""
        return None if self.packing == "ome-tiff" else self.listed_in or self.location

    def origin(self) -> str:
        """Return what the voxels are, as text: what broke off is taken up for the same only.

        Goes through arrays that are in memory.
        """
        found = self.source
        fixed = [view.fixed for view in found.views]
        own = f"{dict(self.provenance)} {fixed} {found.numbers} {found.boxes}{found.fingerprint()}"
        parts = (*self.labels, *self.passes)
        return own + "".join(f" {each.plan.to_json()} {each.origin()}" for each in parts)

    def places(self) -> frozenset[Location]:
        """Return where all voxels come from at last, those of the labels too."""
        levels = (level for view in self.source.views for level in view.pyramid.levels)
        own = frozenset().union(*(level.places for level in levels))
        return own.union(*(each.places() for each in self.labels))

    def source_at(self, location: Location) -> ViewSource:
        """Return what gives the voxels, once the passes of a write to a place are whole."""
        if not self.passes or self.source.reader is None:
            return self.source
        written = []
        for number, each in enumerate(self.passes):
            (view,), (level,) = each.source.views, each.source.numbers
            stored = PassLevel(pass_place(location, number), each.plan)
            written.append(Written(view.level(level), view.order, stored))
        return replace(self.source, reader=self.source.reader.holding(written))

    def writing(self, location: Location, origin: str, progress: Progress | None = None) -> Writing:
        """Return the write of the image to a place; nothing begins.

        Parameters
        ----------
        location
            The plan's own, or one beside it.
        origin
            As `origin` gave.
        progress
            As for `Writing`.
        """
        beside = {CREATOR: dict(self.provenance)}
        return Writing(
            self.plan,
            location,
            ome=self.ome,
            beside=beside,
            merging=self.merging,
            origin=origin,
            progress=progress,
        )

    def estimate(self, *, threads: int | None = None) -> Estimate:
        """Return what writing it takes; reads a block, and waits.

        Parameters
        ----------
        threads
            As it will be written with.

        Raises
        ------
        CloudError
            If the block cannot be read or computed.
        """
        found = estimate(
            self.plan,
            self.source,
            merging=self.merging,
            has_passes=bool(self.passes),
            threads=threads,
        )
        for each in self.passes:
            found = found.after(each.estimate(threads=threads))
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, those of the labels too, before compression."""
        return self.plan.nbytes + sum(each.nbytes for each in self.labels)

    @property
    def written_nbytes(self) -> int:
        """The same with those of the passes, which do not stay."""
        parts = (*self.labels, *self.passes)
        return self.plan.nbytes + sum(each.written_nbytes for each in parts)

    @property
    def object_count(self) -> int:
        """Objects, those of the labels too, if all of them are stored."""
        return self.plan.object_count + sum(each.object_count for each in self.labels)

    def __str__(self) -> str:
        lines = [*_lines(self.plan, self.packing), f"to {self.location}", *_levels(self.plan)]
        for each in self.labels:
            first, *rest = _lines(each.plan)
            lines += [f"labels/{each.plan.name}: {first}", *rest, *_levels(each.plan)]
        return "\n".join([*lines, *self._room(), *self.notes])

    def _room(self) -> list[str]:
        """Return where else something lies until it is whole."""
        lines = []
        for each in (*self.labels, self):
            if each.passes:
                first = " and ".join(every.plan.name for every in each.passes)
                nbytes = sum(every.written_nbytes for every in each.passes)
                lines.append(
                    f"In {each._pass_count()} passes: first {first}, of the whole level, which is "
                    "kept beside the result until that is whole "
                    f"({bytes_text(nbytes)} before compression); then what comes after it."
                )
        if self.packing is None:
            return lines
        twice = ", which needs about twice its room" if self.packing == "ome-tiff" else ""
        folder = Workshop.of(self.location).folder
        return [*lines, f"Until it is whole it is made in {folder}{twice}."]

    def _pass_count(self) -> int:
        return 1 + sum(each._pass_count() for each in self.passes)


def _lines(plan: Plan, packing: Packing | None = None) -> list[str]:
    axes = "".join(axis.name for axis in plan.axes)
    count = "1 level" if len(plan.levels) == 1 else f"{len(plan.levels)} levels"
    form, codec = f"OME-Zarr {plan.version}", plan.codec
    size = f"{plan.object_count:,} objects at most"
    if packing is not None:
        size = "one file"
    if packing == "ome-tiff":
        form, codec = "OME-TIFF", "not compressed" if codec == "none" else "deflate"
    return [
        f"{form}, {axes}, {np.dtype(plan.dtype).name}, {codec}: "
        f"{count}, {size}, {bytes_text(plan.nbytes)} before compression"
    ]


def _levels(plan: Plan) -> list[str]:
    lines = []
    for level in plan.levels:
        shards = f" in shards of {_by(level.shards)}" if level.shards else ""
        lines.append(
            f"  {level.path}: {_by(level.shape)}, chunks of {_by(level.chunks)}{shards}, "
            f"voxels of {_lengths(plan.axes, level.scale)}"
        )
    return lines


def _lengths(axes: Sequence[Axis], scale: Sequence[float]) -> str:
    """Return the extent of a voxel, with its unit where there is one."""
    found = [
        (step, _SYMBOLS.get(axis.unit or "", axis.unit or ""))
        for axis, step in zip(axes, scale, strict=True)
        if axis.type not in ("time", "channel")
    ]
    units = {unit for _, unit in found}
    if len(units) > 1:
        return " x ".join(f"{step:.4g} {unit or '(no unit)'}" for step, unit in found)
    return f"{' x '.join(f'{step:.4g}' for step, _ in found)} {''.join(units) or '(no unit)'}"


def _by(values: Sequence[int] | None) -> str:
    return " x ".join(map(str, values or ()))
