"""Reading a real scene over the S3 protocol, from one thread and from several."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import SceneError
from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.base import Interval
from convml_data.sources.goes import range_sources
from convml_data.sources.goes.parts import Span
from convml_data.sources.goes.range_sources import FsspecRanges, S3Ranges, open_ranges
from convml_data.sources.goes.source import GoesSource

NIGHT = datetime(2019, 12, 1, 10, 27, 27, 500_000)
DOMAIN = LocalDomain(39.0, -118.0, 200e3, 200e3)


def night(archive: str) -> tuple[GoesSource, Scan]:
    source = GoesSource("goes17", "truecolor_rgb", "M1", archive, rayleigh_correction=False)
    (scan,) = (scan for scan in source.find([Interval(NIGHT, NIGHT)]) if scan.start == NIGHT)
    return source, scan


@pytest.fixture
def on_s3(s3_archive: str, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> tuple[GoesSource, Scan]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_archive)
    return night("s3://noaa-goes17")


def test_the_same_scene_as_from_disk(on_s3: tuple[GoesSource, Scan], shared_data: Path) -> None:
    crop = on_s3[0].read(on_s3[1], DOMAIN)
    local, scan = night(f"file://{shared_data}/noaa-goes17")
    xr.testing.assert_identical(crop, local.read(scan, DOMAIN))
    assert crop.attrs["bytes_read"] < 0.6 * crop.attrs["bytes_whole_files"]
    assert np.isfinite(crop["rgb_truecolor"]).all()


def test_scenes_are_read_in_threads_and_a_lost_file_is_one_scenes_matter(
    on_s3: tuple[GoesSource, Scan],
) -> None:
    source, scan = on_s3
    gone = SourceFile(scan.files["2"].url.replace("C02", "C06").replace("RadM1", "RadM2"), 1000)
    broken = replace(scan, files={**scan.files, "2": gone})

    def mean(one: Scan) -> float | str:
        try:
            return float(source.read(one, DOMAIN)["rgb_truecolor"].mean())
        except SceneError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(mean, [scan, broken] * 6))
    assert set(results[::2]) == {results[0]}
    assert all("no longer there" in str(result) for result in results[1::2])


def test_a_file_that_was_replaced_by_a_shorter_one_since_it_was_listed(on_s3: tuple[GoesSource, Scan]) -> None:
    source, scan = on_s3
    longer = {key: replace(file, size=file.size + 10**6) for key, file in scan.files.items()}
    xr.testing.assert_identical(
        source.read(replace(scan, files=longer), DOMAIN).drop_attrs(), source.read(scan, DOMAIN).drop_attrs()
    )


CONTENT = np.random.default_rng(3).bytes(40_000)


@pytest.fixture
def slow_bucket(without_s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a bucket is asked for, whose first answer stops half-way and whose others come little by little."""
    asked: list[str] = []
    closed = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            asked.append(f"{start}-{last}")
            stops = len(asked) == 1
            self.send_response(206)
            self.send_header("Content-Length", str(last + 1 - start))
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(CONTENT)}")
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Sun, 02 Feb 2020 14:00:00 GMT")
            self.end_headers()
            for place in range(start, last + 1, 5000):
                if stops and place >= len(CONTENT) // 2:
                    closed.wait(60)
                    return
                self.wfile.write(CONTENT[place : min(place + 5000, last + 1)])
                closed.wait(0.3)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield asked
        closed.set()
        server.shutdown()


def test_requests_may_take_long_but_not_stand_still(slow_bucket: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_sources, "_SILENCE", timedelta(seconds=1))
    range_sources._store.cache_clear()
    began = time.monotonic()
    assert bytes(open_ranges("s3://bucket/file.nc").get(Span(0, len(CONTENT)))) == CONTENT
    range_sources._store.cache_clear()
    assert slow_bucket == ["0-39999", "20000-39999"]
    assert time.monotonic() - began < 20


def test_nothing_lies_beyond_the_end_whichever_client_is_asked(
    on_s3: tuple[GoesSource, Scan],
) -> None:
    ranges = open_ranges(on_s3[1].files["1"].url)
    assert isinstance(ranges, S3Ranges)
    for client in (ranges, ranges.through_fsspec):
        assert bytes(client.get(Span(10**9, 10**9 + 100))) == b""


@pytest.mark.parametrize(
    ("environment", "client"),
    [
        ({}, S3Ranges),
        ({"AWS_PROFILE": "mine"}, S3Ranges),  # it is public
        ({"AWS_CA_BUNDLE": "/etc/ssl/mine.pem"}, FsspecRanges),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_CA_BUNDLE": "/etc/ssl/mine.pem"}, S3Ranges),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_PROFILE": "mine"}, FsspecRanges),
    ],
)
def test_what_only_one_client_understands_is_left_to_it(
    without_s3_settings: None, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], client: type
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_ranges("s3://noaa-goes16/file.nc"), client)
