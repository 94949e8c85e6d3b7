"""How many requests at once the line to the servers bears.

More of them hide its latency. Once it is full, more only share it: nothing comes sooner, and what
is wanted most comes much later, since all come together.
"""

from __future__ import annotations

__all__ = ["Line"]

_BODY_S = 1.0
"""A body that takes longer shares the line with too many; one that takes half of it, with few."""
_TELLING_BYTES = 2**14
"""Shorter answers tell of latency alone."""
_SAMPLE = 8
_ANSWERS_LEFT_ALONE = 512


class Line:
    """Learns from the answers how many requests are to be in flight.

    Where bodies take longer than a second, fewer requests are tried. If each is so much faster then
    as it must be if they shared the line, it stays with fewer. If not, something else made them
    slow (a server that limits each connection, losses on a long way), which is what many at once
    help against: then the former number counts again for some hundred answers.

    Parameters
    ----------
    start
        Requests at once before anything is known.
    fewest
        Requests at once, however slow the line.
    """

    def __init__(self, start: int = 64, fewest: int = 16) -> None:
        self.window = start
        """How many requests at once are good for this line, as far as it is known."""
        self._fewest = fewest
        self._former: tuple[int, float] | None = None
        self._left_alone = 0
        self._forget()

    def _forget(self) -> None:
        self._count = 0
        self._body_s = self._bytes_per_s = 0.0

    def note(self, nbytes: int, body_s: float, together: int) -> None:
        """Learn from an answer.

        Parameters
        ----------
        nbytes
            Of its body.
        body_s
            From the first byte of it to the last, without the wait before.
        together
            How many requests were in flight when it began.
        """
        if nbytes < _TELLING_BYTES or together > self.window:  # or from before the last change
            return
        self._left_alone = max(0, self._left_alone - 1)
        self._count += 1
        share = 1 / min(self._count, _SAMPLE)
        self._body_s += share * (body_s - self._body_s)
        self._bytes_per_s += share * (nbytes / max(body_s, 1e-3) - self._bytes_per_s)
        if self._count < _SAMPLE:
            return
        if self._former is not None:
            self._judge(*self._former)
        elif self._body_s > _BODY_S and self.window > self._fewest and not self._left_alone:
            self._former = self.window, self._bytes_per_s
            self.window = max(self._fewest, int(together * _BODY_S / self._body_s))
            self._forget()
        elif self._body_s < _BODY_S / 2 and together > self.window // 2:
            self.window += 1  # per answer: twice as many per round

    def _judge(self, former: int, bytes_per_s: float) -> None:
        """Keep to fewer if each was so much faster as sharing explains, half-way at least."""
        self._former = None
        if self._bytes_per_s < bytes_per_s * (former / self.window) ** 0.5:
            self.window, self._left_alone = former, _ANSWERS_LEFT_ALONE
            self._forget()
