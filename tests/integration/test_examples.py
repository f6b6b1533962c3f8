"""The examples of the repository and of its documentation, run as a user runs them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import dagster_home_fixture, names_in, tile_names  # noqa: F401
from PIL import Image

from convml_data.geometry.local import LocalDomain
from convml_data.simulate import truth
from convml_data.sources.goes.operational import SERVICES
from convml_data_dagster.cli import main

pytestmark = pytest.mark.usefixtures("dagster_home")

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "split_window"


def run(command: str, dataset: Path, *arguments: str) -> int:
    return main([command, *arguments, "--data-path", str(dataset)])


def scene_in(file: Path) -> xr.Dataset:
    with xr.open_dataset(file, engine="h5netcdf") as scene:
        return scene.load()


@pytest.fixture
def split_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, and an archive for it."""
    dataset = Path(shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.name))
    assert run("simulate", dataset, str(dataset / "archive")) == 0
    monkeypatch.setenv("CONVML_GOES_ARCHIVE", f"file://{dataset}/archive/noaa-{{satellite}}")
    return dataset


def test_the_split_window_example_to_tiles(split_window: Path) -> None:
    assert [run(command, split_window) for command in ("validate", "regrid", "tiles")] == [0, 0, 0]
    rect = split_window / "rect"
    scenes = ["goes16__202002021400", "goes16__202002021410", "goes16__202002021420"]
    assert names_in(rect) == {f"{scene}.{ending}" for scene in scenes for ending in ("nc", "png")}

    meta = yaml.safe_load((split_window / "meta.yaml").read_text())
    domain = LocalDomain(*(float(meta["domain"][key]) for key in DOMAIN_KEYS))
    scene = scene_in(rect / f"{scenes[1]}.nc")
    difference = scene["split_window"]
    assert difference.dims == ("y", "x")
    assert difference.attrs["units"] == "K"
    assert scene.attrs["inputs"] == "bt_14, bt_15"
    lon, lat = domain.to_lonlat(*np.meshgrid(scene["x"], scene["y"]))
    cropped = scene_in(split_window / "source_data/goes16/user_function/cropped" / f"{scenes[1]}.nc")
    (start, _) = cropped["channel_start_time"].values
    expected = np.subtract(
        *(truth.brightness_temperature(n, lon, lat, np.datetime64(start).astype(object)) for n in (14, 15))
    )
    assert np.isfinite(difference).all()
    assert np.ptp(expected) > 1
    # Pixels of 2 km of clouds that vary within them, in counts of a tenth of a kelvin.
    assert np.abs(difference - expected).mean() < 0.1
    assert np.corrcoef(np.ravel(difference), np.ravel(expected))[0, 1] > 0.95

    with Image.open(rect / f"{scenes[1]}.png") as picture:
        drawn = np.asarray(picture)
    shade = np.clip((difference.values[::-1] - 1) / 2.5, 0, 1)
    np.testing.assert_allclose(drawn, 255 * np.stack([shade, shade, 1 - shade], -1), atol=0.51)

    assert names_in(split_window / "triplets" / "train") == tile_names(2)
    assert names_in(split_window / "triplets" / "study") == tile_names(1)
    assert scene_in(split_window / "triplets/train/00000_anchor.nc")["split_window"].shape == (32, 32)


def test_an_edit_of_the_function_makes_the_data_anew(split_window: Path) -> None:
    assert run("regrid", split_window) == 0
    scene = split_window / "rect" / "goes16__202002021400.nc"
    before = scene_in(scene)["split_window"]
    functions = split_window / "user_functions.py"
    functions.write_text(functions.read_text().replace("(da_bt_14 - da_bt_15)", "(da_bt_15 - da_bt_14)"))
    assert run("regrid", split_window) == 0
    np.testing.assert_array_equal(scene_in(scene)["split_window"], -before)


DOMAIN_KEYS = ("central_latitude", "central_longitude", "l_zonal", "l_meridional")


# The documentation


def examples_in(page: str, section: str) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("number", "file", "command", "made"),
    [
        (0, "movie000.nc", "tiles", "triplets/train/00001_distant.nc"),
        (1, "mercator_sample.nc", "regrid", "rect/LES__200508281500.nc"),
    ],
    ids=["DALES", "WRF"],
)
def test_the_examples_of_models(
    tmp_path: Path, shared_data: Path, number: int, file: str, command: str, made: str
) -> None:
    dataset = tmp_path / "model"
    (dataset / "source_data" / "LES").mkdir(parents=True)
    shutil.copy(shared_data / "les" / file, dataset / "source_data" / "LES")
    (dataset / "meta.yaml").write_text(examples_in("models.md", "Two examples")[number])
    assert run(command, dataset) == 0
    scene = scene_in(dataset / made)
    (field,) = scene.data_vars.values()
    assert np.isfinite(field).mean() > 0.9
    assert "bands" not in field.dims or field["bands"].values.tolist() == ["qt", "thl", "u"]


def test_the_example_of_ceres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "ceres.md").read_text()
    block = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    dataset = tmp_path / "ceres"
    dataset.mkdir()
    (dataset / "meta.yaml").write_text(block[1])
    assert run("simulate", dataset, str(dataset / "archive")) == 0
    monkeypatch.setenv("CONVML_CERES_ARCHIVE", f"file://{dataset}/archive")
    assert run("regrid", dataset) == 0
    field = scene_in(dataset / "rect" / "ceres__202002021430.nc")["cloud_top_height"]
    assert field.attrs["units"] == "km"
    assert 0.5 < float(field.min()) < float(field.max()) < 3.1
    assert 0.2 < float(np.isfinite(field).mean()) < 0.5


def test_the_change_of_satellite_that_the_documentation_simulates(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "simulate.md").read_text()
    command = re.search(r"convml-data (simulate archive --satellite goes_east[^`]*)```", text)
    assert command is not None
    arguments = command[1].replace("\\\n", " ").replace("archive", str(tmp_path / "archive"), 1).split()
    assert main([*arguments, "--data-path", str(tmp_path)]) == 0
    folders = sorted(path.relative_to(tmp_path / "archive").parts[0] for path in tmp_path.rglob("*.nc"))
    assert folders == ["noaa-goes16", "noaa-goes19", "noaa-goes19"]
    assert {service.satellite for service in SERVICES["goes_east"]} == {"goes16", "goes19"}
