"""Whatever is wrong is said in a line that names it and a remedy; exit status 1, never a traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import (
    FIRST,
    call,
    dagster_home_fixture,  # noqa: F401
    end_of,
    granule,
    names_in,
    results,
    scene_ids,
    small_archive_fixture,  # noqa: F401
    small_meta,
    tile_names,
    write_meta,
)

from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home", "without_s3_settings")

Meta = dict[str, Any]


def error_of(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says is wrong."""
    capsys.readouterr()
    assert main([command, "--data-path", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "Stack Trace" not in said
    before, error, message = said.partition("error: ")
    assert error
    assert "error" not in before.lower()
    return message.rstrip("\n")


@pytest.fixture
def meta(small_archive: str) -> Meta:
    return small_meta(small_archive, scans=2)


#: What is done to meta.yaml, which command then fails, and what its one line holds.
WRONG_META: dict[str, tuple[Callable[[Meta], object], str, list[str]]] = {
    "a key misspelt": (
        lambda meta: meta["sampling"].update(resolutoin=500),
        "crop",
        ["meta.yaml", "sampling.resolutoin", "unknown key", "did you mean resolution?"],
    ),
    "a value of the wrong kind": (
        lambda meta: meta["domain"].update(l_zonal="two hundred km"),
        "scene-ids",
        ["meta.yaml", "domain.l_zonal", "'two hundred km'", "write for example `l_zonal: 200000.0`"],
    ),
    "type and product differ": (
        lambda meta: meta.update(product="other"),
        "tiles",
        ["product", "'other'", "'truecolor_rgb'", "synonyms"],
    ),
    "no such archive": (
        lambda meta: meta.update(archive="/nowhere/noaa-{satellite}"),
        "crop",
        ["file:///nowhere/noaa-goes16", "this archive does not exist", "Check `archive:` in meta.yaml"],
    ),
    "an archive without the product": (
        lambda meta: meta.update(sector="C"),
        "regrid",
        ["the archive has no folder ABI-L1b-RadC", "Check `archive:` in meta.yaml"],
    ),
    "an archive of another kind": (
        lambda meta: meta.update(archive="gopher://noaa"),
        "crop",
        ["gopher://noaa", "cannot be read", "s3://, https:// or file://"],
    ),
    "no scan in the span": (
        lambda meta: meta.update(time={"t_start": "2021-07-01T00:00", "t_end": "2021-07-01T01:00"}),
        "tiles",
        ["scene_ids.json", "no scene is left of 0 scans", "Correct `time`, `sector` or `archive`"],
    ),
    "all scans filtered": (
        lambda meta: meta["time"].update(filters={"N_hours_from_zenith": 0.1}),
        "crop",
        ["scene_ids.json", "no scene is left of 6 scans", "filtered: "],
    ),
    "a domain that the sector does not show": (
        lambda meta: meta["domain"].update(central_latitude=35.0, central_longitude=120.0),
        "crop",
        ["2 of 2 scenes failed", scene_ids(1)[0], "120E lies outside of sector F", "Move `domain`"],
    ),
    "no tiles asked for": (
        lambda meta: meta["sampling"].pop("triplets"),
        "tiles",
        ["meta.yaml: sampling.triplets", "asks for no triplet tiles", "N_triplets"],
    ),
    "neighbors that do not fit": (
        lambda meta: meta["sampling"]["triplets"].update(tile_N=50),
        "tiles",
        ["sampling.triplets", "do not fit", "neigh_dist_scaling"],
    ),
    "fewer scenes than collections": (
        lambda meta: meta["sampling"]["triplets"].update(N_triplets={"train": 1, "study": 1, "third": 1}),
        "tiles",
        ["2 scenes", "3 collections"],
    ),
    "a root that is a file": (
        lambda meta: meta.update(storage={"root": "meta.yaml"}),
        "crop",
        ["meta.yaml/.made_from/dataset", "cannot be written (Not a directory)", "`storage.root`"],
    ),
    "a root that cannot be written": (
        lambda meta: meta.update(storage={"root": "/proc/convml-data"}),
        "crop",
        ["/proc/convml-data/.made_from/dataset", "cannot be written", "permissions"],
    ),
    "a root of no known kind": (
        lambda meta: meta.update(storage={"root": "gopher://tiles"}),
        "crop",
        ["gopher://tiles", "no way to write to this root", "Correct `storage.root` in meta.yaml"],
    ),
}


@pytest.mark.parametrize("case", WRONG_META)
def test_wrong_meta(meta: Meta, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, command, expected = WRONG_META[case]
    change(meta)
    folder = write_meta(tmp_path / "wrong", meta)
    message = error_of(folder, command, capsys)
    assert [part for part in expected if part not in message] == [], message
    made = results(folder)
    assert [name for name in made if not name.endswith("scene_ids.json")] == []


@pytest.mark.parametrize("command", ["validate", "scene-ids", "crop", "regrid", "tiles"])
def test_no_meta(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    message = error_of(tmp_path, command, capsys)
    assert str(tmp_path / "meta.yaml") in message
    assert names_in(tmp_path) <= {"no-config", "no-credentials"}


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("meta.yaml", b"source: [goes16"),
        ("meta.yaml", b"\xff\xfe\x00"),
        ("meta.yaml", b""),
        ("meta.yaml", b"- goes16"),
        ("meta.yaml/inside", b"a folder of that name"),
    ],
)
def test_a_meta_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, content: bytes) -> None:
    folder = tmp_path / "dataset"
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_bytes(content)
    assert str(folder / "meta.yaml") in error_of(folder, "crop", capsys)


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str) -> None:
    (tmp_path / "file").touch()
    assert "file" in error_of(tmp_path / "file" / below, "crop", capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everywhere")
@pytest.mark.parametrize(("mode", "expected"), [(0o000, "Permission denied"), (0o500, "cannot be written")])
def test_a_folder_without_permission(
    meta: Meta, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, expected: str
) -> None:
    folder = write_meta(tmp_path / "closed", meta)
    folder.chmod(mode)
    try:
        assert expected in error_of(folder, "crop", capsys)
    finally:
        folder.chmod(0o700)


def test_a_home_of_dagster_that_cannot_be_made(
    meta: Meta, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))
    message = error_of(write_meta(tmp_path / "homeless", meta), "scene-ids", capsys)
    assert str(tmp_path / "file" / "home") in message
    assert "DAGSTER_HOME" in message


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("source_data/goes16/truecolor_rgb/scene_ids.json", "Run `convml-data scene-ids` to make it anew"),
        ("triplets/tile_plan.json", "Delete it and run `convml-data tiles` to make it anew"),
    ],
)
def test_a_damaged_record_and_its_remedy(
    meta: Meta, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, remedy: str
) -> None:
    folder = write_meta(tmp_path / "damaged", meta)
    assert main(["tiles", "--data-path", str(folder)]) == 0
    (folder / name).write_bytes(b"{half")
    message = error_of(folder, "tiles", capsys)
    assert str(folder / name) in message
    assert remedy in message
    if "scene-ids" in remedy:
        assert main(["scene-ids", "--data-path", str(folder)]) == 0
    else:
        (folder / name).unlink()
    assert main(["tiles", "--data-path", str(folder)]) == 0


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "gone"])
def test_a_broken_granule(
    meta: Meta, small_archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Its scene is named and the others are done; mended, only that scene is made."""
    archive = tmp_path / "archive"
    shutil.copytree(Path(small_archive.removeprefix("file://")).parent, archive)
    meta = small_meta(f"file://{archive}/noaa-{{satellite}}", scans=3)
    meta["sampling"]["triplets"]["N_triplets"] = {"train": 2}
    folder = write_meta(tmp_path / "broken", meta)
    assert main(["scene-ids", "--data-path", str(folder)]) == 0
    broken = granule(meta["archive"], scene_ids(3)[1], 3)
    content = broken.read_bytes()
    if damage == "cut off":
        broken.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        broken.write_bytes(b"<html>504 Gateway Time-out</html>".ljust(len(content)))
    else:
        broken.unlink()

    message = error_of(folder, "regrid", capsys)
    assert message.startswith("1 of 3 scenes failed; the others are done.")
    assert scene_ids(3)[1] in message
    assert broken.name in message
    done = {f"{scene}.{suffix}" for scene in (scene_ids(3)[0], scene_ids(3)[2]) for suffix in ("nc", "png")}
    assert names_in(folder / "rect") == done
    assert not list((folder / ".partial").iterdir())

    broken.write_bytes(content)
    times = {name: (folder / "rect" / name).stat().st_mtime_ns for name in done}
    assert main(["regrid", "--data-path", str(folder)]) == 0
    assert {name: (folder / "rect" / name).stat().st_mtime_ns for name in done} == times
    assert len(names_in(folder / "rect")) == 6
    assert main(["tiles", "--data-path", str(folder)]) == 0
    assert names_in(folder / "triplets/train") == tile_names(2)


@pytest.mark.slow
def test_an_endpoint_that_refuses(
    meta: Meta, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    del meta["archive"]
    message = error_of(write_meta(tmp_path / "refused", meta), "scene-ids", capsys)
    assert "noaa-goes16" in message
    assert "http://127.0.0.1:1" in message
    assert "Check `archive:` in meta.yaml" in message


def test_in_a_process_of_its_own(meta: Meta, tmp_path: Path) -> None:
    """Nothing else reaches the terminal: no warning, no log, no traceback at the end."""
    meta["time"] = {"t_start": FIRST, "t_end": end_of(1), "N_days": 1}
    done = call("tiles", "--data-path", write_meta(tmp_path / "wrong", meta))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/wrong/meta.yaml: time.N_days: ")
