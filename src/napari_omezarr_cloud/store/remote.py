"""A place in the network or on disk, read and written through obstore."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    CloudError,
    LinkError,
    NotFoundError,
    ServerError,
    UnsupportedError,
)
from napari_omezarr_cloud.settings import settings
from napari_omezarr_cloud.store.counting import Traffic
from napari_omezarr_cloud.store.disk.stamp import is_document
from napari_omezarr_cloud.store.failures import (
    NoRangesError,
    PageError,
    is_broken_answer,
    translate,
)
from napari_omezarr_cloud.store.gate import Gate
from napari_omezarr_cloud.store.line import Line
from napari_omezarr_cloud.store.protocol import ByteRange, Bytes, Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from napari_omezarr_cloud.location import Location

__all__ = ["GATE", "RemoteStore", "Version", "build_obstore"]

Version = Mapping[str, str]
"""Which version of an object: its ETag, and its generation where the service counts them."""

GATE = Gate(settings().requests, Line())
"""Requests in flight of this process: as many as its line bears, and at most as set."""

_CONNECT_S, _SILENCE_S, _REQUEST_S = 5, 20, 300
_RETRIES: Any = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
_BROKEN_ANSWER_TRIES = 3
_MOST_DOCUMENT, _MOST_WHOLE = 2**26, 2**31 + 2**24
"""Bytes of a metadata document, and of anything else, that are read at once."""


def _client(location: Location) -> Any:
    endpoint = location.endpoint or ""
    return {
        "connect_timeout": f"{_CONNECT_S}s",
        # The time without a byte, not the time of a whole body: a big shard may take minutes.
        "read_timeout": f"{_SILENCE_S}s",
        "timeout": f"{_REQUEST_S}s",
        "allow_http": endpoint.startswith("http://"),
    }


def build_obstore(location: Location, *, anonymous: bool) -> Any:
    """Return the obstore store for a location; builds only, asks nobody.

    Parameters
    ----------
    location
        Where; its key becomes the store's root.
    anonymous
        Send no signature. Otherwise the environment's credentials, or ``access.profile``.

    Raises
    ------
    LinkError
        If the location lacks something that its service needs.
    NotFoundError, AccessRefusedError
        If it is a local folder that is not there, or not to be read.
    """
    builders = {"s3": _s3, "gs": _gs, "az": _az, "http": _http, "file": _file}
    try:
        return builders[location.kind](location, anonymous)
    except CloudError:
        raise
    except (obstore.exceptions.BaseError, ValueError) as error:
        failure = LinkError(
            "Could not make sense of the link",
            where=str(location),
            why="its path holds characters that cannot be asked for"
            if isinstance(error, ValueError)
            else f"the {location.kind} client refused it ({type(error).__name__})",
            hint="Check bucket, key, endpoint and region.",
        )
    raise failure  # out here, since the library's error may hold the link's secrets


def _s3(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {"skip_signature": anonymous}
    profile = location.access.profile or _profile_of_environment()
    if profile and not anonymous:
        options["credential_provider"] = _profile_credentials(location, profile)
    if location.endpoint:
        options["endpoint"] = location.endpoint
    region = (
        location.access.region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or "us-east-1"
    )
    return S3Store(
        location.bucket,
        prefix=location.key or None,
        region=region,
        client_options=_client(location),
        retry_config=_RETRIES,
        **options,
    )


def _profile_of_environment() -> str | None:
    """Return the profile that AWS' own tools would use; keys in the environment come first."""
    return None if os.environ.get("AWS_ACCESS_KEY_ID") else os.environ.get("AWS_PROFILE")


def _profile_credentials(location: Location, profile: str) -> Any:
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise LinkError(
            "Could not use the AWS profile",
            where=str(location),
            why="profiles are read by boto3, which is not installed",
            hint="Install it with: pip install 'napari-omezarr-cloud[aws]'.",
        ) from error
    from botocore.exceptions import BotoCoreError

    try:
        return Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except (BotoCoreError, ValueError) as error:  # ValueError: a profile without keys
        raise LinkError(
            "Could not use the AWS profile",
            where=str(location),
            why=f"boto3 has no usable profile {profile!r}",
            hint="See the names in ~/.aws/config.",
        ) from error


def _gs(location: Location, anonymous: bool) -> Any:
    return GCSStore(
        location.bucket,
        prefix=location.key or None,
        skip_signature=anonymous,
        client_options=_client(location),
        retry_config=_RETRIES,
    )


def _az(location: Location, anonymous: bool) -> Any:
    options: dict[str, Any] = {}
    if location.account:
        options["account_name"] = location.account
    if location.endpoint:
        options["endpoint"] = location.endpoint
    if location.query:
        # A SAS in the link is the access: nothing else is to be tried with it.
        options["sas_key"] = location.query
    elif anonymous:
        options["skip_signature"] = True
    return AzureStore(
        location.bucket,
        prefix=location.key or None,
        client_options=_client(location),
        retry_config=_RETRIES,
        **options,
    )


def _http(location: Location, anonymous: bool) -> Any:
    del anonymous  # plain HTTP has no signature
    return HTTPStore(location.to_text(), client_options=_client(location), retry_config=_RETRIES)


def _file(location: Location, anonymous: bool) -> Any:
    del anonymous
    what, where = "Could not open the folder", str(location)
    path = Path(location.key)
    try:
        if path.is_dir():
            # Folders that are left empty would still be listed, as if something were there.
            return LocalStore(path, automatic_cleanup=True)
        found = "it is a file, not a folder" if path.exists() else "there is no such folder"
    except PermissionError as error:
        why = "you may not look into the folder that holds it"
        raise AccessRefusedError(what, where=where, why=why) from error
    except OSError as error:  # a name that is too long, for instance
        found = (error.strerror or "no such path").lower()
    raise NotFoundError(what, where=where, why=found, hint="Check the path.")


class RemoteStore:
    """Bytes below one location; the only place that sends requests."""

    def __init__(
        self,
        location: Location,
        *,
        anonymous: bool,
        gate: Gate = GATE,
        on_answer: Callable[[str, Any], None] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """Make a store.

        ``on_answer`` is called with each key read and obstore's ObjectMeta; ``traffic`` is told
        who waits for a turn, and how long answers took.
        """
        self.location = location
        self.anonymous = anonymous
        self._gate = gate
        self._on_answer = on_answer
        self._traffic = traffic or Traffic()
        self._store = build_obstore(location, anonymous=anonymous)

    @property
    def where(self) -> str:
        return str(self.location)

    async def get(self, key: str, byte_range: ByteRange | None = None) -> Bytes | None:
        async with self._gate.enter(self._traffic):
            for tries_left in reversed(range(_BROKEN_ANSWER_TRIES)):
                data: Bytes | None
                started = time.perf_counter()
                try:
                    data = await self._get(key, byte_range)
                except (FileNotFoundError, NotADirectoryError):
                    data = None
                except Exception as error:  # obstore's own, of many types: translated in one place
                    # obstore retries before the first byte; an answer that breaks off is ours.
                    if not (is_broken_answer(error) and tries_left):
                        failure = translate(error, "Could not read", self.location, key)
                        break
                    await asyncio.sleep(0.05)
                    continue
                self._traffic.recent_s.append(time.perf_counter() - started)
                return data
        raise failure

    async def _get(self, key: str, byte_range: ByteRange | None) -> Bytes:
        self._refuse_pipes(key)
        try:
            answer = await obstore.get_async(self._store, key, options=_options(byte_range))
        except NotSupportedError:
            if byte_range is None or not (byte_range.start < 0 or byte_range.whole_up_to):
                raise
            answer = await self._get_otherwise(key, byte_range)
        self._refuse_too_large(answer, key, byte_range)
        content_type = str(answer.attributes.get("Content-Type", ""))
        data = await self._body(answer)
        if self.location.kind != "file" and content_type.startswith("text/html"):
            raise PageError(
                "Could not read",
                where=self.where,
                key=key,
                why="the server sent an HTML page instead of the file",
                hint="Is the link a web page, or does it need a login? Open it in a browser.",
            )
        if self._on_answer is not None:
            self._on_answer(key, answer.meta)
        return data

    async def _body(self, answer: Any) -> memoryview:
        together, started = self._gate.inside, time.perf_counter()
        data = memoryview(await answer.bytes_async())
        if self.location.kind != "file":
            self._gate.note(len(data), time.perf_counter() - started, together)
        return data

    def _refuse_pipes(self, key: str) -> None:
        """Refuse what is neither file nor folder: opening a pipe waits for ever for its writer."""
        if self.location.kind != "file":
            return
        try:
            mode = os.stat(Path(self.location.key, key)).st_mode
        except (OSError, ValueError):
            return  # obstore says what is wrong with it
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ServerError(
                "Could not read",
                where=self.where,
                key=key,
                why="it is neither a file nor a folder, but a pipe, a socket or a device",
            )

    def _refuse_too_large(self, answer: Any, key: str, byte_range: ByteRange | None) -> None:
        """Stop before the bytes are fetched: files that lie about their size fill the memory."""
        most = _MOST_DOCUMENT if is_document(key) else _MOST_WHOLE
        if byte_range is not None and byte_range.at_most is not None:
            most = byte_range.at_most
        start, stop = answer.range
        if stop - start > most:
            raise ServerError(
                "Could not read",
                where=self.where,
                key=key,
                why=f"it has {stop - start:,} bytes, and no more than {most:,} are expected there",
                hint="The file may be damaged, or its metadata those of another.",
            )

    async def _get_otherwise(self, key: str, byte_range: ByteRange) -> Any:
        """Ask where a range was not served: without a suffix, which Azure does not know; whole."""
        if byte_range.start < 0:
            try:
                first = await obstore.get_async(self._store, key, options={"range": (0, 1)})
            except NotSupportedError:
                if not byte_range.whole_up_to:
                    raise
            else:
                size = int(first.meta["size"])
                start = max(0, size + byte_range.start)
                return await obstore.get_async(self._store, key, options={"range": (start, size)})
        whole = await obstore.get_async(self._store, key)
        size = int(whole.meta["size"])
        if size > byte_range.whole_up_to:
            raise NoRangesError(
                "Could not read",
                where=self.where,
                key=key,
                why=f"the server cannot send parts of a file, and this one has {size / 1e6:,.0f} "
                f"MB; it is read whole up to {byte_range.whole_up_to / 1e6:,.0f} MB",
            )
        return whole

    async def distrust(self, key: str, byte_range: ByteRange | None = None) -> None:
        """Do nothing: nothing is kept."""

    async def put(self, key: str, data: Bytes) -> None:
        raw = bytes(data)
        await self._ask("Could not write", key, lambda: obstore.put_async(self._store, key, raw))

    async def read_version(self, key: str) -> tuple[bytes, Version] | None:
        """Return an object and which version of it was read; None where there is none."""

        async def read() -> tuple[bytes, Version]:
            answer = await obstore.get_async(self._store, key)
            known = {name: answer.meta.get(name) for name in ("e_tag", "version")}
            found = {name: str(value) for name, value in known.items() if value}
            return bytes(await answer.bytes_async()), found

        try:
            return await self._ask("Could not read", key, read)  # type: ignore[no-any-return]
        except NotFoundError:
            return None

    async def put_version(self, key: str, data: Bytes, version: Version | None) -> bool:
        """Write an object if it is still what was read; tell whether it was.

        Parameters
        ----------
        key, data
            What is written where.
        version
            Of what was read; None: there was nothing. A server that does not know
            conditions writes in any case.

        Raises
        ------
        UnsupportedError
            If this kind of place knows no conditions: a local folder.
        """
        mode: Any = "create" if version is None else dict(version)
        raw = bytes(data)

        async def put() -> bool:
            try:
                await obstore.put_async(self._store, key, raw, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            except (NotImplementedError, NotSupportedError) as error:
                raise UnsupportedError(
                    "Could not write", where=self.where, key=key, why="it knows no conditions"
                ) from error
            return True

        return await self._ask("Could not write", key, put)  # type: ignore[no-any-return]

    async def delete(self, key: str) -> None:
        try:
            await self._ask("Could not delete", key, lambda: obstore.delete_async(self._store, key))
        except NotFoundError:
            return  # as object stores do

    async def copy(self, key: str, to: str) -> None:
        """Copy one object below this root; an object store does it without sending it to us."""
        await self._ask("Could not copy", key, lambda: obstore.copy_async(self._store, key, to))

    async def list(self, prefix: str = "") -> Sequence[Entry]:
        found = await self._ask(
            "Could not list",
            prefix or "/",
            lambda: obstore.list_with_delimiter_async(self._store, prefix or None),
        )
        base = prefix.rstrip("/") + "/" if prefix else ""
        folders = [Entry(p[len(base) :].rstrip("/"), True) for p in found["common_prefixes"]]
        files = [Entry(o["path"][len(base) :], False, o["size"]) for o in found["objects"]]
        return [*folders, *files]

    async def _ask(self, what: str, key: str, request: Callable[[], Awaitable[Any]]) -> Any:
        async with self._gate.enter():
            try:
                return await request()
            except Exception as error:  # as in get
                failure = translate(error, what, self.location, key)
        raise failure


def _options(byte_range: ByteRange | None) -> Any:
    if byte_range is None or (byte_range.at_most is not None and byte_range.length is None):
        return None
    if byte_range.start < 0:
        return {"range": {"suffix": -byte_range.start}}
    if byte_range.length is None:
        return {"range": {"offset": byte_range.start}}
    return {"range": (byte_range.start, byte_range.start + byte_range.length)}
