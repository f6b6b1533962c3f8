"""Ticks of the sensor, one by one: what it adds and requests, and that nothing is lost or asked for twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster_fixtures import statuses
from fake_archive import abi_name, put, put_scan
from watched import (
    Watched,
    at,
    execute,
    instance_fixture,  # noqa: F401
    launched,
    put_scans,
    ranges,
    run_requests,
    scene_id,
    watched_fixture,  # noqa: F401
)

from convml_data_dagster import sensors


def test_each_new_scan_becomes_a_partition_and_is_requested_once(watched: Watched) -> None:
    first = put_scans(watched, [at(0), at(0, 10), at(0, 20)])
    assert watched.requested(at(0, 32)) == [(first[0], first[-1])]
    assert watched.partitions == first
    watched.made(*first)
    assert "listed up to 2026-03-01 00:33 UTC" in watched.skipped(at(0, 33))
    (later,) = put_scans(watched, [at(0, 30)])
    assert watched.requested(at(0, 42)) == [(later, later)]
    assert watched.partitions == [*first, later]
    request = ranges(watched.tick(at(0, 43)))
    assert request == [(later, later)]  # until something is recorded of it


def test_a_lost_tick_is_repeated_with_the_same_run_keys(watched: Watched) -> None:
    put_scans(watched, [at(0), at(0, 10)])
    lost, again = watched.tick(at(0, 21), keep_cursor=False), watched.tick(at(0, 21))
    assert isinstance(lost, dg.SensorResult)
    assert isinstance(again, dg.SensorResult)
    keys = [[request.run_key for request in result.run_requests or ()] for result in (lost, again)]
    assert keys[0] == keys[1] != []
    (request,) = again.run_requests or ()
    assert {key.path[-1] for key in request.asset_selection or ()} == {"cropped", "regridded"}


def test_a_late_scan_is_put_in_time_order_and_requested_alone(watched: Watched) -> None:
    early = put_scans(watched, [at(0), at(0, 20)])
    watched.made(*early)
    watched.tick(at(1))
    assert watched.partitions == early
    (late,) = put_scans(watched, [at(0, 10)])
    assert watched.requested(at(5)) == [(late, late)]
    assert watched.partitions == [early[0], late, early[1]]
    assert [row["scene_id"] for row in watched.rows] == [early[0], late, early[1]]
    assert statuses(watched.instance, watched.name, "regridded") == {
        early[0]: "MATERIALIZED",
        late: "MISSING",
        early[1]: "MATERIALIZED",
    }


def test_scans_of_an_archive_whose_clock_is_ahead_are_found(watched: Watched) -> None:
    (ahead,) = put_scans(watched, [at(1, 3)])
    assert watched.requested(at(0, 55)) == [(ahead, ahead)]
    watched.made(ahead)
    (next_one,) = put_scans(watched, [at(0, 58)])
    assert watched.requested(at(0, 50)) == [(next_one, next_one)]  # the own clock was put back


def test_a_long_past_is_listed_bit_by_bit(watched: Watched) -> None:
    days = put_scans(watched, [at(24 * day) for day in (0, 3, 9, 13, 20)])
    assert watched.requested(at(24 * 30)) == [(days[0], days[1])]
    watched.made(*days[:2])
    assert watched.requested(at(24 * 30)) == [(days[2], days[3])]
    watched.made(*days[2:4])
    assert watched.requested(at(24 * 30)) == [(days[4], days[4])]
    watched.made(days[4])
    assert "2026-03-29" in watched.skipped(at(24 * 30))
    assert "2026-03-31" in watched.skipped(at(24 * 30))


def test_nothing_is_missed_in_an_archive_that_lags_behind(watched: Watched) -> None:
    (first,) = put_scans(watched, [at(0)])
    watched.tick(at(30))
    watched.made(first)
    watched.skipped(at(31))
    (next_one,) = put_scans(watched, [at(0, 10)])  # 31 hours late
    assert watched.requested(at(32)) == [(next_one, next_one)]


def test_only_hours_that_can_hold_something_new_are_listed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    put_scans(watched, [at(0), at(100, 5)])
    watched.tick(at(100, 30))
    listed: list[str] = []
    from convml_data.sources.goes import archive

    really = archive._list_folder

    def noted(filesystem: Any, folder: str) -> Any:
        listed.append(folder.partition("noaa-goes16/")[2])
        return really(filesystem, folder)

    monkeypatch.setattr(archive, "_list_folder", noted)
    watched.tick(at(100, 35))
    hours = [folder for folder in listed if folder.count("/") == 3]
    assert sorted(hours) == [f"ABI-L1b-RadF/2026/063/{hour:02d}" for hour in (22, 23)] + [
        f"ABI-L1b-RadF/2026/064/{hour:02d}" for hour in range(5)
    ]


def test_an_archive_that_does_not_answer_costs_nothing_but_time(watched: Watched) -> None:
    first = put_scans(watched, [at(0)])
    watched.tick(at(0, 11))
    watched.made(*first)
    before = watched.cursor
    hidden = watched.archive.rename(watched.archive.with_name("away"))
    assert "this archive does not exist" in watched.skipped(at(0, 30))
    assert watched.cursor == before
    hidden.rename(watched.archive)
    later = put_scans(watched, [at(0, 10), at(0, 20)])
    assert watched.requested(at(0, 31)) == [(later[0], later[1])]


def test_a_broken_meta_yaml_is_said_in_the_tick(watched: Watched) -> None:
    (watched.folder / "meta.yaml").write_text("source: goes16\n")
    assert "product: is missing" in watched.skipped(at(1))


def test_a_scan_is_waited_for_until_its_channels_are_there(watched: Watched) -> None:
    put_scan(watched.archive, at(0), channels=(1, 3))
    assert "missing channel 2" in watched.skipped(at(0, 12))
    assert (watched.partitions, watched.rows) == ([], [])
    put(watched.archive, abi_name(at(0), 2), b"")
    assert "an empty object" in watched.skipped(at(0, 15))
    put(watched.archive, abi_name(at(0), 2))
    assert watched.requested(at(0, 16)) == [(scene_id(at(0)), scene_id(at(0)))]
    assert [row["reason"] for row in watched.rows] == [None]


def test_a_scan_that_stays_incomplete_gets_a_row_with_the_reason(watched: Watched) -> None:
    watched.describe(sensor={"wait_for_channels": "PT1H"})
    put_scan(watched.archive, at(0, 10), channels=(1, 3))
    end = at(0, 10) + timedelta(seconds=570)
    watched.skipped(end + timedelta(minutes=59))
    assert watched.rows == []
    watched.skipped(end + timedelta(minutes=60))
    assert [(row["scene_id"], row["reason"]) for row in watched.rows] == [(scene_id(at(0, 10)), "missing channel 2")]
    # Channels of a scan start within seconds, and this one began it.
    put(watched.archive, abi_name(at(0, 10) - timedelta(seconds=0.2), 2))
    completed = scene_id(at(0, 10) - timedelta(seconds=0.2))
    assert watched.requested(at(3)) == [(completed, completed)]
    assert [(row["scene_id"], row["reason"]) for row in watched.rows] == [(completed, None)]


def test_a_scene_stays_as_it_is_whatever_comes_later(watched: Watched) -> None:
    first = put_scans(watched, [at(0, 1)])
    watched.tick(at(0, 12))
    watched.made(*first)
    before = watched.rows
    put(watched.archive, abi_name(at(0, 1), 2, created=at(2)))  # processed again
    put(watched.archive, abi_name(at(0, 1) - timedelta(seconds=2), 8))  # of a channel that is not asked for
    put_scan(watched.archive, at(0, 1) + timedelta(seconds=30))  # in the same minute
    watched.skipped(at(2, 30))
    assert watched.rows[0] == before[0]
    assert [row["reason"] for row in watched.rows[1:]] == [
        "same minute as the scan at 00:01:00, which has this scene ID"
    ]
    for file in watched.archive.rglob("*.nc"):
        file.unlink()
    watched.skipped(at(2, 40))
    assert watched.partitions == first


def test_scenes_that_the_command_line_found_are_requested_too(watched: Watched) -> None:
    from convml_data.meta.dataset import load_dataset
    from convml_data.pipeline import discovery
    from convml_data.store.dataset import DatasetStore

    found = put_scans(watched, [at(0), at(0, 10)])
    watched._monkeypatch.setattr(discovery, "utc_now", lambda: at(0, 25))
    discovery.make_ledger(DatasetStore.of(load_dataset(watched.folder)))
    watched.made(found[0])
    assert watched.requested(at(0, 26)) == [(found[1], found[1])]


def test_what_failed_is_not_requested_again(watched: Watched) -> None:
    failing = put_scans(watched, [at(0), at(0, 10)])  # no netCDF files
    result = watched.tick(at(0, 21))
    execute(watched, result)
    assert set(statuses(watched.instance, watched.name, "cropped").values()) == {"FAILED"}
    (later,) = put_scans(watched, [at(0, 20)])
    assert watched.requested(at(0, 31)) == [(later, later)]
    assert watched.partitions == [*failing, later]


def limit_runs(watched: Watched, max_scenes: int) -> None:
    meta = watched.folder / "meta.yaml"
    meta.write_text(f"{meta.read_text()}\nrun: {{max_scenes: {max_scenes}}}\n")


def test_runs_are_of_a_limited_number_of_scenes_in_a_row(watched: Watched) -> None:
    limit_runs(watched, 3)
    scenes = put_scans(watched, [at(0, 10 * number) for number in range(9)])
    watched.made(scenes[4])
    batches = [(scenes[0], scenes[2]), (scenes[3], scenes[3]), (scenes[5], scenes[7]), (scenes[8], scenes[8])]
    assert watched.requested(at(2)) == batches


def test_nothing_is_requested_while_runs_wait(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "MAX_RUNS", 2)
    limit_runs(watched, 1)
    scenes = put_scans(watched, [at(0, 10 * number) for number in range(3)])
    result = watched.tick(at(1))
    assert ranges(result) == [(scenes[0], scenes[0]), (scenes[1], scenes[1])]
    waiting = [launched(watched, request) for request in run_requests(result)]
    before = watched.cursor
    assert watched.skipped(at(1, 1)).startswith(f"2 runs of {watched.name} are waiting or running")
    assert watched.cursor == before
    watched.instance.report_run_canceled(waiting[0])
    assert watched.requested(at(1, 2)) == [(scenes[2], scenes[2])]
