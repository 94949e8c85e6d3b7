"""Finding an operation by a word of its title, group or description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.process.anything import GROUP, any_functions
from napari_omezarr_cloud.process.registry import operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_omezarr_cloud.process.operation import Operation

__all__ = ["Entry", "best_of", "described_entries", "matching", "other_entries"]


_OTHER_WORDS = {
    "binarise": "threshold",
    "binarize": "threshold",
    "center": "centre",
    "color": "colour",
    "denoise": "noise",
    "denoising": "noise",
    "gray": "grey",
    "normalise": "normalis",
    "normalize": "normalis",
    "segment": "segmentation",
    "smooth": "blur",
    "subtract": "difference",
}
"""What people type → the word that is used here for it."""


@dataclass(frozen=True)
class Entry:
    """What a list shows of an operation; making one costs no import of scikit-image."""

    name: str
    title: str
    group: str
    help: str


def described_entries() -> tuple[Entry, ...]:
    """Return what can be chosen of the described operations, group after group."""
    return tuple(
        Entry(op.name, op.title, op.group, op.help)
        for op in _by_group(operations().values())
        if op.output != "table"
    )


def other_entries() -> tuple[Entry, ...]:
    """Return every other function of scikit-image; takes a second the first time, in any thread."""
    return tuple(Entry(each.name, each.title, GROUP, each.help) for each in any_functions())


def matching(entries: Iterable[Entry], text: str) -> list[Entry]:
    """Return the entries in which every word of a text (or another for it) occurs, in their order.

    An empty text matches all. Of the functions nobody described, those whose name holds the words
    come first.
    """
    words = text.lower().split()
    found = [entry for entry in entries if _is_in(words, entry.group, entry.help, *_names(entry))]
    return sorted(found, key=lambda e: e.group == GROUP and not _is_in(words, *_names(e)))


def best_of(entries: Sequence[Entry], text: str) -> Entry | None:
    """Return the entry that is most likely meant: a described one, and by its title."""
    words = text.lower().split()

    def rank(entry: Entry) -> tuple[bool, bool, bool]:
        title = entry.title.lower()
        starts = bool(words) and (title.startswith(words[0]) or f".{words[0]}" in title)
        in_title = _is_in(words, *_names(entry))
        return (entry.group == GROUP, not in_title, not starts)

    return min(entries, key=rank, default=None)


def _is_in(words: Iterable[str], *texts: str) -> bool:
    whole = " ".join(texts).lower()
    return all(word in whole or _OTHER_WORDS.get(word, word) in whole for word in words)


def _names(entry: Entry) -> tuple[str, str]:
    return entry.title, entry.name


def _by_group(ops: Iterable[Operation]) -> list[Operation]:
    """Bring together what has one group; those of users may name one that is there."""
    groups: dict[str, list[Operation]] = {}
    for op in ops:
        groups.setdefault(op.group, []).append(op)
    return [op for members in groups.values() for op in members]
