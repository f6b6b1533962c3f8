"""The frame of the command line, and the commands that need no Dagster."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from convml_data import __version__
from convml_data.cli import add_data_path, build_parser, run
from convml_data.errors import SceneError

DOCUMENT = """\
source: goes17
product: truecolor_rgb
sector: M1
time:
  intervals:
    - {t_start: 2019-12-01T10:00, t_end: 2019-12-01T11:30}
    - {t_start: 2019-12-03, N_days: 2}
  filters: {N_hours_from_zenith: 4}
domain: {central_latitude: 13.3, central_longitude: -57.72, l_zonal: 300e3, l_meridional: 150e3}
sampling: {resolution: 500, triplets: {N_triplets: {train: 3, study: 1}, tile_N: 400, neigh_dist_scaling: 0.5}}
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "pacific"
    folder.mkdir()
    (folder / "meta.yaml").write_text(DOCUMENT)
    return folder


def call(*argv: str) -> int:
    return run(build_parser()[0], argv)


def test_validate_refuses_triplets_that_cannot_be_placed(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dataset / "meta.yaml"
    path.write_text(DOCUMENT.replace("l_zonal: 300e3", "l_zonal: 250e3").replace("150e3", "250e3"))
    assert call("validate", "--data-path", str(dataset)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "neigh_dist_scaling" in err


@pytest.mark.parametrize(
    ("sampling", "parts"),
    [
        (
            "sliding_window: {tile_N: 301}",
            ["sampling.sliding_window.tile_N: tiles of 301 x 301 cells do not fit into the domain's 600 x 300"],
        ),
        (
            "snap_to_grid: true, triplets: {N_triplets: 3, tile_N: 301, neigh_dist_scaling: 0.1}",
            ["sampling.snap_to_grid: tiles of 301 x 301 cells do not fit", "a larger domain"],
        ),
    ],
)
def test_validate_refuses_slices_that_the_grid_does_not_hold(
    dataset: Path, capsys: pytest.CaptureFixture[str], sampling: str, parts: list[str]
) -> None:
    path = dataset / "meta.yaml"
    text = DOCUMENT[: DOCUMENT.index("sampling:")] + f"sampling: {{resolution: 500, {sampling}}}\n"
    path.write_text(text)
    assert call("validate", "--data-path", str(dataset)) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path}: ")
    assert [part for part in parts if part not in err] == []
    path.write_text(text.replace("301", "300"))
    assert call("validate", "--data-path", str(dataset)) == 0


@pytest.mark.parametrize(
    ("product", "function"),
    [
        ("product: user_function, input: [bt_13]", "def height(da_bt_13): ..."),
        ("product: ACHA, image_function: height", "def height(da_scene): ..."),
    ],
)
def test_validate_looks_for_the_functions_of_auxiliary_products(
    dataset: Path, capsys: pytest.CaptureFixture[str], product: str, function: str
) -> None:
    (dataset / "meta.yaml").write_text(f"{DOCUMENT}aux_products: {{height: {{source: goes17, {product}}}}}\n")
    functions = dataset / "user_functions.py"
    for text, said in (
        ("", "there is no function height"),
        ("def height(da_other): ...", "height(da_other) cannot be called with da_"),
    ):
        functions.write_text(text)
        assert call("validate", "--data-path", str(dataset)) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"error: {functions}: {said}")
        assert f"Write `{function.removesuffix(' ...')}`" in err
    functions.write_text(function)
    assert call("validate", "--data-path", str(dataset)) == 0


def test_validate_says_what_the_file_describes(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate", "--data-path", str(dataset)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for fact in (
        "dataset   pacific",
        "goes17, sector M1",
        "s3://noaa-goes17",
        "product   truecolor_rgb",
        "2 spans, 2 d 1 h 30 min in all",
        "2019-12-01 10:00:00 to 2019-12-01 11:30:00, 1 h 30 min",
        "2019-12-03 00:00:00 to 2019-12-05 00:00:00, 2 d",
        "less than 4 h from local solar noon",
        "300 km × 150 km",
        "latitude 13.3°, longitude -57.72°",
        "600 × 300 cells of 500 m, bilinear",
        "train 3, study 1",
        "400 × 400 cells",
        "200 km × 200 km",
        "warning   tiles reach beyond the domain, so that data is read from 300 km × ",
        f"netcdf in {dataset}",
        "rules     file_opens: Every file opens (else an error in the UI)",
        "not_frozen: No scene shows exactly what the image before it showed (else the run fails, and its later steps",
        "collections_apart: Scenes of different collections start at least 1 h apart (else a warning)",
    ):
        assert fact in out


def test_validate_says_that_scenes_keep_coming(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dataset / "meta.yaml"
    meta = yaml.safe_load(path.read_text())
    meta["time"] = {"intervals": [{"t_start": "2019-12-01", "N_days": 1}, {"t_start": "2020-01-01", "t_end": "open"}]}
    meta["sampling"]["triplets"]["scene_collections_splitting"] = "stable_hash"
    path.write_text(yaml.safe_dump(meta))
    assert call("validate", "--data-path", str(dataset)) == 0
    out = capsys.readouterr().out
    assert "2 spans, going on (UTC)" in out
    assert "2019-12-01 00:00:00 to 2019-12-02 00:00:00, 1 d" in out
    assert "2020-01-01 00:00:00 to open, scenes keep coming" in out


def test_validate_in_the_current_folder(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset / "meta.yaml").write_text(DOCUMENT.replace("tile_N: 400", "tile_N: 200"))
    monkeypatch.chdir(dataset)
    assert call("validate") == 0
    assert "\nwarning" not in capsys.readouterr().out


def test_validate_prints_the_problems(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "meta.yaml").write_text(DOCUMENT.replace("500", "0").replace("tile_N", "tile_n"))
    assert call("validate", "--data-path", str(dataset)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {dataset / 'meta.yaml'}: 2 problems:\n")
    assert "meta.yaml: sampling.resolution: 0 is out of range" in err
    assert "meta.yaml: sampling.triplets.tile_n: unknown key (value 400); did you mean tile_N?" in err
    assert "Traceback" not in err


def test_validate_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate", "--data-path", str(tmp_path)) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'meta.yaml'}: there is no such file.")


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"source", "type", "product", "sampling"} <= set(schema["properties"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call("--version")
    assert left.value.code == 0
    assert capsys.readouterr().out == f"convml-data {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["validate", "extra"]])
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call(*argv)
    assert left.value.code == 2
    assert "usage: convml-data" in capsys.readouterr().err


def test_commands_of_another_package(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def crop(arguments: argparse.Namespace) -> int:
        sys.stdout.write(f"{arguments.data_path}\n")
        return 3

    def fail(arguments: argparse.Namespace) -> int:
        raise SceneError("scene a is broken", where="a.nc", remedy="Fetch it again")

    def interrupt(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    parser, commands = build_parser()
    for name, function in (("crop", crop), ("fail", fail), ("interrupt", interrupt)):
        command = commands.add_parser(name)
        add_data_path(command)
        command.set_defaults(command=function)
    assert run(parser, ["crop", "--data-path", str(tmp_path)]) == 3
    assert capsys.readouterr().out == f"{tmp_path}\n"
    assert run(parser, ["fail"]) == 1
    assert capsys.readouterr().err == "error: a.nc: scene a is broken. Fetch it again.\n"
    assert run(parser, ["interrupt"]) == 130


def test_a_reader_that_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from convml_data.cli import build_parser, run; sys.exit(run(build_parser()[0]))"
    done = subprocess.run([sys.executable, "-c", code, "schema"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
