"""How many requests at once a line bears: learnt from answers over lines that are computed here."""

from __future__ import annotations

import math

import pytest

from napari_omezarr_cloud.store.line import Line

CHUNK = 400_000


LATENCY_S = 0.1


def answers(
    line: Line, count: int, *, shared: float = math.inf, each: float = math.inf, most: int = 128
) -> None:
    """Have ``count`` chunks answered, as many at once as the line bears.

    The bodies under way share ``shared`` bytes per second, and none has more than ``each``.
    """
    now = 0.0
    waiting: list[float] = []  # when their bodies will begin
    bodies: list[list[float]] = []  # bytes left, when it began, how many were in flight then
    while count:
        while len(waiting) + len(bodies) < min(line.window, most):
            waiting.append(now + LATENCY_S)
        pace = min(each, shared / len(bodies)) if bodies else 1.0
        ends = min((left / pace for left, *_ in bodies), default=math.inf)
        begins = waiting[0] - now if waiting else math.inf
        step = min(ends, begins)
        now += step
        for body in bodies:
            body[0] -= pace * step
        if begins <= ends:
            del waiting[0]
            bodies.append([CHUNK, now, len(waiting) + len(bodies) + 1])
        else:
            _, began, together = bodies.pop(min(range(len(bodies)), key=lambda n: bodies[n][0]))
            line.note(CHUNK, now - began, int(together))
            count -= 1


@pytest.mark.parametrize("bytes_per_s", [8e6, 12e6, 20e6])
def test_on_a_slow_line_no_more_are_in_flight_than_a_second_brings(bytes_per_s: float) -> None:
    line = Line()

    answers(line, 1000, shared=bytes_per_s)

    assert line.window * CHUNK == pytest.approx(bytes_per_s, rel=0.5)


def test_a_very_slow_line_still_gets_some_at_once() -> None:
    line = Line()

    answers(line, 300, shared=1e5)

    assert line.window == 16


def test_on_a_fast_line_there_are_as_many_as_the_person_allows() -> None:
    line = Line()

    answers(line, 300, shared=1e9)

    assert line.window >= 128


def test_where_each_connection_is_slow_many_are_kept() -> None:
    """A line that loses packets, or a server that limits each connection."""
    line = Line()
    seen = []

    for _ in range(200):
        answers(line, 10, each=1e5)
        seen.append(line.window)

    assert seen.count(64) > 0.8 * len(seen)


def test_a_line_that_has_become_fast_is_used_again() -> None:
    line = Line()
    answers(line, 300, shared=8e6)
    few = line.window

    answers(line, 500, shared=1e9)

    assert few < 40
    assert line.window >= 128


def test_documents_tell_nothing() -> None:
    line = Line()

    for _ in range(1000):
        line.note(2000, 5.0, 64)

    assert line.window == 64
