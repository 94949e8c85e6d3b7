"""What is visible, in words: level, size in pixels and µm, bytes, position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_omezarr_cloud.write.sizes import bytes_text

if TYPE_CHECKING:
    from napari_omezarr_cloud.napari.visible import VisibleRegion

__all__ = ["bytes_text", "position_text", "region_text", "size_text"]


def region_text(seen: VisibleRegion, nbytes: int) -> str:
    """Return ``"Level 2 · 1300 × 950 px (412 × 301 µm) · 2.5 MB"``.

    Parameters
    ----------
    seen
        What goes in.
    nbytes
        Of all inputs together.
    """
    return f"Level {seen.level.number} · {size_text(seen)} · {bytes_text(nbytes)}"


def size_text(seen: VisibleRegion) -> str:
    """Return the size, width first: ``"1300 × 950 px (412 × 301 µm)"``; planes where folded."""
    across = list(reversed(seen.displayed))
    pixels = " × ".join(str(seen.shape[axis]) for axis in across) + " px"
    sizes = [seen.pixel_um[axis] for axis in across]
    lengths = [n * s for n, s in zip((seen.shape[a] for a in across), sizes, strict=True) if s]
    if len(lengths) == len(sizes):
        pixels += f" ({' × '.join(_round(length) for length in lengths)} µm)"
    planes = [
        f"{seen.shape[axis]} planes along {name}"
        for axis, name in enumerate(seen.axes)
        if axis not in seen.displayed and seen.shape[axis] > 1
    ]
    return ", ".join([pixels, *planes])


def position_text(seen: VisibleRegion) -> str:
    """Return where it is, in voxels of its level: ``"x 0–1300 · y 20–970 · z 12 · t 3"``."""
    parts = []
    for axis in reversed(range(len(seen.axes))):
        start, stop = seen.region.start[axis], seen.region.stop[axis]
        where = f"{start}" if stop - start == 1 else f"{start}–{stop}"
        parts.append(f"{seen.axes[axis]} {where}")
    return " · ".join(parts)


def _round(length: float) -> str:
    return f"{length:.0f}" if length >= 100 else f"{length:.3g}"
