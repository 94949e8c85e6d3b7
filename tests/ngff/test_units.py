"""Units of axes are understood however they are spelled."""

from __future__ import annotations

import pytest

from napari_omezarr_cloud.ngff.units import micrometres, time_unit


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("micrometer", 1.0),
        ("micrometre", 1.0),
        ("Micrometers", 1.0),
        ("µm", 1.0),
        ("\N{GREEK SMALL LETTER MU}m", 1.0),
        ("um", 1.0),
        ("micron", 1.0),
        ("nm", 1e-3),
        ("Å", 1e-4),
        ("mm", 1e3),
        ("inch", 25400.0),
        (" meter ", 1e6),
    ],
)
def test_a_length_is_so_many_micrometres(unit: str, factor: float) -> None:
    assert micrometres(unit) == factor
    assert time_unit(unit) is None


@pytest.mark.parametrize(
    ("unit", "name"),
    [("second", "second"), ("s", "second"), ("ms", "millisecond"), ("Hours", "hour")],
)
def test_a_time_has_its_full_name(unit: str, name: str) -> None:
    assert time_unit(unit) == name
    assert micrometres(unit) is None


@pytest.mark.parametrize("unit", [None, "", "pixel", "parsec per fortnight", "x" * 1000])
def test_what_is_neither_is_not_guessed(unit: str | None) -> None:
    assert micrometres(unit) is None
    assert time_unit(unit) is None
