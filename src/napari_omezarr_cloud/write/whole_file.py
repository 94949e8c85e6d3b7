"""One file on this disk that is there whole or not at all, and replaces nothing unasked."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["put_in_place", "write_whole"]


def write_whole(path: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Have a file written beside its place, and put there when it is whole and on the disk.

    Parameters
    ----------
    path
        Its place; where that is a link, what the link leads to.
    write
        Makes the file that it is given the name of.
    overwrite
        Whether it replaces what is there, in one step.

    Raises
    ------
    FileExistsError
        If something is there, and is not to be replaced.
    OSError
        If the disk does not take it; what was there is as it was.
    """
    place = Path(os.path.realpath(path)) if overwrite else path
    if not overwrite and os.path.lexists(place):
        raise FileExistsError(str(place))
    # A name of its own: whoever writes the same at the same time writes another one.
    new = place.with_name(f".{uuid.uuid4().hex}.part")
    try:
        write(new)
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        put_in_place(new, place, overwrite=overwrite)
    finally:
        new.unlink(missing_ok=True)


def put_in_place(new: Path, place: Path, *, overwrite: bool) -> None:
    """Give a whole file its name; where it is not to replace anything, it may keep its old name.

    Raises
    ------
    FileExistsError
        If something is there, and is not to be replaced.
    OSError
        If the disk does not take it.
    """
    if overwrite:
        new.replace(place)
        return
    try:
        os.link(new, place)  # unlike a rename, it never replaces anything
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        if os.path.lexists(place):
            raise FileExistsError(str(place)) from None
        new.rename(place)
