"""Units of axes are understood however they are spelled."""

from __future__ import annotations

import pint
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
        ("hectometer", 1e8),
        ("yoctometer", 1e-18),
        ("Terameters", 1e18),
    ],
)
def test_a_length_is_so_many_micrometres(unit: str, factor: float) -> None:
    assert micrometres(unit) == factor
    assert time_unit(unit) is None


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("second", "second"),
        ("s", "second"),
        ("ms", "millisecond"),
        ("Hours", "hour"),
        ("ps", "picosecond"),
        ("hrs", "hour"),
    ],
)
def test_a_time_has_its_full_name(unit: str, name: str) -> None:
    assert time_unit(unit) == name
    assert micrometres(unit) is None


@pytest.mark.parametrize("unit", [None, "", "pixel", "parsec per fortnight", "x" * 1000])
def test_what_is_neither_is_not_guessed(unit: str | None) -> None:
    assert micrometres(unit) is None
    assert time_unit(unit) is None


# As listed under "axes" in OME-Zarr 0.4 and 0.5.
LENGTHS = (
    "angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch "
    "kilometer megameter meter micrometer mile millimeter nanometer parsec petameter picometer "
    "terameter yard yoctometer yottameter zeptometer zettameter"
)
TIMES = (
    "attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour "
    "kilosecond megasecond microsecond millisecond minute nanosecond petasecond picosecond second "
    "terasecond yoctosecond yottasecond zeptosecond zettasecond"
)


@pytest.mark.parametrize("unit", LENGTHS.split())
def test_every_length_of_the_specification_is_what_pint_makes_of_it(unit: str) -> None:
    assert micrometres(unit) == pytest.approx(pint.Quantity(1, unit).to("micrometer").magnitude)


@pytest.mark.parametrize("unit", TIMES.split())
def test_every_time_of_the_specification_is_known(unit: str) -> None:
    assert time_unit(unit) == unit
    assert pint.Quantity(1, unit).check("[time]")
