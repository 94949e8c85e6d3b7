"""Files that are there whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_omezarr_cloud.write.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def says(text: str) -> Callable[[Path], None]:
    def write(new: Path) -> None:
        new.write_text(text)

    return write


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_who_write_one_file_at_once_do_not_mix(overwrite: bool, tmp_path: Path) -> None:
    place = tmp_path / "cells.csv"

    def write(new: Path) -> None:
        new.write_text("half of the first,")
        write_whole(place, says("the second"), overwrite=overwrite)
        assert place.read_text() == "the second"
        new.write_text("the first")

    if overwrite:
        write_whole(place, write, overwrite=True)
    else:
        with pytest.raises(FileExistsError):
            write_whole(place, write, overwrite=False)

    assert place.read_text() == ("the first" if overwrite else "the second")
    assert list(tmp_path.iterdir()) == [place]


def test_what_fails_leaves_what_was_there_and_a_link_stays_one(tmp_path: Path) -> None:
    place, link = tmp_path / "real.csv", tmp_path / "link.csv"
    place.write_text("old")
    link.symlink_to(place)

    def fail(new: Path) -> None:
        new.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(link, fail, overwrite=True)
    assert place.read_text() == "old"

    write_whole(link, says("new"), overwrite=True)
    assert link.is_symlink()
    assert place.read_text() == "new"
    assert set(tmp_path.iterdir()) == {place, link}
