"""Counts added up: per place, in all, and after a place is gone."""

from __future__ import annotations

import gc

import pytest

from napari_omezarr_cloud.store.counting import CountingStore, Traffic
from napari_omezarr_cloud.store.places import Counts, Rate, all_counts, counts_by_place


class Somewhere:
    """A store by its name alone."""

    def __init__(self, where: str) -> None:
        self.where = where


def store(where: str, **counted: int) -> CountingStore:
    return CountingStore(Somewhere(where), Traffic(**counted))  # type: ignore[arg-type]


def test_stores_of_one_place_are_counted_together() -> None:
    both = store("s3://a/x", requests=5, nbytes=10), store("s3://a/x", requests=2, nbytes=3)
    other = store("s3://a/y", requests=1)

    counts = counts_by_place()

    assert (counts["s3://a/x"].done, counts["s3://a/x"].nbytes) == (7, 13)
    assert counts["s3://a/y"].done == 1
    assert len(both) + bool(other)


def test_what_a_closed_image_received_stays_in_the_sum() -> None:
    before = all_counts()
    gone = store("s3://gone/x", requests=5, nbytes=10)
    assert all_counts().nbytes == before.nbytes + 10

    del gone
    gc.collect()

    assert "s3://gone/x" not in counts_by_place()
    assert all_counts().nbytes == before.nbytes + 10


def test_who_waits_is_not_in_flight_and_neither_is_done() -> None:
    counted = Traffic(requests=10, in_flight=4, queued=3, failed=1, cancelled=2, absent=1)

    counts = Counts.of(counted)

    assert (counts.in_flight, counts.queued, counts.done, counts.absent) == (1, 3, 3, 1)


def test_the_time_per_request_is_that_of_the_middle_one() -> None:
    counted = Traffic()
    counted.recent_s.extend([0.1, 0.1, 9.0])

    assert Counts.of(counted).latency_s == 0.1
    assert Counts().latency_s is None


def test_only_the_last_answers_count_for_the_time_per_request() -> None:
    counted = Traffic()
    counted.recent_s.extend([9.0] * 1000 + [0.1] * 64)

    assert set(Counts.of(counted).recent_s) == {0.1}


def test_a_rate_is_that_of_the_last_two_seconds() -> None:
    rate = Rate(2.0)

    seen = [
        rate.feed(now, total) for now, total in [(0, 0), (1, 100), (2, 300), (3, 300), (5, 300)]
    ]

    assert seen == pytest.approx([0, 100, 150, 100, 0])
