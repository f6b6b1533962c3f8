"""An archive on a web server: listed by its index pages, read by ranges."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import xarray as xr
from aiohttp import web

from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.parts import Span
from convml_data.sources.goes.range_sources import open_ranges
from convml_data.sources.goes.source import GoesSource

NIGHT = datetime(2019, 12, 1, 10, 27, 27, 500_000)
DOMAIN = LocalDomain(39.0, -118.0, 200e3, 200e3)


@contextmanager
def web_server(folder: Path, fails: set[int]) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder; gives its URL and the requests. Those whose number is in ``fails`` break off."""
    asked: list[str] = []

    @web.middleware
    async def noted(request: web.Request, handler: web.Handler) -> web.StreamResponse:  # type: ignore[name-defined]
        asked.append(f"{request.method} {request.headers.get('Range', '')}".strip())
        if request.headers.get("Range") and len([1 for one in asked if "bytes" in one]) in fails:
            assert request.transport is not None
            request.transport.abort()
        return await handler(request)

    async def start() -> web.AppRunner:
        app = web.Application(middlewares=[noted])
        app.router.add_static("/", folder, show_index=True)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def night(archive: str) -> tuple[GoesSource, Scan]:
    source = GoesSource("goes17", "truecolor_rgb", "M1", archive, rayleigh_correction=False)
    (scan,) = (scan for scan in source.find([Interval(NIGHT, NIGHT)]) if scan.start == NIGHT)
    return source, scan


def test_the_same_scene_as_from_disk_though_connections_break(shared_data: Path) -> None:
    with web_server(shared_data / "noaa-goes17", fails={3, 9}) as (url, asked):
        source, scan = night(url)
        crop = source.read(scan, DOMAIN)
    local, of_disk = night(f"file://{shared_data}/noaa-goes17")
    assert [file.size for file in scan.files.values()] == [file.size for file in of_disk.files.values()]
    expected = local.read(of_disk, DOMAIN)
    for way in ("bytes_fetched", "requests"):
        assert crop.attrs.pop(way) == expected.attrs.pop(way)
    xr.testing.assert_identical(crop, expected)
    assert {request.partition(" ")[0] for request in asked if "bytes" not in request} <= {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["", "/nothing/here"])
def test_a_folder_that_is_no_archive(tmp_path: Path, path: str) -> None:
    from convml_data.errors import ArchiveError

    with web_server(tmp_path, fails=set()) as (url, _), pytest.raises(ArchiveError, match="archive"):
        night(f"{url}{path}")


def test_nothing_lies_beyond_the_end(tmp_path: Path) -> None:
    (tmp_path / "file.nc").write_bytes(b"short")
    with web_server(tmp_path, set()) as (url, _):
        assert bytes(open_ranges(f"{url}/file.nc").get(Span(10, 20))) == b""
