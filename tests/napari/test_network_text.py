"""What the Network dock says, word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_omezarr_cloud.chunks.cache import Ahead
from napari_omezarr_cloud.chunks.missing import Missing
from napari_omezarr_cloud.errors import ChunkError
from napari_omezarr_cloud.napari.network_text import (
    best_place,
    count_rows,
    headline,
    missing_text,
    size,
)
from napari_omezarr_cloud.store.places import Counts


@pytest.mark.parametrize(
    ("counts", "is_paused", "said"),
    [
        pytest.param(Counts(), False, "Idle: nothing is being loaded.", id="idle"),
        pytest.param(
            Counts(in_flight=64, queued=1200),
            False,
            "Loading: 64 requests in flight, 1,200 waiting.",
            id="busy",
        ),
        pytest.param(Counts(queued=7), True, "Paused: 7 requests wait.", id="paused"),
        pytest.param(
            Counts(is_offline=True),
            False,
            "Offline: what is in the disk cache is shown.",
            id="offline",
        ),
    ],
)
def test_the_first_line_says_what_is_going_on(counts: Counts, is_paused: bool, said: str) -> None:
    assert headline(counts, is_paused=is_paused) == said


def test_failures_are_grouped_by_cause_the_most_frequent_first() -> None:
    def failed(why: str, key: str) -> ChunkError:
        return ChunkError("Could not read", where="s3://a/x", key=key, why=why)

    errors = failed("it is broken", "0/c/9"), failed("refused", "0/c/1"), failed("refused", "0/c/2")

    text = missing_text(Missing(failed=errors), 0, is_paused=False)

    assert text.splitlines() == [
        "2 chunks could not be read: refused.",
        "  0/c/1",
        "  0/c/2",
        "1 chunk could not be read: it is broken.",
        "  0/c/9",
    ]


def test_of_very_many_failures_some_keys_are_listed_and_the_others_counted() -> None:
    errors = tuple(ChunkError("Could not read", key=f"0/c/{n}", why="refused") for n in range(1000))

    lines = missing_text(Missing(failed=errors), 0, is_paused=False).splitlines()

    assert lines[0] == "1,000 chunks could not be read: refused."
    assert lines[-1] == "  … and 980 more"


def test_each_cause_has_its_sentence() -> None:
    text = missing_text(Missing(under_way=3, stopped=2, not_asked=1), 4, is_paused=False)

    assert [line.partition(" chunk")[0] for line in text.splitlines()] == ["2", "3", "1", "4"]
    assert missing_text(Missing(), 0, is_paused=True) == "Nothing is missing."


def test_rows_say_nothing_where_nothing_is_known() -> None:
    rows = dict(count_rows(Counts(), 0.0, 0, 0))

    assert rows["Per request"] == rows["From memory"] == rows["From disk"] == "–"
    assert "Loaded ahead" not in rows


def test_it_is_told_what_loading_ahead_was_good_for() -> None:
    rows = dict(count_rows(Counts(), 0.0, 0, 0, Ahead(loaded=1040, used=31)))

    assert rows["Loaded ahead"] == "1,040, looked at since: 31"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        pytest.param("s3://a/x.zarr", "s3://a/x.zarr", id="itself"),
        pytest.param("s3://a/x.zarr/3", "s3://a/x.zarr", id="one of a series"),
        pytest.param("s3://a/x.zarr2", None, id="another that begins alike"),
        pytest.param("s3://a/p.zarr/A/1", "s3://a/p.zarr/A", id="the nearest above"),
        pytest.param("", None, id="in memory"),
    ],
)
def test_a_layer_belongs_to_the_place_it_lies_in(source: str, place: str | None) -> None:
    places = ["s3://a/x.zarr", "s3://a/p.zarr", "s3://a/p.zarr/A"]

    assert best_place(source, places) == place


def test_sizes_have_the_unit_that_suits() -> None:
    assert [size(n) for n in (0, 999, 1500, 2.5e6, 7e9)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 MB",
        "7.0 GB",
    ]


def test_what_one_pays_for_is_listed_once_there_is_something() -> None:
    free = Counts(nbytes=5_000_000, done=9)
    paid = replace(free, paid_nbytes=1_200_000, paid_requests=7)

    assert "Paid by you" not in dict(count_rows(free, 0.0, 0, 0))
    assert dict(count_rows(free + paid, 0.0, 0, 0))["Paid by you"] == "1.2 MB, 7 requests"
