"""The sensor on a real sequence: scans arrive in a bucket one by one while `dagster dev` runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.config import Config
from dagster_server import LOCATION, Server, dagster_dev, wait_until
from s3_server import s3_server

#: The six scans of CONUS, in the order in which they arrive: the third one is late.
ARRIVALS = ("1402", "1407", "1417", "1412", "1422", "1427")
SENSOR = "aerosol__new_goes_scenes"


def scene_id(minute: str) -> str:
    return f"goes16__20181115{minute}"


@pytest.fixture
def bucket(tmp_path: Path, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An S3 server whose bucket of GOES-16 holds the product's folder, and no scan."""
    empty = tmp_path / "noaa-goes16"
    (empty / "ABI-L2-AODC" / "2018").mkdir(parents=True)
    (empty / "ABI-L2-AODC" / "2018" / "none.txt").write_text("no scan yet")
    with s3_server({"noaa-goes16": empty}) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield Bucket(endpoint)


class Bucket:
    """The public bucket, into which scans are put."""

    def __init__(self, endpoint: str) -> None:
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            config=Config(proxies={}),
        )

    def receive(self, shared_data: Path, minute: str) -> None:
        """Put the scan that started in a minute of the hour 14 of the day."""
        start = datetime.strptime(f"20181115{minute}", "%Y%m%d%H%M")
        (file,) = (shared_data / "noaa-goes16" / "ABI-L2-AODC").rglob(f"*_s{start:%Y%j%H%M}*.nc")
        key = file.relative_to(shared_data / "noaa-goes16").as_posix()
        self._client.upload_file(str(file), "noaa-goes16", key, ExtraArgs={"ACL": "public-read"})


def write_dataset(folder: Path) -> None:
    folder.mkdir()
    meta = {
        "source": "goes16",
        "product": "AOD",
        "sector": "C",
        "quality": "any",
        "time": {"t_start": datetime(2018, 11, 15, 14), "t_end": "open"},
        "domain": {"central_latitude": 28, "central_longitude": -81, "l_zonal": 200e3, "l_meridional": 200e3},
        "sampling": {"resolution": 4000.0, "sliding_window": {"tile_N": 25}},
        "sensor": {"list_every": "PT1S"},
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))


@pytest.mark.live
def test_each_scan_that_arrives_becomes_a_regridded_scene(
    tmp_path: Path, shared_data: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "aerosol")
    workspace = tmp_path / "workspace.yaml"
    python_file = {"relative_path": str(Path(__file__).with_name("at_another_time.py")), "location_name": LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": python_file}]}))
    monkeypatch.setenv("CONVML_TESTS_REALLY", datetime.now(UTC).replace(tzinfo=None).isoformat())
    monkeypatch.setenv("CONVML_TESTS_AS_IF", "2018-11-15T14:40:00")
    with dagster_dev(tmp_path / ".dagster", [tmp_path / "aerosol"], workspace) as server:
        server.start_sensor(SENSOR)
        arrived: set[str] = set()
        for minute in ARRIVALS:
            bucket.receive(shared_data, minute)
            arrived.add(scene_id(minute))
            wait_until(lambda: materialized(server) == arrived, 40, f"{minute} is regridded")
        ticks = server.ticks(SENSOR)
        assert {tick["status"] for tick in ticks} <= {"SUCCESS", "SKIPPED", "STARTED"}
        requested = [key.partition(" ")[0] for tick in reversed(ticks) for key in tick["runKeys"]]
        assert requested == [f"{scene_id(minute)}..{scene_id(minute)}" for minute in ARRIVALS]
        keys = server.query(
            """{ assetNodeOrError(assetKey: {path: ["aerosol", "regridded"]}) {
            ... on AssetNode { partitionKeys } } }"""
        )
        assert keys["assetNodeOrError"]["partitionKeys"] == sorted(arrived)
        assert server.partitions(("aerosol", "sliding_window_tiles"))["materialized"] == arrived
        assert (tmp_path / "aerosol" / "rect" / f"{scene_id(ARRIVALS[0])}.nc").is_file()


def materialized(server: Server) -> set[str]:
    return server.partitions(("aerosol", "regridded"))["materialized"]
