"""The archive of CERES over HTTPS: pages, redirects, logins and downloads, from a server that speaks as it does."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import h5py
import pytest
from ceres_server import (
    ARCHIVE_HOST,
    FOREIGN_HOST,
    LOGIN_HOST,
    PASSWORD,
    TOKEN,
    USER,
    CeresServer,
    ceres_server,
    make_certificate,
)

from convml_data.errors import ArchiveError, ConvmlError, SceneError
from convml_data.geometry.local import LocalDomain
from convml_data.scenes.ledger import Scan
from convml_data.simulate.ceres import simulate_ceres
from convml_data.sources.base import Interval
from convml_data.sources.ceres import earthdata
from convml_data.sources.ceres.archive import list_scans
from convml_data.sources.ceres.source import CeresSource

DOMAIN = LocalDomain(13.3, -57.7, 100e3, 80e3)
FIRST = datetime(2020, 2, 2, 22, 30)
LAST = datetime(2020, 2, 3, 1, 30)
SPAN = Interval(FIRST, LAST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("edition4")
    simulate_ceres(archive, satellites=["goes16n"], spans=[SPAN], domain=DOMAIN)
    return archive


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    make_certificate(path)
    return path


@pytest.fixture
def server(folder: Path, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CeresServer]:
    for variable in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(earthdata, "_LOGINS", [])
    logging.getLogger("earthaccess").setLevel(logging.CRITICAL)
    with ceres_server(folder, certificate, monkeypatch) as running:
        yield running


@pytest.fixture(params=["environment", "token", "netrc"])
def login(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    give_login(request.param, monkeypatch, tmp_path)
    return str(request.param)


def give_login(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str = PASSWORD) -> None:
    if where == "token":
        monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    elif where == "environment":
        monkeypatch.setenv("EARTHDATA_USERNAME", USER)
        monkeypatch.setenv("EARTHDATA_PASSWORD", password)
    else:
        netrc = tmp_path / "netrc"
        netrc.write_text(f'machine {LOGIN_HOST} login {USER} password "{password}"\n')
        netrc.chmod(0o600)


def source(server: CeresServer, tmp_path: Path, variable: str = "cloud_top_height") -> CeresSource:
    return CeresSource(f"goes16n__{variable}", server.url, str(tmp_path / "raw"))


def only_scan(server: CeresServer, tmp_path: Path) -> Scan:
    (scan,) = source(server, tmp_path).find([Interval(FIRST, FIRST)])
    return scan


def copies_in(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "raw").rglob("*") if path.is_file()]


def only_copy(tmp_path: Path) -> Path:
    (path,) = copies_in(tmp_path)
    return path


def path_of(scan: Scan) -> str:
    return scan.files["file"].url.removeprefix(f"https://{ARCHIVE_HOST}")


# --- listing -------------------------------------------------------------------------------------


def test_times_are_those_of_the_pages(server: CeresServer) -> None:
    scans = list_scans(server.url, "goes16n", [SPAN])
    assert [scan.start for scan in scans] == [
        datetime(2020, 2, 2, 22, 30),
        datetime(2020, 2, 2, 23, 30),
        datetime(2020, 2, 3, 0, 30),
        datetime(2020, 2, 3, 1, 30),
    ]
    assert {scan.reason for scan in scans} == {None}
    assert scans[0].files["file"].url == (
        f"{server.url}/GOE16_NH_V01.2/2020/033/CER_GEO_Ed4_GOE16_NH_V01.2_2020.033.2230.06K.nc"
    )
    assert sorted(server.asked(ARCHIVE_HOST)) == [
        f"{server.base}/",
        f"{server.base}/GOE16_NH_V01.2/2020/033/",
        f"{server.base}/GOE16_NH_V01.2/2020/034/",
    ]


def test_days_without_a_page_are_gaps(server: CeresServer) -> None:
    assert list_scans(server.url, "goes16n", [Interval(datetime(2021, 5, 1), datetime(2021, 5, 3))]) == []


def test_an_archive_that_does_not_exist_is_an_error(server: CeresServer) -> None:
    with pytest.raises(ArchiveError, match="this archive does not exist"):
        list_scans(f"{server.url}/mistyped", "goes16n", [SPAN])


def test_an_archive_without_the_satellite_is_an_error(server: CeresServer) -> None:
    with pytest.raises(ArchiveError, match="no folder MET09_NH_V…"):
        list_scans(server.url, "meteosat9n", [SPAN])


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_recovers_is_asked_again(server: CeresServer, status: int) -> None:
    server.failures[f"{server.base}/"] = [status, status]
    assert len(list_scans(server.url, "goes16n", [SPAN])) == 4
    assert server.asked(ARCHIVE_HOST).count(f"{server.base}/") == 3


def test_a_server_that_does_not_recover_is_an_error(server: CeresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earthdata._RETRIES, "backoff_factor", 0)
    server.failures[f"{server.base}/"] = [500] * 50
    with pytest.raises(ArchiveError, match="the archive answers 500"):
        list_scans(server.url, "goes16n", [SPAN])
    assert len(server.requests) == 4


def test_a_server_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earthdata._RETRIES, "backoff_factor", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ArchiveError, match="cannot be read") as error:
        list_scans("http://127.0.0.1:9/Edition4", "goes16n", [SPAN])
    assert "Check the network" in str(error.value)


# --- reading -------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_for_all_variables(server: CeresServer, folder: Path, tmp_path: Path) -> None:
    scan = only_scan(server, tmp_path)
    height = source(server, tmp_path).read(scan, DOMAIN)
    flux = source(server, tmp_path, "broadband_longwave_flux").read(scan, DOMAIN)

    original = folder / path_of(scan).removeprefix(f"{server.base}/")
    assert only_copy(tmp_path).read_bytes() == original.read_bytes()
    assert server.asked(ARCHIVE_HOST).count(path_of(scan)) == 1
    assert height.attrs["bytes_read"] == flux.attrs["bytes_read"] == original.stat().st_size
    local = CeresSource("goes16n__cloud_top_height", f"file://{folder}", "unused")
    (local_scan,) = local.find([Interval(FIRST, FIRST)])
    assert height.cloud_top_height.equals(local.read(local_scan, DOMAIN).cloud_top_height)
    assert flux.broadband_longwave_flux.notnull().all()


def test_a_download_that_ends_early_is_tried_again(server: CeresServer, folder: Path, tmp_path: Path) -> None:
    scan = only_scan(server, tmp_path)
    server.cut[path_of(scan)] = [1000, 0]
    source(server, tmp_path).read(scan, DOMAIN)
    original = folder / path_of(scan).removeprefix(f"{server.base}/")
    assert only_copy(tmp_path).read_bytes() == original.read_bytes()


def test_a_download_that_keeps_ending_early_leaves_nothing(server: CeresServer, tmp_path: Path) -> None:
    scan = only_scan(server, tmp_path)
    server.cut[path_of(scan)] = [1000] * 10
    with pytest.raises(ArchiveError, match="cannot be read"):
        source(server, tmp_path).read(scan, DOMAIN)
    assert copies_in(tmp_path) == []
    assert server.asked(ARCHIVE_HOST).count(path_of(scan)) == 3


def test_a_file_of_unknown_length_is_not_trusted(server: CeresServer, tmp_path: Path) -> None:
    scan = only_scan(server, tmp_path)
    server.says_length = False
    with pytest.raises(ArchiveError, match="does not say how long the file is"):
        source(server, tmp_path).read(scan, DOMAIN)
    assert copies_in(tmp_path) == []


def test_a_file_that_was_replaced_is_fetched_again_once_it_is_listed_anew(
    server: CeresServer, folder: Path, tmp_path: Path
) -> None:
    scan = only_scan(server, tmp_path)
    assert scan.files["file"].version == "2021-03-04 05:06"
    assert server.asked(ARCHIVE_HOST, "HEAD") == []  # the page says it
    before = source(server, tmp_path).read(scan, DOMAIN)
    replaced(server, folder, tmp_path)
    assert source(server, tmp_path).read(scan, DOMAIN).equals(before)  # the file that was listed
    server.changed = "2021-05-06 07:08"
    listed_anew = only_scan(server, tmp_path)
    assert listed_anew != scan
    after = source(server, tmp_path).read(listed_anew, DOMAIN)
    assert (after.cloud_top_height == 7).all()
    assert len(copies_in(tmp_path)) == 2


@pytest.mark.parametrize("header", ["Last-Modified", "ETag"])
def test_files_are_asked_when_they_changed_where_pages_do_not_say_so(
    server: CeresServer, tmp_path: Path, header: str
) -> None:
    server.changed = ""
    server.headers = {header: "one"}
    scan = only_scan(server, tmp_path)
    assert scan.files["file"].version == "one"
    assert server.asked(ARCHIVE_HOST, "HEAD") == [path_of(scan)]  # of the times that are wanted only
    server.headers = {header: "two"}
    assert only_scan(server, tmp_path).files["file"].version == "two"
    source(server, tmp_path).read(scan, DOMAIN)
    assert server.asked(ARCHIVE_HOST).count(path_of(scan)) == 1


def test_files_of_which_nothing_says_when_they_changed_are_found_all_the_same(
    server: CeresServer, tmp_path: Path
) -> None:
    server.changed = ""
    assert only_scan(server, tmp_path).files["file"].version is None
    server.refuses_heads = True
    assert only_scan(server, tmp_path).files["file"].version is None


def replaced(server: CeresServer, folder: Path, tmp_path: Path) -> None:
    """Let the server have other heights of clouds under the same names."""
    server.folder = tmp_path / "replaced"
    shutil.copytree(folder, server.folder)
    for path in server.folder.rglob("*.nc"):
        with h5py.File(path, "a") as file:
            file["cloud_top_height"][...] = 7


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no longer there"), (b"", "empty"), (b"HDF", "no whole netCDF")]
)
def test_a_scene_whose_file_is_gone_or_broken_says_so(
    server: CeresServer, tmp_path: Path, content: bytes | None, message: str
) -> None:
    scan = only_scan(server, tmp_path)
    server.folder = tmp_path / "archive"
    place = server.folder / path_of(scan).removeprefix(f"{server.base}/")
    place.parent.mkdir(parents=True)
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(SceneError, match=message):
        source(server, tmp_path).read(scan, DOMAIN)


# --- logging in ----------------------------------------------------------------------------------


def test_nobody_is_asked_for_a_login_that_is_not_needed(server: CeresServer, login: str, tmp_path: Path) -> None:
    source(server, tmp_path).read(only_scan(server, tmp_path), DOMAIN)
    assert server.asked(LOGIN_HOST, "POST") == []
    assert server.shown(ARCHIVE_HOST) == {None}


@pytest.mark.parametrize("how", ["redirect", "401"])
def test_the_login_is_made_once_when_the_archive_asks(
    server: CeresServer, login: str, how: str, tmp_path: Path
) -> None:
    server.needs_login = how
    assert len(source(server, tmp_path).find([SPAN])) == 4
    source(server, tmp_path).read(only_scan(server, tmp_path), DOMAIN)
    exchanges = [r for r in server.requests if r.method == "POST" and r.host == LOGIN_HOST and r.authorization]
    # One login by name is one exchange, or two where .netrc makes requests send the password unasked.
    assert len(exchanges) in ((0,) if login == "token" else (1, 2))
    assert server.shown(ARCHIVE_HOST) == {None, f"Bearer {TOKEN}"}
    assert f"Bearer {TOKEN}" not in server.shown(LOGIN_HOST)


@pytest.mark.parametrize("where", ["environment", "netrc"])
def test_an_archive_that_takes_no_tokens_gives_a_cookie(
    server: CeresServer, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give_login(where, monkeypatch, tmp_path)
    server.needs_login, server.takes_tokens = "redirect", False
    source(server, tmp_path).read(only_scan(server, tmp_path), DOMAIN)
    cookies = [request.cookie for request in server.requests if request.host == ARCHIVE_HOST]
    assert "session=logged-in" in cookies
    assert not any((shown or "").startswith("Basic") for shown in server.shown(ARCHIVE_HOST))


@pytest.mark.parametrize("how", ["redirect", "401"])
def test_without_a_login_the_error_says_how_to_get_one(server: CeresServer, how: str, tmp_path: Path) -> None:
    server.needs_login = how
    with pytest.raises(ArchiveError, match=r"there is none in the environment or in \.netrc") as error:
        source(server, tmp_path).find([SPAN])
    assert "EARTHDATA_TOKEN" in str(error.value)
    assert f"machine {LOGIN_HOST}" in str(error.value)


@pytest.mark.parametrize("where", ["environment", "netrc"])
def test_a_refused_password_is_said_but_not_shown(
    server: CeresServer, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give_login(where, monkeypatch, tmp_path, password="mistyped")
    server.needs_login = "redirect"
    with pytest.raises(ArchiveError, match="refuses the name or the password") as error:
        source(server, tmp_path).find([SPAN])
    assert "mistyped" not in str(error.value)


@pytest.mark.parametrize("how", ["redirect", "401"])
def test_a_refused_token_is_said_but_not_shown(
    server: CeresServer, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "expired")
    server.needs_login = how
    with pytest.raises(ArchiveError, match="does not accept the Earthdata login") as error:
        source(server, tmp_path).find([SPAN])
    assert "expired" not in str(error.value)


def test_a_login_without_permission_is_told_to_approve(
    server: CeresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    server.needs_login = "401"
    server.failures[f"{server.base}/"] = [403]
    with pytest.raises(ArchiveError, match="no permission") as error:
        source(server, tmp_path).find([SPAN])
    assert "approve" in str(error.value)


@pytest.mark.parametrize("default_entry", [False, True])
def test_a_foreign_host_is_shown_no_credentials(
    server: CeresServer, login: str, default_entry: bool, tmp_path: Path
) -> None:
    if default_entry:  # which requests by itself would send to any host
        with (tmp_path / "netrc").open("a") as netrc:
            netrc.write(f'default login {USER} password "{PASSWORD}"\n')
    scan = only_scan(server, tmp_path)
    server.needs_login = "401"
    server.moved[f"{path_of(scan)}"] = f"https://{FOREIGN_HOST}{server.base}/moved"
    # Logged in by listing, and with the login still in the session the file leads elsewhere.
    archive = earthdata.WebArchive()
    assert archive.page(f"{server.url}/") is not None
    with pytest.raises(SceneError, match="no longer there"):
        archive.download(scan.files["file"].url, tmp_path / "file.nc")
    assert server.asked(FOREIGN_HOST) == [f"{server.base}/moved"]
    assert server.shown(FOREIGN_HOST) == {None}
    assert f"Bearer {TOKEN}" in server.shown(ARCHIVE_HOST)


def test_a_foreign_archive_that_asks_for_a_login_gets_none(server: CeresServer, login: str, tmp_path: Path) -> None:
    server.moved = {}
    server.failures = {f"{server.base}/": [401, 401, 401]}
    with pytest.raises(ArchiveError, match="sent to NASA's own hosts over https only"):
        list_scans(f"https://{FOREIGN_HOST}{server.base}", "goes16n", [SPAN])
    assert server.shown(FOREIGN_HOST) == {None}
    assert server.asked(LOGIN_HOST, "POST") == []


def test_without_earthaccess_the_error_says_how_to_install_it(
    server: CeresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "earthaccess", None)
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    server.needs_login = "401"
    with pytest.raises(ConvmlError, match=r"pip install 'convml-data\[ceres\]'"):
        source(server, tmp_path).find([SPAN])
