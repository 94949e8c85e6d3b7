"""Arguments → a verb → text and an exit code. Everything heavy is imported by the verb itself."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from napari_omezarr_cloud.cli.access import add_access_verb
from napari_omezarr_cloud.cli.cache import add_cache
from napari_omezarr_cloud.cli.download import add_download
from napari_omezarr_cloud.cli.extract import add_extract
from napari_omezarr_cloud.cli.measure import add_measure
from napari_omezarr_cloud.cli.plain import plain
from napari_omezarr_cloud.cli.rendering import add_rendering
from napari_omezarr_cloud.cli.run import add_run
from napari_omezarr_cloud.cli.save import add_save
from napari_omezarr_cloud.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.links import Link

__all__ = ["build_parser", "main"]

FAILED, INTERRUPTED = 1, 130

_EXIT_CODES = """\
exit codes:
  0    done
  1    an image could not be opened; one sentence on stderr says what, where and why
  2    the command was not understood
  130  interrupted with Ctrl+C
"""
_LINK = (
    "s3://bucket/key, https://…, gs://…, az://container/key?account=…, a folder, or the link of "
    "another viewer (neuroglancer, vizarr, webKnossos, …)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``omezarr`` and return its exit code.

    Parameters
    ----------
    arguments
        Without the program's name; None takes those of this process.

    Raises
    ------
    SystemExit
        With 2 if they are not understood, with 0 after ``--help``.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode shows escapes instead of failing at the first µ.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        given = build_parser().parse_args(arguments)
        code: int = given.run(given)
        if sys.stdout is not None:  # a program may be started without one
            sys.stdout.flush()
    except CloudError as error:
        _complain(error)
        return FAILED
    except KeyboardInterrupt:
        if arguments is None:
            _end_at_once()
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough. Python flushes once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _end_at_once() -> NoReturn:
    """End this process: Python would wait for what is being computed, however long that takes."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    atexit._run_exitfuncs()  # connections and processes are ended all the same
    os._exit(INTERRUPTED)


def _complain(error: CloudError) -> None:
    print(f"omezarr: {plain(str(error))}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what was wrong without the secrets that links among the arguments may hold."""

    def error(self, message: str) -> NoReturn:
        from napari_omezarr_cloud.location import redacted

        super().error(plain(redacted(message)))


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"omezarr {version('napari-omezarr-cloud')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; each names its function as ``run``."""
    parser = _Parser(
        prog="omezarr",
        description="Look at OME-Zarr images where they are, in the cloud or in a folder.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = verbs.add_parser(
        "open",
        help="show images in napari",
        description="Show images in napari. Its window comes first, then the images in it.",
    )
    verb.add_argument("links", nargs="+", metavar="LINK", help=_LINK)
    verb.add_argument(
        "--rgb",
        action=argparse.BooleanOptionalAction,
        help="show 3 or 4 channels as one colour picture, or never do "
        "(default: where colour is the last axis)",
    )
    verb.add_argument(
        "--field",
        metavar="NUMBER",
        help="of plates and wells: which field of each well, counted from 0, or all "
        "(default: the first of a plate's, all of a well's)",
    )
    verb.add_argument(
        "--acquisition", type=int, metavar="ID", help="of plates and wells: only this one's fields"
    )
    _add_access(verb)
    verb.set_defaults(run=_open)

    verb = verbs.add_parser(
        "info",
        help="say what an image is: axes, levels, channels, labels",
        description="Say what an image is, from its metadata alone: no pixels are read.",
    )
    verb.add_argument("link", metavar="LINK", help=_LINK)
    verb.add_argument("--json", action="store_true", help="the same facts for programs")
    _add_access(verb)
    verb.set_defaults(run=_info)

    add_save(verbs, _LINK, _add_access)
    add_extract(verbs, _LINK, _add_access)
    add_download(verbs, _LINK, _add_access)
    add_run(verbs, _LINK, _add_access)
    add_measure(verbs, _LINK, _add_access)
    add_rendering(verbs, _LINK, _add_access)
    add_cache(verbs, _LINK, _add_access)
    add_access_verb(verbs, _LINK, _add_access)
    return parser


def _add_access(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("how to get in")
    group.add_argument("--endpoint", metavar="URL", help="S3 server, where it is not Amazon's")
    group.add_argument("--region", help="S3 region, where it is not found by itself")
    group.add_argument(
        "--requester-pays",
        action="store_true",
        default=None,
        help="you agree to pay for what is read from S3 or Google, and not the owner",
    )
    group = group.add_mutually_exclusive_group()
    group.add_argument(
        "--anonymous",
        action=argparse.BooleanOptionalAction,
        help="never sign requests, or always do "
        "(default: not signed first, then with the environment's credentials)",
    )
    group.add_argument("--profile", metavar="NAME", help="profile in the AWS configuration")


def _understand(link: str, given: argparse.Namespace) -> Link:
    from napari_omezarr_cloud.api import understand

    return understand(
        link,
        endpoint=given.endpoint,
        region=given.region,
        anonymous=given.anonymous,
        profile=given.profile,
        requester_pays=given.requester_pays,
    )


def _info(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import api
    from napari_omezarr_cloud.cli.info import as_json, as_text, facts_of

    names = ("endpoint", "region", "anonymous", "profile", "requester_pays")
    image = api.open(given.link, **{name: getattr(given, name) for name in names})
    facts = facts_of(image)
    print(as_json(facts) if given.json else as_text(facts))
    return 0


def _open(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud.pyramid.plate_opened import field_choice

    field = field_choice(given.field or "")
    links, code = [], 0
    for link in given.links:
        try:
            links.append(_understand(link, given))
        except CloudError as error:
            _complain(error)
            code = FAILED
    if not links:
        return code
    _require_window()
    from napari_omezarr_cloud.napari.shell import show_until_closed

    shown, errors = show_until_closed(
        links, rgb=given.rgb, field=field, acquisition=given.acquisition
    )
    if not shown:  # who had a window was told there
        for each in errors:
            _complain(each)
    return FAILED if errors else code


def _require_window() -> None:
    """Fail with a sentence where Qt would end the process without one."""
    from importlib.util import find_spec

    what = "Could not start napari"
    if not any(find_spec(binding) for binding in ("PyQt6", "PySide6")):
        hint = "Install one: pip install 'napari-omezarr-cloud[pyqt6]'."
        raise CloudError(what, why="neither PyQt6 nor PySide6 is installed", hint=hint)
    variables = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in variables):
        raise CloudError(
            what,
            why="there is no screen (DISPLAY is not set)",
            hint="`omezarr info` needs none; xvfb-run gives a virtual one.",
        )
