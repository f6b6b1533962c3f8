"""Which scans are scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_archive import FullDisk, abi_name, put, put_scan
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.scenes.discover import choose_scenes
from convml_data.scenes.filters import SceneFilter
from convml_data.scenes.ledger import Ledger, Scan
from convml_data.sources.base import Interval

DAY = datetime(2020, 2, 2)


@dataclass(frozen=True)
class Found:
    """A source that has found these scans."""

    scans: tuple[Scan, ...]
    archive: str = "memory"

    def find(self, intervals: Sequence[Interval]) -> list[Scan]:
        return list(self.scans)


def scan_at(clock: str, reason: str | None = None) -> Scan:
    start = datetime.fromisoformat(f"2020-02-02T{clock}")
    return Scan(start, start + timedelta(minutes=9), "goes16", 6, {}, reason)


def ledger_of(
    source: Found | FullDisk, spans: Sequence[Interval], max_hours_from_zenith: float | None = None
) -> Ledger:
    rows = choose_scenes(
        source.find(spans),
        source_name="goes16",
        spans=spans,
        filters=SceneFilter(max_hours_from_zenith=max_hours_from_zenith, longitude=-57.72),
        nearest_times=None,
    )
    return Ledger("goes16", "truecolor_rgb", source.archive, "f", rows)


def between(start: str, end: str) -> list[Interval]:
    return [Interval(datetime.fromisoformat(f"2020-02-02T{start}"), datetime.fromisoformat(f"2020-02-02T{end}"))]


def reasons(ledger: Ledger) -> list[str | None]:
    return [row.reason for row in ledger.rows]


def test_half_an_hour_of_ten_minute_scans_gives_three_scenes(tmp_path: Path) -> None:
    for minute in range(-20, 60, 10):
        put_scan(tmp_path, DAY + timedelta(hours=14, minutes=minute, seconds=16.5))
    ledger = ledger_of(FullDisk(str(tmp_path)), between("14:00", "14:30"))
    assert ledger.scene_ids == ("goes16__202002021400", "goes16__202002021410", "goes16__202002021420")
    assert ledger.drops() == {"outside the time intervals": 5}
    assert (ledger.source, ledger.product, ledger.archive) == ("goes16", "truecolor_rgb", str(tmp_path))
    assert ledger.fingerprint == "f"


@pytest.mark.parametrize(
    ("clock", "inside"),
    [
        ("13:59:59.900000", False),
        ("14:00:00", True),
        ("14:29:59.900000", True),
        ("14:30:00", True),
        ("14:30:00.400000", False),
    ],
)
def test_both_ends_are_included_to_the_tenth_of_a_second(clock: str, inside: bool) -> None:
    ledger = ledger_of(Found((scan_at(clock),)), between("14:00", "14:30"))
    assert reasons(ledger) == [None if inside else "outside the time intervals"]


def test_a_scan_in_any_of_the_intervals_is_a_scene_once() -> None:
    spans = between("12:00", "13:00") + between("12:30", "14:00")
    ledger = ledger_of(Found((scan_at("12:45"), scan_at("13:45"), scan_at("15:00"))), spans)
    assert reasons(ledger) == [None, None, "outside the time intervals"]


def test_the_first_reason_that_applies_is_given() -> None:
    scans = (
        scan_at("02:00", "missing channel 2"),
        scan_at("03:00"),
        scan_at("06:00"),
        scan_at("14:00"),
    )
    ledger = ledger_of(Found(scans), between("05:00", "15:00"), max_hours_from_zenith=4)
    assert reasons(ledger) == [
        "missing channel 2",
        "outside the time intervals",
        "filtered: 10.1 h from solar noon, limit 4 h",
        None,
    ]


def test_without_intervals_every_time_is_a_scene() -> None:
    rows = choose_scenes([scan_at("14:00")], source_name="LES", spans=None, filters=SceneFilter(), nearest_times=None)
    assert [(row.scene_id, row.reason) for row in rows] == [("LES__202002021400", None)]


def test_only_scenes_nearest_to_some_times_are_kept() -> None:
    scans = [scan_at("14:00"), scan_at("14:10", "missing channel 2"), scan_at("14:20"), scan_at("14:30")]
    times = [datetime.fromisoformat(f"2020-02-02T{clock}") for clock in ("14:11", "14:19", "14:25", "12:00")]
    rows = choose_scenes(
        scans, source_name="goes16", spans=between("14:00", "15:00"), filters=SceneFilter(), nearest_times=times
    )
    assert [row.reason for row in rows] == [
        None,
        "missing channel 2",
        None,  # also of 14:25, to which 14:30 is as near
        "filtered: not the nearest scene to any time of the trajectories",
    ]


def test_rows_are_in_time_order_whatever_the_source_does() -> None:
    scans = [scan_at("14:20"), scan_at("14:00"), scan_at("14:10")]
    ledger = ledger_of(Found(tuple(scans)), between("14:00", "15:00"))
    assert [row.scan.start.minute for row in ledger.rows] == [0, 10, 20]


def test_two_scans_in_one_minute_do_not_share_a_scene_id() -> None:
    ledger = ledger_of(
        Found((scan_at("14:00:57"), scan_at("14:00:27"), scan_at("14:01:27"))), between("14:00", "15:00")
    )
    assert ledger.scene_ids == ("goes16__202002021400", "goes16__202002021401")
    assert reasons(ledger) == [
        None,
        "same minute as the scan at 14:00:27, which has this scene ID",
        None,
    ]


def test_a_scan_that_is_no_scene_keeps_no_scene_id_from_a_later_one() -> None:
    scans = (scan_at("14:00:05", "missing channel 2"), scan_at("14:00:20"), scan_at("14:00:50"))
    ledger = ledger_of(Found(scans), between("14:00:10", "15:00"))
    assert reasons(ledger) == [
        "missing channel 2",
        None,
        "same minute as the scan at 14:00:20, which has this scene ID",
    ]


@settings(max_examples=40, deadline=None)
@given(
    first=st.datetimes(datetime(2019, 12, 31, 20), datetime(2020, 1, 1, 4)) | st.just(datetime(2020, 2, 29, 23)),
    cadence=st.sampled_from([30, 60, 300, 600, 900, 20_000]),
    delays=st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=1, max_size=12),
    spans=st.lists(st.tuples(st.floats(-1, 12), st.floats(0, 6)), min_size=1, max_size=3),
)
def test_finding_equals_filtering_the_whole_archive(
    first: datetime, cadence: int, delays: list[list[int]], spans: list[tuple[float, float]]
) -> None:
    first = first.replace(microsecond=first.microsecond // 100_000 * 100_000)
    scans = [
        [first + timedelta(seconds=i * cadence + tenths / 10) for tenths in of_channels]
        for i, of_channels in enumerate(delays)
    ]
    intervals = [
        Interval(first + timedelta(seconds=begin * cadence), first + timedelta(seconds=(begin + length) * cadence))
        for begin, length in spans
    ]
    with TemporaryDirectory() as folder:
        for scan in scans:
            for channel, start in enumerate(scan, start=1):
                put(Path(folder), abi_name(start, channel))
        ledger = ledger_of(FullDisk(folder), intervals)
    inside = [min(scan) for scan in scans if any(span.start <= min(scan) <= span.end for span in intervals)]
    one_a_minute = {f"goes16__{start:%Y%m%d%H%M}": start for start in reversed(inside)}
    assert {row.scene_id: row.scan.start for row in ledger.scenes} == one_a_minute
    assert all(list(row.scan.files) == ["1", "2", "3"] for row in ledger.rows)
    shared = sum((reason or "").startswith("same minute") for reason in reasons(ledger))
    assert shared == len(inside) - len(one_a_minute)
