"""What ``omezarr info`` says of an image: facts first, then as text or JSON."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.plain import plain, table
from napari_omezarr_cloud.ngff.units import micrometres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_omezarr_cloud.api import Image, Labels, Level
    from napari_omezarr_cloud.ngff import Axis, Channel

__all__ = ["as_json", "as_text", "facts_of"]

Facts = dict[str, Any]
"""JSON values; the keys are promised to those who read ``--json`` (docs/reference/shell.md)."""


def facts_of(image: Image) -> Facts:
    """Return what an image's metadata say; waits for its labels' metadata.

    Parameters
    ----------
    image
        An open image.
    """
    labels = [_label_facts(each) for each in image.labels]
    return {
        "name": image.name,
        "where": str(image.location),
        "kind": _kind(image),
        "version": image.version,
        "zarr_format": _zarr_format(image),
        "axes": [{"name": a.name, "type": a.type, "unit": a.unit} for a in image.axes],
        "levels": [_level_facts(level, image.axes) for level in image.levels],
        "channels": [_channel_facts(channel) for channel in image.channels],
        "labels": labels,
        "series": [{"name": each.name, "path": each.path} for each in image.series],
        "notes": list(image.notes),
        "paid_nbytes": image.traffic.nbytes if image.traffic.is_paid else None,
    }


def _kind(image: Image) -> str:
    if image.plate is not None:
        return "well" if image.plate.is_well else "plate"
    return "image" if image.opened.image.label is None else "labels"


def _zarr_format(image: Image) -> int | None:
    """Return the Zarr format of the arrays; None: the image is put together of others."""
    level = image.levels[0]
    return level.zarr.metadata.zarr_format if level.is_stored else None


def _level_facts(level: Level, axes: Sequence[Axis]) -> Facts:
    shards = level.zarr.shards if level.is_stored else None
    return {
        "path": level.path,
        "shape": list(level.shape),
        "chunks": list(level.chunks),
        "shards": None if shards is None else list(shards),
        "dtype": level.dtype.name,
        "scale": list(level.scale),
        "translation": list(level.translation),
        "scale_um": _in_micrometres(level.scale, axes),
        "translation_um": _in_micrometres(level.translation, axes),
        "chunk_count": level.chunk_count,
        "nbytes": level.nbytes,
    }


def _in_micrometres(values: Sequence[float], axes: Sequence[Axis]) -> list[float | None]:
    factors = [micrometres(axis.unit) for axis in axes]
    return [
        None if factor is None else value * factor
        for value, factor in zip(values, factors, strict=True)
    ]


def _channel_facts(channel: Channel) -> Facts:
    window = channel.window
    return {
        "name": channel.name,
        "color": channel.color,
        "window": None if window is None else [window.start, window.end],
        "active": channel.active,
    }


def _label_facts(labels: Labels) -> Facts:
    return {
        "name": labels.name,
        "axes": [axis.name for axis in labels.axes],
        "levels": [_level_facts(level, labels.axes) for level in labels.levels],
        "color_count": len(labels.label.colors),
        "property_count": len(labels.label.properties),
        "notes": list(labels.notes),
    }


def as_json(facts: Facts) -> str:
    """Return facts as JSON in ASCII."""
    return json.dumps(facts, indent=2, allow_nan=False)


def as_text(facts: Facts) -> str:
    """Return facts as lines for a person; all that the file's writer wrote is escaped."""
    return "\n".join(_lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    yield plain(facts["name"])
    kind = f"{facts['kind']}, OME-Zarr {facts['version']}"
    if facts["zarr_format"] is not None:
        kind += f" (Zarr format {facts['zarr_format']})"
    rows = [("what", kind), ("where", facts["where"]), ("axes", _axes_text(facts))]
    if facts["paid_nbytes"] is not None:
        paid = f"{bytes_text(facts['paid_nbytes'])} of metadata for this (requester pays)"
        rows.append(("you pay", paid))
    yield from table([(name, plain(value)) for name, value in rows])
    yield ""
    yield from _section("levels", _level_rows(facts))
    if any(
        any(channel[key] for key in ("name", "color", "window")) for channel in facts["channels"]
    ):
        yield ""
        yield from _section("channels", _channel_rows(facts["channels"]))
    if facts["labels"]:
        yield ""
        yield from _section("labels", _label_rows(facts["labels"]))
    if facts["series"]:
        yield ""
        yield from _section("series", _series_rows(facts["series"]))
    notes = list(facts["notes"])
    for each in facts["labels"]:
        notes += [f"Labels {each['name']!r}: {note}" for note in each["notes"]]
    if notes:
        yield ""
        yield "notes"
        yield from (f"  - {plain(note)}" for note in notes)


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield title
    yield from table([[plain(cell) for cell in row] for row in rows])


def _axes_text(facts: Facts) -> str:
    about = [_axis_text(axis, i, facts) for i, axis in enumerate(facts["axes"])]
    groups = itertools.groupby(zip(facts["axes"], about, strict=True), key=lambda pair: pair[1])
    return ", ".join(
        f"{' '.join(axis['name'] for axis, _ in group)} ({text})" for text, group in groups
    )


def _axis_text(axis: Facts, number: int, facts: Facts) -> str:
    """Return what an axis is, with what the table of levels, which has lengths only, lacks."""
    unit, step = axis["unit"], facts["levels"][0]["scale"][number]
    if axis["type"] == "space":
        return f"space, {unit}" if unit else "space, no unit"
    about = [axis["type"] or "unknown type"]
    if unit or step != 1:
        about.append(f"step {step:.6g} {unit or ''}".rstrip())
    return ", ".join(about)


def _level_rows(facts: Facts) -> list[list[str]]:
    space = [i for i, axis in enumerate(facts["axes"]) if axis["type"] == "space"]
    levels = facts["levels"]
    is_in_um = bool(space) and all(levels[0]["scale_um"][i] is not None for i in space)
    names = " ".join(facts["axes"][i]["name"] for i in space)
    unit = f"{names}, µm" if is_in_um else names

    def lengths(level: Facts, key: str) -> str:
        values = level[f"{key}_um" if is_in_um else key]
        return " × ".join(f"{values[i]:.4g}" for i in space) or "-"

    columns: dict[str, list[str]] = {
        "level": [str(number) for number in range(len(levels))],
        "path": [level["path"] for level in levels],
        f"shape ({' '.join(axis['name'] for axis in facts['axes'])})": [
            _times(level["shape"]) for level in levels
        ],
        "chunk": [_times(level["chunks"]) for level in levels],
        "shard": [_times(level["shards"] or []) for level in levels],
        "dtype": [level["dtype"] for level in levels],
        f"voxel ({unit})": [lengths(level, "scale") for level in levels],
        f"origin ({unit})": [lengths(level, "translation") for level in levels],
        "chunks": [f"{level['chunk_count']:,}" for level in levels],
        "bytes": [bytes_text(level["nbytes"]) for level in levels],
    }
    if not any(level["shards"] for level in levels):
        del columns["shard"]
    if not any(level["translation"][i] for level in levels for i in space):
        del columns[f"origin ({unit})"]
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]


def _channel_rows(channels: Sequence[Facts]) -> list[list[str]]:
    rows = [["channel", "name", "colour", "shown range", ""]]
    for number, channel in enumerate(channels):
        window = channel["window"]
        rows.append(
            [
                str(number),
                channel["name"] or "-",
                f"#{channel['color']}" if channel["color"] else "-",
                f"{window[0]:.6g} to {window[1]:.6g}" if window else "-",
                "" if channel["active"] else "hidden at first",
            ]
        )
    return rows


def _label_rows(labels: Sequence[Facts]) -> list[list[str]]:
    rows = [["name", "shape", "dtype", "levels", "colours", "properties"]]
    for each in labels:
        first = each["levels"][0]
        counts = (len(each["levels"]), each["color_count"], each["property_count"])
        shape = f"{_times(first['shape'])} ({' '.join(each['axes'])})"
        rows.append([each["name"], shape, first["dtype"], *(f"{n:,}" for n in counts)])
    return rows


_MOST_SERIES = 50


def _series_rows(series: Sequence[Facts]) -> list[list[str]]:
    rows = [["number", "name", "path"]]
    rows += [[str(n), each["name"], each["path"] or "-"] for n, each in enumerate(series)]
    if len(rows) > _MOST_SERIES + 1:
        more = f"and {len(series) - _MOST_SERIES:,} more, which --json lists"
        rows = [*rows[: _MOST_SERIES + 1], ["…", more, ""]]
    return rows


def _times(numbers: Sequence[int]) -> str:
    return " × ".join(map(str, numbers)) or "-"


def bytes_text(nbytes: int) -> str:
    """Return a number of bytes with three digits and a unit: ``"70.3 MB"``."""
    value, units = float(nbytes), ["bytes", "kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.3g} {units[0]}"
