"""Finding scenes of real granules over the S3 protocol."""

from __future__ import annotations

import socket
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from convml_data.errors import ArchiveError
from convml_data.scenes.discover import choose_scenes
from convml_data.scenes.filters import SceneFilter
from convml_data.scenes.ledger import Ledger
from convml_data.sources.base import Interval
from convml_data.sources.goes.archive import archive_url, list_scans, open_filesystem

NIGHT = datetime(2019, 12, 1, 10, 27)
DAY = datetime(2019, 10, 27, 20, 0)


def ledger_of(archive: str, minute: datetime) -> Ledger:
    spans = [Interval(minute, minute + timedelta(minutes=1))]
    rows = choose_scenes(
        list_scans(archive, "goes17", "L1b", "Rad", "M1", (1, 2, 3), spans),
        source_name="goes17",
        spans=spans,
        filters=SceneFilter(),
        nearest_times=None,
    )
    return Ledger("goes17", "truecolor_rgb", archive, "f", rows)


@pytest.mark.usefixtures("use_s3_archive")
def test_a_complete_scan_is_a_scene_that_can_be_opened(shared_data: Path) -> None:
    ledger = ledger_of(archive_url("goes17", None, {}), NIGHT)
    assert ledger.archive == "s3://noaa-goes17"
    assert ledger.scene_ids == ("goes17__201912011027",)
    assert ledger.drops() == {}
    (scene,) = ledger.scenes
    assert scene.scan.start == datetime(2019, 12, 1, 10, 27, 27, 500_000)
    assert (scene.scan.satellite, scene.scan.mode) == ("goes17", 6)
    assert list(scene.scan.files) == ["1", "2", "3"]
    for file in scene.scan.files.values():
        original = shared_data / file.url.removeprefix("s3://")
        filesystem, path = open_filesystem(file.url)
        assert file.size == original.stat().st_size
        assert filesystem.cat_file(path, start=1000, end=2000) == original.read_bytes()[1000:2000]


@pytest.mark.usefixtures("use_s3_archive")
def test_a_scan_without_channel_2_is_no_scene() -> None:
    ledger = ledger_of("s3://noaa-goes17", DAY)
    assert ledger.scenes == ()
    assert ledger.drops() == {"missing channel 2": 1}
    assert ledger.rows[0].scene_id == "goes17__201910272000"


@pytest.mark.usefixtures("use_s3_archive")
def test_the_folder_and_the_bucket_give_the_same_ledger(shared_data: Path) -> None:
    for minute in (NIGHT, DAY):
        remote = ledger_of("s3://noaa-goes17", minute).to_json()
        local = ledger_of(archive_url("goes17", str(shared_data / "noaa-{satellite}"), {}), minute).to_json()
        assert remote.replace("s3://", f"file://{shared_data.resolve()}/") == local


@pytest.mark.usefixtures("use_s3_archive")
def test_a_sequence_of_a_product_without_channels() -> None:
    span = Interval(datetime(2018, 11, 15, 14, 5), datetime(2018, 11, 15, 14, 25))
    scans = list_scans("s3://noaa-goes16", "goes16", "L2", "AOD", "C", (), [span])
    assert [f"{scan.start:%M:%S}" for scan in scans] == ["02:15", "07:15", "12:15", "17:15", "22:15", "27:15"]
    assert {(scan.mode, scan.reason) for scan in scans} == {(3, None)}


@pytest.mark.usefixtures("use_s3_archive")
def test_hours_that_the_bucket_lacks_are_gaps() -> None:
    span = Interval(NIGHT - timedelta(hours=20), NIGHT + timedelta(hours=20))
    scans = list_scans("s3://noaa-goes17", "goes17", "L1b", "Rad", "M1", (1, 2, 3), [span])
    assert [scan.start.hour for scan in scans] == [10]


@pytest.mark.usefixtures("use_s3_archive")
def test_a_bucket_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="s3://noaa-goes99: this archive does not exist"):
        ledger_of("s3://noaa-goes99", NIGHT)


@pytest.mark.usefixtures("use_s3_archive")
def test_a_bucket_without_the_product_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="s3://noaa-goes16: the archive has no folder ABI-L1b-RadM"):
        ledger_of("s3://noaa-goes16", NIGHT)


@pytest.mark.usefixtures("without_s3_settings")
def test_an_endpoint_that_refuses_connections_is_an_error_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(ArchiveError, match=r"s3://noaa-goes17/ABI-L1b-RadM: the archive cannot be listed.*127"):
        ledger_of("s3://noaa-goes17", NIGHT)
    assert time.monotonic() - began < 20
