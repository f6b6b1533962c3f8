"""A folder served as buckets of S3 over a link that is as slow as one likes.

Each request waits for the latency before its first byte, and all answers share the bandwidth. That stands for a bucket
on another continent's side of a good line; it leaves out what makes real lines worse: slow starts, losses, other users.

``python -m benchmarks.link FOLDER LATENCY_S BYTES_PER_S`` prints the port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import mmap
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from benchmarks.child import ROOT

LATENCY_S, BYTES_PER_S = 0.030, 50e6

#: Bytes that are sent at a time: 0.6 ms of the line, so that answers get fair shares of it.
_PIECE = 1 << 15
#: How far the line may run ahead of the clock; shorter sleeps are not to be had.
_SLACK_S = 0.002
_COUNTERS = "/-/counters"
_DATE = "Sun, 02 Feb 2020 14:10:00 GMT"


@dataclass(frozen=True)
class Counters:
    """Requests for objects and listings, and bytes of objects that were sent."""

    requests: int
    sent: int


@dataclass(frozen=True)
class Link:
    """A link that is up; ``environment`` leads clients to it."""

    port: int

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for whoever is to read over the link."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def counters(self) -> Counters:
        """What was served since the last time that this was asked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", _COUNTERS)
        found = Counters(**json.loads(connection.getresponse().read()))
        connection.close()
        return found


@contextmanager
def emulated_link(folder: Path, latency_s: float = LATENCY_S, bytes_per_s: float = BYTES_PER_S) -> Iterator[Link]:
    """Serve the folders in ``folder`` as buckets, in a process of its own."""
    command = [sys.executable, "-m", __name__, str(folder), str(latency_s), str(bytes_per_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield Link(int(server.stdout.readline()))
        finally:
            server.stdin.close()


class _Server:
    def __init__(self, folder: Path, latency_s: float, bytes_per_s: float) -> None:
        self._folder, self._latency_s, self._bytes_per_s = folder, latency_s, bytes_per_s
        self._objects: dict[str, mmap.mmap] = {}
        self._free_at = 0.0  # when all that was given to the line will have passed it
        self._requests = self._sent = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = request.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                await self._answer(writer, method, target, headers.get("range"))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the server is to end
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, target: str, range_: str | None) -> None:
        if target == _COUNTERS:
            body = json.dumps({"requests": self._requests, "sent": self._sent}).encode()
            self._requests = self._sent = 0
            writer.write(_head(200, len(body)) + body)
            return
        self._requests += 1
        await asyncio.sleep(self._latency_s)
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if not key:
            body = self._listing(bucket, query.get("prefix", ""), query.get("delimiter", ""))
            writer.write(_head(200, len(body), {"Content-Type": "application/xml"}) + body)
            return
        content = self._object(f"{bucket}/{key}")
        if content is None:
            body = b"<Error><Code>NoSuchKey</Code></Error>"
            writer.write(_head(404, len(body), {"Content-Type": "application/xml"}) + body * (method != "HEAD"))
            return
        start, stop = _bounds(range_, len(content))
        partial = {} if range_ is None else {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        about = {"Last-Modified": _DATE, "ETag": '"0"', "Accept-Ranges": "bytes", **partial}
        writer.write(_head(200 if range_ is None else 206, stop - start, about))
        if method != "HEAD":
            await self._send(writer, memoryview(content)[start:stop])

    async def _send(self, writer: asyncio.StreamWriter, content: memoryview) -> None:
        for offset in range(0, len(content), _PIECE):
            piece = content[offset : offset + _PIECE]
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _SLACK_S) + len(piece) / self._bytes_per_s
            if self._free_at - now > _SLACK_S:
                await asyncio.sleep(self._free_at - now)
            writer.write(piece)
            await writer.drain()
            self._sent += len(piece)

    def _object(self, name: str) -> mmap.mmap | None:
        if name not in self._objects:
            path = self._folder / name
            if not path.is_file():
                return None
            with path.open("rb") as file:
                self._objects[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._objects[name]

    def _listing(self, bucket: str, prefix: str, delimiter: str) -> bytes:
        # Only folders are listed, with a delimiter; that is all a reader of an archive needs.
        folder = self._folder / bucket / prefix
        entries = sorted(folder.iterdir()) if folder.is_dir() and delimiter else []
        base = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        parts = [
            f"<CommonPrefixes><Prefix>{escape(base + path.name)}/</Prefix></CommonPrefixes>"
            if path.is_dir()
            else f"<Contents><Key>{escape(base + path.name)}</Key><Size>{path.stat().st_size}</Size>"
            '<LastModified>2020-02-02T14:10:00.000Z</LastModified><ETag>"0"</ETag></Contents>'
            for path in entries
        ]
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(parts)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>"
        ).encode()


def _head(status: int, length: int, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses[status]}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _bounds(range_: str | None, size: int) -> tuple[int, int]:
    """The bytes that are asked for: ``bytes=first-last``, ``bytes=first-`` or ``bytes=-number``."""
    if range_ is None:
        return 0, size
    first, _, last = range_.removeprefix("bytes=").partition("-")
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


if __name__ == "__main__":
    asyncio.run(_Server(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])).serve())
