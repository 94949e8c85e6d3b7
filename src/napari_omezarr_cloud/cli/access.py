"""``omezarr access``: how to get into private places."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

from napari_omezarr_cloud.cli.plain import plain, table
from napari_omezarr_cloud.errors import CloudError, LinkError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_omezarr_cloud.store.ways import WayField

__all__ = ["add_access_verb"]

_FAILED = 1


def add_access_verb(
    verbs: Any, link_help: str, add_access: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the verb and what can be done about access to the parser's verbs."""
    verb = verbs.add_parser(
        "access",
        help="how to get into private places: try it, say it, forget it",
        description="How to get into private places. What is said of a place holds for all below "
        "it, here, in Python and in napari. Keys go into the system's keyring and nowhere else.",
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)

    action = actions.add_parser("test", help="try to get in, and say what the server answered")
    action.add_argument("link", metavar="LINK", help=link_help)
    action.add_argument(
        "--write",
        action="store_true",
        help="also write a small object there and delete it again (default: nothing is written)",
    )
    add_access(action)
    action.set_defaults(run=_test)

    action = actions.add_parser("list", help="of which places it was said how to get in")
    action.set_defaults(run=_list)

    action = actions.add_parser(
        "set",
        help="say how to get into a place",
        description="Say how to get into a place. Secrets are asked for, and not shown; where "
        "nobody can be asked, they are read from the variables that --from-env names.",
    )
    action.add_argument("place", metavar="PLACE", help="s3://bucket, https://host, az://…, gs://…")
    action.add_argument("way", metavar="WAY", help=_ways_help())
    action.add_argument("--profile", default="", metavar="NAME", help="for profile")
    action.add_argument("--file", default="", metavar="PATH", help="for service-account")
    action.add_argument("--endpoint", metavar="URL", help="server, where it is another one")
    action.add_argument("--region", default="", help="S3 region, where it is not found by itself")
    action.add_argument(
        "--requester-pays", action="store_true", help="you pay for what is read, not the owner"
    )
    action.add_argument("--project", default="", help="Google project that pays")
    action.add_argument(
        "--from-env",
        action="append",
        default=[],
        metavar="FIELD=VARIABLE",
        help="take a secret from a variable: secret_access_key=MY_SECRET; may be repeated",
    )
    action.set_defaults(run=_set)

    action = actions.add_parser("forget", help="forget what was said of a place, and its keys")
    action.add_argument("place", metavar="PLACE", help="as list shows it")
    action.set_defaults(run=_forget)


def _ways_help() -> str:
    return (
        "automatic, anonymous, environment; s3: profile, keys; gs: service-account, token; "
        "az: account-key, sas, token; https: token, password, headers"
    )


def _test(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import access

    names = ("endpoint", "region", "anonymous", "profile", "requester_pays")
    tried = access.try_access(
        given.link, write=given.write, **{name: getattr(given, name) for name in names}
    )
    for line in str(tried).splitlines():
        print(plain(line))
    return 0 if tried.can_read is not False and tried.can_write is not False else _FAILED


def _list(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import access

    known = access.known_access()
    if not known:
        print("Nothing was said of any place.")
        return 0
    rows = [["place", "way in", "keys"]]
    for each in known:
        way = " ".join(filter(None, [each.way, each.profile, each.file]))
        way += ", you pay" if each.requester_pays else ""
        rows.append([plain(each.place), plain(way), "keyring" if each.in_keyring else "-"])
    print("\n".join(table(rows, indent="")))
    return 0


def _set(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import access
    from napari_omezarr_cloud.store.keys import keyring_name
    from napari_omezarr_cloud.store.ways import WAYS

    fields = [f for way in WAYS if way.name == given.way for f in way.fields if f.is_secret]
    name = keyring_name() if fields else None
    if fields and name is None:  # said before anybody types a secret for nothing
        raise CloudError(
            "Could not set how to get in",
            where=given.place,
            why="there is no keyring here, and keys are kept nowhere else between two commands",
            hint=_WITHOUT_KEYRING.get(given.way, _WITHOUT_KEYRING[""]),
        )
    said = access.set_access(
        given.place,
        given.way,
        profile=given.profile,
        file=given.file,
        endpoint=given.endpoint,
        region=given.region,
        requester_pays=given.requester_pays,
        project=given.project,
        keyring=bool(fields),
        **_secrets(fields, given.from_env),
    )
    where = f" The keys are in the system's keyring ({name})." if fields else ""
    print(plain(f"{said.place}: {said.about.title}.{where}"))
    return 0


_WITHOUT_KEYRING = {
    "keys": "Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
    "account-key": "Use AZURE_STORAGE_ACCOUNT_KEY.",
    "sas": "Use AZURE_STORAGE_SAS_KEY, or a link that has the SAS.",
    "": "In Python, noc.set_access holds until the program ends; in napari, “Access to this "
    "place…” does. Keyrings need: pip install 'napari-omezarr-cloud[keyring]', and a desktop "
    "session.",
}


def _secrets(fields: list[WayField], from_env: list[str]) -> dict[str, str]:
    """Ask for what is secret: arguments are seen in the list of processes and in histories."""
    pairs = (each.partition("=") for each in from_env)
    variables = {field: variable for field, _, variable in pairs}
    found = {}
    for field in fields:
        if field.name in variables:
            found[field.name] = os.environ.get(variables[field.name], "")
        elif sys.stdin is not None and sys.stdin.isatty():
            optional = "" if field.is_needed else " (may be empty)"
            found[field.name] = getpass.getpass(f"{field.title}{optional}: ")
        elif field.is_needed:
            raise LinkError(
                "Could not set how to get in",
                why=f"there is no terminal to ask for: {field.title}",
                hint=f"Put it into a variable, and say --from-env {field.name}=VARIABLE.",
            )
    return found


def _forget(given: argparse.Namespace) -> int:
    from napari_omezarr_cloud import access

    if access.forget_access(given.place):
        print(plain(f"Forgotten: {given.place}"))
        return 0
    print(plain(f"Nothing was said of {given.place}"), file=sys.stderr)
    return _FAILED
