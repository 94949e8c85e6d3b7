"""``omezarr download``: byte for byte copies of an image, a plate, any folder of a bucket."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.plain import plain
from napari_omezarr_cloud.cli.save import access_of
from napari_omezarr_cloud.errors import WriteError
from napari_omezarr_cloud.write.sizes import bytes_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_omezarr_cloud.write.download import DownloadProgress

__all__ = ["add_download"]

_RHYTHM_S = 0.2


def add_download(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb to the parser's verbs."""
    verb = verbs.add_parser(
        "download",
        help="copy an image, a plate or any folder of a bucket to this disk",
        description="Copy an image, a plate, a series, any folder of a bucket, or one zip file, "
        "byte for byte to this disk. It says before how many objects and bytes that are. Metadata "
        "come first, then levels from coarse to fine. What broke off goes on by the same command; "
        "nothing is overwritten.",
    )
    verb.add_argument("source", metavar="LINK", help=link_help)
    verb.add_argument(
        "target", metavar="TARGET", nargs="?", help="a new folder (default: as it is called, here)"
    )
    verb.add_argument("--yes", "-y", action="store_true", help="do not ask")
    verb.add_argument(
        "--estimate", action="store_true", help="say what would be downloaded, and download nothing"
    )
    add_access(verb)
    verb.set_defaults(run=_download)


def _download(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import downloading

    line = _Line()
    planned = downloading.plan_download(
        given.source, given.target, on_found=line.found, **access_of(given)
    )
    line.wipe()
    print("\n".join(map(plain, str(planned).splitlines())), flush=True)
    if given.estimate:
        return 0
    if not given.yes and not _agreed():
        print("nothing was downloaded")
        return 1
    downloading.download(planned, on_progress=line.downloaded)
    line.wipe()
    print(plain(f"downloaded to {planned.target}"))
    return 0


def _agreed() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise WriteError(
            "Nothing was downloaded", why="nobody can be asked", hint="Say --yes to agree to it."
        )
    return input("Download this? [y/N] ").strip().lower() in ("y", "yes")


class _Line:
    """One line of a terminal that says how far it is, a few times a second."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._next = 0.0
        self._width = 0

    def found(self, count: int) -> None:
        """Say how many objects were found so far."""
        self._say(f"looking what there is: {count:,} found so far")

    def downloaded(self, progress: DownloadProgress) -> None:
        """Say what is here already."""
        of = f" of {bytes_text(progress.nbytes)}" if progress.nbytes else ""
        failed = f", {progress.failed:,} failed" if progress.failed else ""
        self._say(
            f"{progress.done:,} of {progress.count:,} objects, "
            f"{bytes_text(progress.done_nbytes)}{of}{failed}"
        )

    def wipe(self) -> None:
        """Say nothing any more."""
        if self._width:
            self._print(" " * self._width)
            self._print("")

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if self._is_shown and now >= self._next:
            self._next = now + _RHYTHM_S
            self._print(f"{text:{self._width}}")
            self._width = len(text)

    def _print(self, text: str) -> None:
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
