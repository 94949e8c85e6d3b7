"""Which entries there are, in a small database that all programs of a user share.

Every entry is in the ledger before its file is written and until its file is gone: the bytes
counted are never fewer than those on disk, whenever a program is killed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_omezarr_cloud.store.disk.stamp import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["Kept", "KeptWish", "Ledger", "Row", "Totals"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    name BLOB PRIMARY KEY, thing TEXT NOT NULL, is_document INTEGER NOT NULL,
    is_private INTEGER NOT NULL, validator TEXT NOT NULL, nbytes INTEGER NOT NULL,
    stored REAL NOT NULL, used REAL NOT NULL, pins INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON entries (pins, used);
CREATE INDEX IF NOT EXISTS by_thing ON entries (thing);
CREATE TABLE IF NOT EXISTS totals (
    nbytes INTEGER NOT NULL, entries INTEGER NOT NULL,
    kept_nbytes INTEGER NOT NULL, kept_entries INTEGER NOT NULL
);
INSERT INTO totals SELECT 0, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM totals);
CREATE TABLE IF NOT EXISTS kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, place TEXT NOT NULL,
    what TEXT NOT NULL, created REAL NOT NULL, is_whole INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS pinned (
    kept INTEGER NOT NULL, name BLOB NOT NULL, PRIMARY KEY (kept, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pinned_by_name ON pinned (name);
CREATE TABLE IF NOT EXISTS wishes (kept INTEGER PRIMARY KEY, wish TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS came AFTER INSERT ON entries BEGIN
    UPDATE totals SET nbytes = nbytes + NEW.nbytes, entries = entries + 1,
        kept_nbytes = kept_nbytes + (NEW.pins > 0) * NEW.nbytes,
        kept_entries = kept_entries + (NEW.pins > 0);
END;
CREATE TRIGGER IF NOT EXISTS went AFTER DELETE ON entries BEGIN
    UPDATE totals SET nbytes = nbytes - OLD.nbytes, entries = entries - 1,
        kept_nbytes = kept_nbytes - (OLD.pins > 0) * OLD.nbytes,
        kept_entries = kept_entries - (OLD.pins > 0);
    UPDATE kept SET is_whole = 0 WHERE OLD.pins > 0
        AND id IN (SELECT kept FROM pinned WHERE name = OLD.name);
    DELETE FROM pinned WHERE name = OLD.name;
END;
CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE OF nbytes, pins ON entries BEGIN
    UPDATE totals SET nbytes = nbytes + NEW.nbytes - OLD.nbytes,
        kept_nbytes = kept_nbytes + (NEW.pins > 0) * NEW.nbytes - (OLD.pins > 0) * OLD.nbytes,
        kept_entries = kept_entries + (NEW.pins > 0) - (OLD.pins > 0);
END;
"""

_PUT = """
INSERT INTO entries (name, thing, is_document, is_private, validator, nbytes, stored, used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET validator = excluded.validator, nbytes = excluded.nbytes,
    stored = excluded.stored, used = excluded.used
"""
_BELOW = "(thing = ? OR (thing >= ? || '/' AND thing < ? || '0'))"  # "0" follows "/" in ASCII

_BUSY_S = 10.0
_LEFT = 0.95
"""Of the budget, after it was exceeded: so that not every write has to make room."""


@dataclass(frozen=True)
class Row:
    """What the ledger holds of an entry."""

    name: bytes
    thing: str
    nbytes: int
    is_document: bool
    is_private: bool
    validator: str


@dataclass(frozen=True)
class Totals:
    """Bytes and entries, and those of them that are kept for offline use."""

    nbytes: int = 0
    entries: int = 0
    kept_nbytes: int = 0
    kept_entries: int = 0


@dataclass(frozen=True)
class KeptWish:
    """Which part of an image is to be kept: enough to go on with it."""

    start: tuple[int, ...]
    """First voxel of the finest level, in the order of the image's axes."""
    stop: tuple[int, ...]
    """The voxel after the last, per axis."""
    levels: tuple[int, ...]
    labels: bool
    """Whether label images beside it are kept, too."""

    def to_text(self) -> str:
        """Return it as JSON; the same text for the same wish."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> KeptWish:
        """Return what `to_text` wrote."""
        said = json.loads(text)
        start, stop, levels = (tuple(said[name]) for name in ("start", "stop", "levels"))
        return cls(start, stop, levels, said["labels"])


@dataclass(frozen=True)
class Kept:
    """A region that is kept for offline use."""

    id: int
    title: str
    where: str
    """Of the image; no secret in it."""
    what: str
    """Region and levels, in words."""
    created: float
    """Seconds since 1970, UTC."""
    is_whole: bool
    """False where it was not all to be had, or the image has changed since."""
    entries: int
    nbytes: int
    wish: KeptWish | None = None
    """What it was to be; None where that was not noted."""


class Ledger:
    """The database; for one thread. Methods that delete hand the names to ``unlink`` first."""

    def __init__(self, file: Path, unlink: Callable[[bytes], None]) -> None:
        self._unlink = unlink
        self._db = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)
        # No write-ahead log: its shared memory does not work for folders on the network. Nothing
        # is waited for to reach the disk: what a power cut spoils is begun anew.
        self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def put(self, rows: Sequence[Row], max_bytes: int) -> set[bytes]:
        """Enter what is about to be written, and make room for it.

        Returns
        -------
        set of bytes
            Names that had to go for want of room; some of ``rows`` may be among them.
        """
        now = time.time()
        with self._transaction():
            for row in rows:
                if row.is_document:
                    self._forget_if_changed(row)
            self._db.executemany(
                _PUT,
                [
                    (r.name, r.thing, r.is_document, r.is_private, r.validator, r.nbytes, now, now)
                    for r in rows
                ],
            )
            return self._make_room(max_bytes)

    def _forget_if_changed(self, row: Row) -> None:
        """Drop the chunks that went with an earlier version of a document."""
        found = self._db.execute(
            "SELECT validator FROM entries WHERE name = ?", (row.name,)
        ).fetchone()
        if found and ABSENT not in (found[0], row.validator) and found[0] != row.validator:
            folder = row.thing.rpartition("/")[0]
            self._delete(f"is_document = 0 AND {_BELOW}", (folder,) * 3)
            self._delete("is_document = 0 AND thing = ?", (row.thing,))

    def make_room(self, max_bytes: int) -> None:
        """Give up the least recently used until the rest is within the budget."""
        with self._transaction():
            self._make_room(max_bytes)

    def _make_room(self, max_bytes: int) -> set[bytes]:
        gone: set[bytes] = set()
        nbytes = self.totals().nbytes
        if nbytes <= max_bytes:
            return gone
        excess = nbytes - int(max_bytes * _LEFT)
        oldest = self._db.execute("SELECT name, nbytes FROM entries WHERE pins = 0 ORDER BY used")
        for name, size in oldest:
            gone.add(name)
            excess -= size
            if excess <= 0:
                break
        oldest.close()
        self._delete_names(gone)
        return gone

    def touch(self, names: Iterable[bytes]) -> None:
        """Mark entries as just used."""
        now = time.time()
        with self._transaction():
            self._db.executemany(
                "UPDATE entries SET used = ? WHERE name = ?", [(now, name) for name in names]
            )

    def drop(self, names: Iterable[bytes]) -> None:
        """Delete entries by name."""
        with self._transaction():
            self._delete_names(names)

    def unlink_unknown(self, names: Iterable[bytes]) -> None:
        """Delete the files of those names that are not entered."""
        with self._transaction():
            for name in names:
                row = self._db.execute("SELECT 1 FROM entries WHERE name = ?", (name,)).fetchone()
                if row is None:
                    self._unlink(name)

    def forget(self, thing: str) -> None:
        """Delete all entries of an object, or of what is below a folder, kept ones too."""
        with self._transaction():
            self._delete(_BELOW, (thing,) * 3)

    def clear(self, *, kept: bool) -> None:
        """Delete all entries; those kept for offline use only if asked to."""
        with self._transaction():
            self._delete("1" if kept else "pins = 0", ())
            if kept:
                self._db.execute("DELETE FROM kept")
                self._db.execute("DELETE FROM wishes")

    def clear_private(self) -> None:
        """Delete what credentials were needed for."""
        with self._transaction():
            self._delete("is_private = 1", ())

    def _delete(self, condition: str, values: tuple[str, ...]) -> None:
        # The condition is one of those written in this file.
        found = self._db.execute(f"SELECT name FROM entries WHERE {condition}", values)  # noqa: S608
        self._delete_names([name for (name,) in found.fetchall()])

    def _delete_names(self, names: Iterable[bytes]) -> None:
        names = list(names)
        for name in names:
            self._unlink(name)
        self._db.executemany("DELETE FROM entries WHERE name = ?", [(name,) for name in names])

    def totals(self) -> Totals:
        """Return the sums; costs the same however many entries there are."""
        row = self._db.execute(
            "SELECT nbytes, entries, kept_nbytes, kept_entries FROM totals"
        ).fetchone()
        return Totals(*row)

    # ---- kept for offline use ---------------------------------------------------------------

    def begin_kept(self, title: str, where: str, what: str, wish: KeptWish) -> tuple[int, bool]:
        """Enter a region that is going to be kept, or go on with one that was begun before.

        Returns
        -------
        number : int
        is_new : bool
            False where this part of this image is entered already.
        """
        with self._transaction():
            text = wish.to_text()
            found = self._db.execute(
                "SELECT id FROM kept JOIN wishes ON wishes.kept = id WHERE place = ? AND wish = ?",
                (where, text),
            ).fetchone()
            if found:
                return int(found[0]), False
            entered = self._db.execute(
                "INSERT INTO kept (title, place, what, created, is_whole) VALUES (?, ?, ?, ?, 0)",
                (title, where, what, time.time()),
            )
            number = int(entered.lastrowid or 0)
            self._db.execute("INSERT OR REPLACE INTO wishes VALUES (?, ?)", (number, text))
            return number, True

    def pin(self, kept: int, names: Iterable[bytes]) -> None:
        """Hold entries for a kept region; they are not given up for want of room."""
        with self._transaction():
            for name in names:
                fresh = self._db.execute(
                    "INSERT OR IGNORE INTO pinned SELECT ?, name FROM entries WHERE name = ?",
                    (kept, name),
                )
                if fresh.rowcount:
                    self._db.execute("UPDATE entries SET pins = pins + 1 WHERE name = ?", (name,))

    def end_kept(self, kept: int) -> None:
        """Note that all of a kept region is there."""
        with self._transaction():
            self._db.execute("UPDATE kept SET is_whole = 1 WHERE id = ?", (kept,))

    def release(self, kept: int) -> bool:
        """Let go of a kept region: its entries become ordinary ones; False if there is none."""
        with self._transaction():
            self._db.execute(
                "UPDATE entries SET pins = pins - 1 "
                "WHERE name IN (SELECT name FROM pinned WHERE kept = ?)",
                (kept,),
            )
            self._db.execute("DELETE FROM pinned WHERE kept = ?", (kept,))
            self._db.execute("DELETE FROM wishes WHERE kept = ?", (kept,))
            return self._db.execute("DELETE FROM kept WHERE id = ?", (kept,)).rowcount > 0

    def kept(self) -> list[Kept]:
        """Return the regions that are kept, the oldest first."""
        rows = self._db.execute(
            "SELECT kept.id, title, place, what, created, is_whole, COUNT(entries.name), "
            "COALESCE(SUM(entries.nbytes), 0), wish FROM kept "
            "LEFT JOIN pinned ON pinned.kept = kept.id "
            "LEFT JOIN entries ON entries.name = pinned.name "
            "LEFT JOIN wishes ON wishes.kept = kept.id GROUP BY kept.id ORDER BY kept.id"
        )
        return [
            Kept(
                number,
                title,
                place,
                what,
                created,
                bool(is_whole),
                entries,
                nbytes,
                KeptWish.from_text(wish) if wish else None,
            )
            for number, title, place, what, created, is_whole, entries, nbytes, wish in rows
        ]


class _Transaction:
    """All or nothing, and nobody else's in between."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
