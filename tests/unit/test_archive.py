"""Which archive is read, and which scans are found in one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from fake_archive import TRUECOLOR, FullDisk, abi_name, put, put_scan

from convml_data.errors import ArchiveError
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.archive import SAME_SCAN, archive_url, list_scans, open_filesystem

NOON = datetime(2020, 2, 2, 12, 0, 16, 100_000)


def find(archive: Path, start: datetime, end: datetime, channels: tuple[int, ...] = TRUECOLOR) -> list[Scan]:
    return FullDisk(str(archive), channels).find([Interval(start, end)])


def starts_within(scans: list[Scan], start: datetime, end: datetime) -> list[datetime]:
    return [scan.start for scan in scans if start <= scan.start <= end]


# --- which archive -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        (None, {}, "s3://noaa-goes18"),
        (None, {"CONVML_GOES_ARCHIVE": ""}, "s3://noaa-goes18"),
        (None, {"CONVML_GOES_ARCHIVE": "s3://copy/noaa-{satellite}/abi"}, "s3://copy/noaa-goes18/abi"),
        ("file:///data/noaa-{satellite}", {"CONVML_GOES_ARCHIVE": "s3://copy"}, "file:///data/noaa-goes18"),
        ("/data/all of it/", {}, "file:///data/all of it"),
        ("s3://copy", {}, "s3://copy"),
    ],
)
def test_meta_yaml_comes_before_the_environment_before_the_public_archive(
    configured: str | None, environ: dict[str, str], expected: str
) -> None:
    assert archive_url("goes18", configured, environ) == expected


def test_relative_and_home_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert archive_url("goes16", "archive/noaa-{satellite}", {}) == f"file://{tmp_path}/archive/noaa-goes16"
    assert archive_url("goes16", "~/abi", {}) == "file:///home/someone/abi"


@pytest.mark.parametrize(
    ("url", "environ", "anonymous"),
    [
        ("s3://noaa-goes16", {}, True),
        ("s3://noaa-goes16", {"AWS_ACCESS_KEY_ID": "expired"}, True),
        ("s3://own-bucket/noaa-goes16", {}, True),
        ("s3://own-bucket/noaa-goes16", {"AWS_PROFILE": "lab"}, False),
        ("s3://noaa-goes16", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, True),
        ("s3://noaa-goes16", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "me"}, False),
    ],
)
def test_credentials_are_used_only_where_they_are_meant(
    url: str, environ: dict[str, str], anonymous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    filesystem, path = open_filesystem(url)
    assert path == url.removeprefix("s3://")
    assert filesystem.anon is anonymous
    assert filesystem.endpoint_url == environ.get("AWS_ENDPOINT_URL")
    assert not filesystem.dircache.use_listings_cache


def test_without_s3fs_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(ArchiveError, match=r"pip install 'convml-data\[s3\]'"):
        open_filesystem("s3://noaa-goes16")


def test_an_unknown_protocol_is_an_error() -> None:
    with pytest.raises(ArchiveError, match="nosuch://"):
        open_filesystem("nosuch://noaa-goes16")


# --- which scans ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(datetime(2020, 2, 2, 13, 50), datetime(2020, 2, 2, 14, 20), id="hour"),
        pytest.param(datetime(2020, 2, 2, 23, 50), datetime(2020, 2, 3, 0, 20), id="midnight"),
        pytest.param(datetime(2021, 1, 31, 23, 0), datetime(2021, 2, 1, 1, 0), id="month"),
        pytest.param(datetime(2019, 12, 31, 23, 45), datetime(2020, 1, 1, 0, 15), id="year"),
        pytest.param(datetime(2020, 12, 31, 22, 59), datetime(2021, 1, 1, 1, 1), id="end of a leap year"),
        pytest.param(datetime(2020, 2, 28, 23, 30), datetime(2020, 2, 29, 0, 30), id="to the leap day"),
        pytest.param(datetime(2020, 2, 29, 23, 30), datetime(2020, 3, 1, 0, 30), id="from the leap day"),
        pytest.param(datetime(2019, 2, 28, 23, 30), datetime(2019, 3, 1, 0, 30), id="no leap day"),
        pytest.param(datetime(2020, 2, 2, 14, 0), datetime(2020, 2, 2, 14, 0), id="one moment"),
        pytest.param(datetime(2020, 2, 2, 14, 0), datetime(2020, 2, 2, 15, 0), id="ends on the full hour"),
    ],
)
def test_no_scan_is_missed_across_boundaries(tmp_path: Path, start: datetime, end: datetime) -> None:
    first = start.replace(minute=0) - timedelta(hours=2)
    scans = [first + i * timedelta(minutes=10) for i in range(6 * 8)]
    for scan in scans:
        put_scan(tmp_path, scan)
    expected = [scan for scan in scans if start <= scan <= end]
    found = find(tmp_path, start, end)
    assert expected
    assert starts_within(found, start, end) == expected
    assert [scan.start for scan in found] == sorted(scan.start for scan in found)
    assert all(scan.reason is None for scan in found)


@pytest.mark.parametrize("early", [1, 2, 3])
def test_a_scan_whose_channels_start_either_side_of_the_hour_is_one(tmp_path: Path, early: int) -> None:
    hour = datetime(2020, 1, 1)
    for channel in TRUECOLOR:
        offset = -0.1 if channel == early else 0.3
        put(tmp_path, abi_name(hour + timedelta(seconds=offset), channel))
    earliest = hour - timedelta(seconds=0.1)
    for span in [(earliest, earliest), (hour, hour + timedelta(minutes=5))]:
        (scan,) = find(tmp_path, *span)
        assert scan.start == earliest
        assert scan.reason is None
        assert list(scan.files) == ["1", "2", "3"]


def test_a_scan_at_the_edge_of_what_was_listed_is_not_called_incomplete(tmp_path: Path) -> None:
    hour = datetime(2020, 2, 2, 11)
    put(tmp_path, abi_name(hour - timedelta(seconds=0.1), 1))
    put(tmp_path, abi_name(hour + timedelta(seconds=0.1), 2))
    put(tmp_path, abi_name(hour + timedelta(seconds=0.1), 3))
    put_scan(tmp_path, NOON)
    assert [scan.start for scan in find(tmp_path, hour + timedelta(minutes=30), NOON)] == [NOON]


def test_start_and_end_do_not_depend_on_the_wanted_channels(tmp_path: Path) -> None:
    for channel in range(1, 17):
        late = timedelta(seconds=0.1 * channel)
        put(tmp_path, abi_name(NOON + late, channel))
    scans = [find(tmp_path, NOON, NOON, channels)[0] for channels in [(1, 2, 3), (16,), (7, 13)]]
    assert {scan.start for scan in scans} == {NOON + timedelta(seconds=0.1)}
    assert {scan.end for scan in scans} == {NOON + timedelta(seconds=571.6)}
    assert [list(scan.files) for scan in scans] == [["1", "2", "3"], ["16"], ["7", "13"]]


@pytest.mark.parametrize(("gap", "count"), [(timedelta(0), 1), (SAME_SCAN, 1), (SAME_SCAN + timedelta(seconds=0.1), 2)])
def test_files_further_apart_than_the_tolerance_are_two_scans(tmp_path: Path, gap: timedelta, count: int) -> None:
    put(tmp_path, abi_name(NOON, 1))
    put(tmp_path, abi_name(NOON + gap, 2))
    assert len(find(tmp_path, NOON, NOON + gap, (1, 2))) == count


def test_mesoscale_scans_every_30_s_stay_apart_and_sectors_too(tmp_path: Path) -> None:
    starts = [NOON + i * timedelta(seconds=30) for i in range(6)]
    for i, start in enumerate(starts):
        for channel in TRUECOLOR:
            put(tmp_path, abi_name(start, channel, sector=f"M{i % 2 + 1}"))
    span = [Interval(starts[0], starts[-1])]
    for sector, expected in (("M1", starts[::2]), ("M2", starts[1::2])):
        scans = list_scans(str(tmp_path), "goes16", "L1b", "Rad", sector, TRUECOLOR, span)
        assert [scan.start for scan in scans] == expected
        assert {scan.reason for scan in scans} == {None}


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        ((1, 2, 3), None),
        ((1, 3), "missing channel 2"),
        ((1,), "missing channels 2, 3"),
        ((7, 13), "missing channels 1, 2, 3"),
    ],
)
def test_missing_channels_are_named(tmp_path: Path, present: tuple[int, ...], reason: str | None) -> None:
    put_scan(tmp_path, NOON, present)
    (scan,) = find(tmp_path, NOON, NOON)
    assert scan.reason == reason
    assert list(scan.files) == [str(channel) for channel in TRUECOLOR if channel in present]


@pytest.mark.parametrize(
    ("mode", "minutes", "sector"), [(3, 15, "F"), (4, 5, "F"), (6, 10, "F"), (3, 5, "C"), (6, 1, "M2")]
)
def test_all_scan_modes_are_found_whatever_their_cadence(tmp_path: Path, mode: int, minutes: int, sector: str) -> None:
    starts = [NOON + i * timedelta(minutes=minutes) for i in range(4)]
    for start in starts:
        for channel in TRUECOLOR:
            put(tmp_path, abi_name(start, channel, mode=mode, sector=sector))
    span = [Interval(starts[0], starts[-1])]
    scans = list_scans(str(tmp_path), "goes16", "L1b", "Rad", sector, TRUECOLOR, span)
    assert [(scan.start, scan.mode, scan.reason) for scan in scans] == [(start, mode, None) for start in starts]


def test_an_empty_object_is_named(tmp_path: Path) -> None:
    put_scan(tmp_path, NOON)
    path = put(tmp_path, abi_name(NOON, 2), b"")
    (scan,) = find(tmp_path, NOON, NOON)
    assert scan.reason == f"channel 2 is an empty object (0 bytes): {path.name}"


def test_of_a_channel_processed_twice_the_latest_file_counts(tmp_path: Path) -> None:
    put_scan(tmp_path, NOON)
    anew = put(tmp_path, abi_name(NOON, 2, created=NOON + timedelta(days=30)), b"reprocessed")
    put(tmp_path, abi_name(NOON, 2, created=NOON + timedelta(days=3)), b"superseded")
    (scan,) = find(tmp_path, NOON, NOON)
    assert scan.files["2"].url == f"file://{anew}"
    assert scan.files["2"].size == len(b"reprocessed")


def test_what_is_no_file_of_the_sector_is_passed_over(tmp_path: Path) -> None:
    put_scan(tmp_path, NOON)
    folder = put(tmp_path, abi_name(NOON, 1)).parent
    early = NOON - timedelta(seconds=5)
    for other in (
        abi_name(early, 1, sector="C"),
        abi_name(early, 1, satellite="goes17"),
        abi_name(early, None, level="L2", product="ACHA"),
    ):
        (folder / str(other)).write_bytes(b"x")
    for name in ("index.html", f"{abi_name(early)}.part", f".{abi_name(early)}"):
        (folder / name).write_bytes(b"x")
    assert [scan.start for scan in find(tmp_path, NOON - timedelta(minutes=1), NOON)] == [NOON]


def test_satellite_mode_size_and_url_are_those_of_the_files(tmp_path: Path) -> None:
    path = put(tmp_path, abi_name(NOON, 1, mode=3), b"eleven byte")
    (scan,) = find(tmp_path, NOON, NOON, (1,))
    assert (scan.satellite, scan.mode) == ("goes16", 3)
    assert scan.files["1"].size == 11
    with fsspec.open(scan.files["1"].url) as file:
        assert file.read() == path.read_bytes()


def test_a_product_of_no_single_channel_is_keyed_by_its_name(tmp_path: Path) -> None:
    put(tmp_path, abi_name(NOON, None, level="L2", product="ACHA"))
    (scan,) = list_scans(str(tmp_path), "goes16", "L2", "ACHA", "F", (), [Interval(NOON, NOON)])
    assert list(scan.files) == ["ACHA"]
    assert scan.reason is None


def test_links_to_files_elsewhere_are_files(tmp_path: Path) -> None:
    kept = put(tmp_path / "kept", abi_name(NOON, 1))
    link = tmp_path / "linked" / kept.relative_to(tmp_path / "kept")
    link.parent.mkdir(parents=True)
    link.symlink_to(kept)
    (scan,) = find(tmp_path / "linked", NOON, NOON, (1,))
    assert scan.reason is None


def test_overlapping_spans_list_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_scan(tmp_path, NOON)
    listed: list[str] = []
    local = type(fsspec.filesystem("file"))
    original = local.ls

    def ls(self: object, path: str, **options: object) -> object:
        listed.append(path)
        return original(self, path, **options)

    monkeypatch.setattr(local, "ls", ls)
    hour = timedelta(hours=1)
    spans = [Interval(NOON - hour, NOON + hour), Interval(NOON, NOON + 2 * hour), Interval(NOON, NOON)]
    scans = FullDisk(str(tmp_path)).find(spans)
    assert [scan.start for scan in scans] == [NOON]
    assert sorted(Path(path).name for path in listed) == ["11", "12", "13", "14", "ABI-L1b-RadF"]


def test_gaps_are_no_errors(tmp_path: Path) -> None:
    put_scan(tmp_path, NOON)
    assert find(tmp_path, NOON + timedelta(days=400), NOON + timedelta(days=401)) == []


def test_an_archive_that_does_not_exist_is_an_error_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=f"file://{tmp_path}/mistyped: this archive does not exist"):
        find(tmp_path / "mistyped", NOON, NOON)


def test_an_archive_without_the_product_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "noaa-goes16", abi_name(NOON, 1, sector="C"))
    for root in (tmp_path, tmp_path / "noaa-goes16"):
        with pytest.raises(ArchiveError, match="the archive has no folder ABI-L1b-RadF"):
            find(root, NOON, NOON)


def test_a_file_in_the_place_of_an_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(ArchiveError, match="cannot be listed"):
        find(tmp_path / "archive", NOON, NOON)
