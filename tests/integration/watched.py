"""A dataset whose archive is a folder, watched by ticks of its sensor at times that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_fixtures import write_dataset
from fake_archive import put_scan

from convml_data_dagster import sensors
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.instance import open_instance

START = datetime(2026, 3, 1)
_NUMBERS = count()

ONGOING = {"t_start": START, "t_end": "open"}


def scene_id(start: datetime) -> str:
    return f"goes16__{start:%Y%m%d%H%M}"


def at(hours: float, minutes: float = 0) -> datetime:
    return START + timedelta(hours=hours, minutes=minutes)


class Watched:
    """The dataset, and what its ticks have led to."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sensor(self) -> str:
        return f"{self.name}__new_goes_scenes"

    def __init__(self, folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.archive = folder / "archive" / "noaa-goes16"
        self.folder = folder / f"watched_{next(_NUMBERS)}"
        self.instance = instance
        self.cursor: str | None = None
        self._monkeypatch = monkeypatch
        self.describe()

    def describe(self, **sections: Any) -> None:
        """Write another meta.yaml."""
        given = {"time": ONGOING, "sampling": {"resolution": 2000.0}} | sections
        write_dataset(self.folder, self.archive.parent, **given)
        self.definitions = build_definitions([self.folder])

    def tick(self, now: datetime, keep_cursor: bool = True) -> dg.SensorResult | dg.SkipReason:
        self._monkeypatch.setattr(sensors, "utc_now", lambda: now)
        context = dg.build_sensor_context(self.instance, self.cursor, sensor_name=self.sensor)
        result = self.definitions.resolve_sensor_def(self.sensor)(context)
        assert isinstance(result, (dg.SensorResult, dg.SkipReason))
        if isinstance(result, dg.SensorResult) and keep_cursor:
            self.cursor = result.cursor
        return result

    def requested(self, now: datetime) -> list[tuple[str, str]]:
        """First and last scene of each run that a tick requests."""
        return ranges(self.tick(now))

    def skipped(self, now: datetime) -> str:
        """Why a tick requests nothing."""
        result = self.tick(now)
        reason = result if isinstance(result, dg.SkipReason) else result.skip_reason
        assert reason is not None
        assert not isinstance(result, dg.SensorResult) or not result.run_requests
        return str(reason.skip_message)

    def made(self, *scene_ids: str) -> None:
        """Record that runs have made scenes."""
        for stage in ("cropped", "regridded"):
            for each in scene_ids:
                event = dg.AssetMaterialization(dg.AssetKey([self.name, stage]), partition=each)
                self.instance.report_runless_asset_event(event)

    @property
    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(f"{self.name}_scenes"))

    @property
    def rows(self) -> list[dict[str, Any]]:
        ledger = json.loads((self.folder / "source_data/goes16/truecolor_rgb/scene_ids.json").read_text())
        return list(ledger["rows"])


def ranges(result: dg.SensorResult | dg.SkipReason) -> list[tuple[str, str]]:
    assert isinstance(result, dg.SensorResult), result
    tags = [request.tags for request in result.run_requests or ()]
    names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return [(each[names[0]], each[names[1]]) for each in tags]


@pytest.fixture(scope="module", name="instance")
def instance_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One for all datasets of this module, which a new one would cost a second each."""
    home = tmp_path_factory.mktemp("ticks") / ".dagster"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with open_instance(home) as instance:
            yield instance


@pytest.fixture(name="watched")
def watched_fixture(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, instance, monkeypatch)


def put_scans(watched: Watched, starts: Sequence[datetime]) -> list[str]:
    for start in starts:
        put_scan(watched.archive, start)
    return [scene_id(start) for start in starts]


def run_requests(result: dg.SensorResult | dg.SkipReason) -> Sequence[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult)
    return result.run_requests or ()


def launched(watched: Watched, request: dg.RunRequest) -> dg.DagsterRun:
    """A run as the daemon makes it of a request, waiting."""
    job = watched.definitions.resolve_implicit_global_asset_job_def()
    return watched.instance.create_run_for_job(
        job,
        tags={**request.tags, "dagster/run_key": str(request.run_key), "dagster/sensor_name": watched.sensor},
        asset_selection=frozenset(request.asset_selection or ()),
    )


def execute(watched: Watched, result: dg.SensorResult | dg.SkipReason) -> list[dg.ExecuteInProcessResult]:
    """Run what a tick requested."""
    job = watched.definitions.resolve_implicit_global_asset_job_def()
    return [
        job.execute_in_process(
            instance=watched.instance,
            asset_selection=list(request.asset_selection or ()),
            tags=dict(request.tags),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        for request in run_requests(result)
    ]
