"""Which times of CERES are found in an archive of folders, and what is taken from a page of links."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from convml_data.errors import ArchiveError
from convml_data.sources.base import Interval
from convml_data.sources.ceres.archive import list_scans
from convml_data.sources.ceres.earthdata import is_earthdata
from convml_data.sources.ceres.folders import links_into
from convml_data.sources.ceres.names import CeresFileName
from convml_data.sources.ceres.source import CeresSource

HOUR = timedelta(hours=1)
NEW_YEAR = datetime(2020, 1, 1, 0, 30)


def put(archive: Path, time: datetime, *, content: bytes = b"x", **changes: object) -> Path:
    values = {"platform": "GOE16_NH", "version": "V01.2", "time": time} | changes
    path = archive / CeresFileName(**values).path  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def starts(archive: Path, *intervals: Interval, satellite: str = "goes16n") -> list[datetime]:
    return [scan.start for scan in list_scans(f"file://{archive}", satellite, intervals)]


def test_both_ends_of_an_interval_are_in_it_and_days_and_years_join(tmp_path: Path) -> None:
    times = [NEW_YEAR + number * HOUR for number in range(-4, 5)]
    for time in times:
        put(tmp_path, time)
    assert starts(tmp_path, Interval(times[1], times[-2])) == times[1:-1]
    assert starts(tmp_path, Interval(times[1] + timedelta(seconds=1), times[-2] - timedelta(seconds=1))) == times[2:-2]
    assert starts(tmp_path, Interval(NEW_YEAR, NEW_YEAR)) == [NEW_YEAR]


def test_every_interval_counts_and_none_twice(tmp_path: Path) -> None:
    times = [NEW_YEAR + number * HOUR for number in range(8)]
    for time in times:
        put(tmp_path, time)
    found = starts(tmp_path, Interval(times[6], times[7]), Interval(times[0], times[2]), Interval(times[1], times[3]))
    assert found == [*times[:4], *times[6:]]


def test_times_are_listed_not_assumed(tmp_path: Path) -> None:
    odd = datetime(2020, 1, 1, 10, 45)
    put(tmp_path, odd)
    assert starts(tmp_path, Interval(NEW_YEAR, NEW_YEAR + 24 * HOUR)) == [odd]


def test_the_latest_version_and_the_finest_pixels_count(tmp_path: Path) -> None:
    put(tmp_path, NEW_YEAR, version="V01")
    coarse = put(tmp_path, NEW_YEAR, spacing_km=9)
    fine = put(tmp_path, NEW_YEAR)
    only_old = put(tmp_path, NEW_YEAR + HOUR, version="V01", spacing_km=8)
    scans = list_scans(f"file://{tmp_path}", "goes16n", [Interval(NEW_YEAR, NEW_YEAR + HOUR)])
    assert [Path(scan.files["file"].url.removeprefix("file://")) for scan in scans] == [fine, only_old]
    assert coarse.exists()


def test_satellites_and_hemispheres_stay_apart(tmp_path: Path) -> None:
    put(tmp_path, NEW_YEAR)
    put(tmp_path, NEW_YEAR, platform="GOE16_SH")
    put(tmp_path, NEW_YEAR + HOUR / 2, platform="MET09_NH")
    span = Interval(NEW_YEAR, NEW_YEAR + HOUR)
    assert starts(tmp_path, span) == [NEW_YEAR]
    assert starts(tmp_path, span, satellite="meteosat9n") == [NEW_YEAR + HOUR / 2]


def test_empty_files_and_other_files(tmp_path: Path) -> None:
    path = put(tmp_path, NEW_YEAR, content=b"")
    path.with_name(path.name + ".met").write_bytes(b"metadata")
    (scan,) = list_scans(f"file://{tmp_path}", "goes16n", [Interval(NEW_YEAR, NEW_YEAR)])
    assert scan.reason == f"the file is an empty object (0 bytes): {path.name}"
    assert (scan.end, scan.satellite, scan.mode) == (NEW_YEAR, "goes16n", None)


def test_gaps_are_no_errors_but_a_wrong_place_is(tmp_path: Path) -> None:
    put(tmp_path, NEW_YEAR)
    later = Interval(NEW_YEAR + 1000 * HOUR, NEW_YEAR + 1100 * HOUR)
    assert starts(tmp_path, later) == []
    with pytest.raises(ArchiveError, match="does not exist"):
        starts(tmp_path / "mistyped", later)
    with pytest.raises(ArchiveError, match="no folder GOE16_NH_V…"):
        starts(tmp_path / "GOE16_NH_V01.2", later)


def test_all_times_are_too_many() -> None:
    source = CeresSource("goes16n__cloud_top_height", "file:///nowhere", "unused")
    with pytest.raises(ArchiveError, match="all are asked for") as error:
        source.find(None)
    assert "`time:`" in str(error.value)


def test_folders_of_other_file_systems_are_listed_too(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    path = put(tmp_path, NEW_YEAR).relative_to(tmp_path).as_posix()
    filesystem.pipe_file(f"/edition4/{path}", b"four")
    (scan,) = list_scans("memory://edition4", "goes16n", [Interval(NEW_YEAR, NEW_YEAR)])
    assert (scan.files["file"].url, scan.files["file"].size) == (f"memory:///edition4/{path}", 4)
    with pytest.raises(ArchiveError, match="does not exist"):
        list_scans("memory://mistyped", "goes16n", [Interval(NEW_YEAR, NEW_YEAR)])


def test_what_reads_the_web_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "convml_data.sources.ceres.earthdata", None)
    with pytest.raises(ArchiveError, match=r"pip install 'convml-data\[ceres\]'"):
        list_scans("https://asdc.larc.nasa.gov/data", "goes16n", [Interval(NEW_YEAR, NEW_YEAR)])


@pytest.mark.parametrize(
    ("scheme", "host", "may_see_a_login"),
    [
        ("https", "asdc.larc.nasa.gov", True),
        ("https", "data.asdc.earthdata.nasa.gov", True),
        ("https", "urs.earthdata.nasa.gov", True),
        ("http", "asdc.larc.nasa.gov", False),
        ("https", "evil-larc.nasa.gov", False),
        ("https", "larc.nasa.gov.example.org", False),
        ("https", "example.org", False),
        ("https", "", False),
    ],
)
def test_logins_are_for_nasa_and_encrypted(scheme: str, host: str, may_see_a_login: bool) -> None:
    assert is_earthdata(scheme, host) is may_see_a_login


# --- pages ---------------------------------------------------------------------------------------

URL = "https://asdc.larc.nasa.gov/data/CERES/GEO/Edition4/"


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("GOE16_NH_V01.2/", {"GOE16_NH_V01.2": f"{URL}GOE16_NH_V01.2/"}),
        ("./a.nc", {"a.nc": f"{URL}a.nc"}),
        (" a.nc\n", {"a.nc": f"{URL}a.nc"}),
        ("/data/CERES/GEO/Edition4/a.nc", {"a.nc": f"{URL}a.nc"}),
        (f"{URL}a.nc", {"a.nc": f"{URL}a.nc"}),
        ("a%20b.nc", {"a b.nc": f"{URL}a%20b.nc"}),
        ("?C=M;O=A", {}),
        ("a.nc?download=1", {}),
        ("#top", {}),
        ("", {}),
        ("../", {}),
        ("/data/CERES/GEO/", {}),
        ("a/b.nc", {}),
        ("https://evil.example.org/data/CERES/GEO/Edition4/a.nc", {}),
        ("//evil.example.org/data/CERES/GEO/Edition4/a.nc", {}),
        ("http://asdc.larc.nasa.gov/data/CERES/GEO/Edition4/a.nc", {}),
        ("javascript:alert(1)", {}),
    ],
)
def test_links_count_where_they_lead_into_the_folder(target: str, found: dict[str, str]) -> None:
    links = links_into(f'<p><A class="x" HREF="{target}">any text</A><br>', URL)
    assert {name: file.url for name, file in links.items()} == found


def test_a_page_need_not_be_well_formed() -> None:
    page = "<html><table><tr><td class=indexcolname><a href=a.nc>a.nc<tr><td><a>no target</a><a href='b.nc'>b</table"
    assert list(links_into(page, f"{URL}?C=N;O=D")) == ["a.nc", "b.nc"]


@pytest.mark.parametrize(
    ("row", "version"),
    [
        ('<td><a href="a.nc">a.nc</a></td><td align="right">2021-03-04 05:06  </td><td> 31M</td>', "2021-03-04 05:06"),
        ('<a href="a.nc">a.nc</a>             04-Mar-2021 05:06            32505856', "04-Mar-2021 05:06"),
        ('<a href="a.nc">2020-01-01 00:00</a> 2021-03-04 05:06:07 31M', "2021-03-04 05:06:07"),
        (
            '<a href="a.nc"><img></a> <a href="a.nc">a.nc</a> 2021-03-04 05:06 <a href="a.nc">view</a>',
            "2021-03-04 05:06",
        ),
        ('<a href="a.nc">a.nc</a> 31M', None),
    ],
)
def test_a_page_says_when_files_have_changed(row: str, version: str | None) -> None:
    before, after = '<a href="0.nc">0.nc</a> 2000-01-01 00:00 1M<br>', '<br><a href="b.nc">b.nc</a> 2022-02-02 02:02'
    links = links_into(f"{before}{row}{after}", URL)
    assert {name: file.version for name, file in links.items()} == {
        "0.nc": "2000-01-01 00:00",
        "a.nc": version,
        "b.nc": "2022-02-02 02:02",
    }


def test_a_file_that_is_replaced_has_another_version(tmp_path: Path) -> None:
    def version() -> str | None:
        (scan,) = list_scans(f"file://{tmp_path}", "goes16n", [Interval(NEW_YEAR, NEW_YEAR)])
        return scan.files["file"].version

    path = put(tmp_path, NEW_YEAR)
    first = version()
    assert first is not None
    assert version() == first
    os.utime(path, (10**9, 10**9))
    assert version() != first
