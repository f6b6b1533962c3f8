"""Reading a real scene over the S3 protocol, from one thread and from several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import SceneError
from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.base import Interval
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
