"""Which satellite is GOES-East or GOES-West at a time, and the two as sources."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from abi_files import write_abi
from fake_archive import abi_name, put
from hypothesis import given
from hypothesis import strategies as st

from convml_data.errors import MetaError
from convml_data.geometry.local import LocalDomain
from convml_data.sources.base import Interval, Source
from convml_data.sources.goes.operational import SERVICES, OperationalSource, notices, satellites

CHANGE = datetime(2025, 4, 7)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("role", "time", "satellite"),
    [
        ("goes_east", datetime(2017, 12, 18), "goes16"),
        ("goes_east", datetime(2025, 4, 6, 23, 59, 59), "goes16"),
        ("goes_east", datetime(2025, 4, 7), "goes19"),
        ("goes_east", datetime(2030, 1, 1), "goes19"),
        ("goes_west", datetime(2019, 2, 12), "goes17"),
        ("goes_west", datetime(2023, 1, 3, 23, 50), "goes17"),
        ("goes_west", datetime(2023, 1, 4), "goes18"),
    ],
)
def test_the_satellite_in_service(role: str, time: datetime, satellite: str) -> None:
    assert satellites(role, [Interval(time, time)]) == [(satellite, Interval(time, time))]
    assert notices(role, [Interval(time, time)]) == []


def test_an_interval_across_a_change_is_split_and_says_so() -> None:
    days = [
        Interval(datetime(2025, 4, 1), datetime(2025, 4, 10)),
        Interval(datetime(2025, 4, 11), datetime(2025, 4, 12)),
    ]
    assert satellites("goes_east", days) == [
        ("goes16", Interval(days[0].start, CHANGE - MOMENT)),
        ("goes19", Interval(CHANGE, days[0].end)),
        ("goes19", days[1]),
    ]
    (notice,) = notices("goes_east", days)
    assert "2025-04-01 00:00:00 to 2025-04-10 00:00:00 crosses the change of goes_east from goes16 to goes19" in notice
    assert "2025-04-07, 00:00 UTC" in notice


@pytest.mark.parametrize(
    ("role", "first"), [("goes_east", "goes16 .*2017-12-18"), ("goes_west", "goes17 .*2019-02-12")]
)
def test_before_the_first_satellite_there_is_none(role: str, first: str) -> None:
    with pytest.raises(MetaError, match=first) as caught:
        satellites(role, [Interval(SERVICES[role][0].since - MOMENT, datetime(2020, 1, 1))])
    assert "89.5 degrees west" in str(caught.value)


@given(
    st.sampled_from(sorted(SERVICES)),
    st.datetimes(datetime(2019, 2, 12), datetime(2030, 1, 1)),
    st.timedeltas(timedelta(0), timedelta(days=3000)),
    st.floats(0, 1),
)
def test_every_moment_of_an_interval_has_one_satellite(
    role: str, start: datetime, length: timedelta, where: float
) -> None:
    parts = satellites(role, [Interval(start, start + length)])
    assert (parts[0].interval.start, parts[-1].interval.end) == (start, start + length)
    moment = start + length * where
    assert len([part for part in parts if moment in part.interval]) == 1
    assert len(notices(role, [Interval(start, start + length)])) == len(parts) - 1


def put_both(root: Path, name: str) -> list[datetime]:
    """Scans of GOES-16 and GOES-19 every 10 min for two hours around the change, both all the time."""
    starts = [CHANGE + timedelta(minutes=10 * i, seconds=20) for i in range(-6, 6)]
    for satellite in ("goes16", "goes19"):
        for start in starts:
            put(root / name.replace("{satellite}", satellite), abi_name(start, 13, satellite=satellite))
    return starts


@pytest.mark.parametrize("name", ["noaa-{satellite}", "all"])
def test_scans_are_those_of_the_satellite_in_service(tmp_path: Path, name: str) -> None:
    starts = put_both(tmp_path, name)
    source: Source = OperationalSource("goes_east", "singlechannel__13", "F", f"{tmp_path}/{name}")
    assert source.archive == f"file://{tmp_path}/{name}"
    scans = source.find([Interval(starts[0], starts[-1])])
    assert [scan.start for scan in scans] == starts
    assert [scan.satellite for scan in scans] == ["goes16"] * 6 + ["goes19"] * 6
    assert {scan.reason for scan in scans} == {None}
    # next to an interval that ends before the change there are scans of the other satellite, which do not count
    assert {scan.satellite for scan in source.find([Interval(starts[0], CHANGE - MOMENT)])} == {"goes16"}


def test_an_archive_of_the_other_satellite_is_not_asked(tmp_path: Path) -> None:
    put(tmp_path / "noaa-goes19", abi_name(CHANGE, 13, satellite="goes19"))
    source = OperationalSource("goes_east", "singlechannel__13", "F", f"{tmp_path}/noaa-{{satellite}}")
    assert [scan.satellite for scan in source.find([Interval(CHANGE, CHANGE)])] == ["goes19"]


def test_scenes_are_read_from_their_own_satellites_files(tmp_path: Path) -> None:
    before, after = datetime(2023, 1, 3, 23, 0, 20), datetime(2023, 1, 4, 1, 0, 20)
    for satellite, start, value in (("goes17", before, 300), ("goes18", after, 400)):
        counts = np.full((256, 320), value)
        edges = {"west_edge_urad": 9968, "north_edge_urad": 80080}
        write_abi(tmp_path / satellite, 13, counts, start, satellite=satellite, sub_longitude=-137.0, **edges)
    source = OperationalSource("goes_west", "singlechannel__13", "M1", f"{tmp_path}/{{satellite}}", quality="any")
    scans = source.find([Interval(before, after)])
    domain = LocalDomain(25.5, -130.7, 150e3, 100e3)
    crops = [source.read(scan, domain) for scan in scans]
    assert [crop.attrs["satellite"] for crop in crops] == ["goes17", "goes18"]
    assert [crop.attrs["quality_flags"] for crop in crops] == ["any", "any"]
    assert crops[0]["radiance_13"].mean() < crops[1]["radiance_13"].mean()
    assert source.whole_domain(scans[0]).l_zonal > 600e3
    assert pickle.loads(pickle.dumps(source)) == source


def test_there_is_no_listing_without_a_time(tmp_path: Path) -> None:
    with pytest.raises(MetaError, match="no time to list"):
        OperationalSource("goes_east", "ACHA", "F", str(tmp_path)).find(None)
