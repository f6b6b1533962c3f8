"""Embeddings through the command line and as assets: those of the tiles' pictures, where the tiles are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
import yaml
from datasets import FIRST, end_of, scene_ids, small_archive_fixture, small_meta, write_meta  # noqa: F401
from networks import embedding_of, write_network
from PIL import Image

from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.files import Files
from convml_data_dagster.cli import main
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.instance import open_instance
from convml_data_dagster.partitions import register_scenes

TILE_N, STEP = 16, 7
WINDOWS = f"net.rect-slidingwindow.step_size__{STEP}"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    return tmp_path / ".dagster"


@pytest.fixture(scope="module")
def made(small_archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network and a dataset of which windows and triplets are cut, and embedded; to be read only."""
    folder = tmp_path_factory.mktemp("embeddings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / ".dagster"))
        network = write_network(folder / "net.onnx", tile_n=TILE_N)
        red = {"source": "goes16", "type": "singlechannel__2", "archive": small_archive}
        dataset = write_meta(folder / "clouds", meta_of(small_archive, aux_products={"red": red}))
        assert embed(dataset, network) == 0
        assert embed(dataset, network, "--tiles-kind", "triplets", step=None) == 0
    return folder


@pytest.fixture
def network(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy2(made / "net.onnx", tmp_path))


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    """The dataset once more, to be changed."""
    return Path(shutil.copytree(made / "clouds", tmp_path / "clouds"))


def meta_of(archive: str, scans: int = 3, **sections: Any) -> dict[str, Any]:
    """A domain that is wider than it is long, of 60 x 45 cells."""
    meta = small_meta(archive, scans=scans)
    meta["domain"] = meta["domain"] | {"l_meridional": 90e3}
    meta["sampling"] = meta["sampling"] | {"sliding_window": {"tile_N": TILE_N, "step": STEP}}
    return meta | sections


def embed(dataset: Path, network: Path, *argv: str, step: int | None = STEP, tile_n: int = TILE_N) -> int:
    steps = [] if step is None else ["--step-size", str(step)]
    options = ["--data-path", str(dataset), "--model-path", str(network), "--tile-N", str(tile_n)]
    return main(["embeddings", *options, *steps, *argv])


def run(dataset: Path, *argv: str) -> int:
    return main([*argv, "--data-path", str(dataset)])


def of_all(dataset: Path, name: str = WINDOWS) -> xr.Dataset:
    with EmbeddingStore(Files(str(dataset)), name).open_all() as data:
        return data.load()


def of_scene(dataset: Path, scene_id: str, name: str = WINDOWS) -> xr.Dataset:
    with EmbeddingStore(Files(str(dataset)), name).scenes.open(scene_id) as data:
        return data.load()


def colours(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_embeddings_are_those_of_the_tiles_that_are_cut(dataset: Path, network: Path) -> None:
    """Each window against the picture and the yml of the tile, which are made by another way."""
    assert run(dataset, "tiles", "--tiles-kind", "rect-slidingwindow") == 0
    data = of_all(dataset)
    assert data["emb"].dims == ("scene_id", "emb_dim", "y", "x")
    assert data["emb"].shape == (3, 8, 5, 7)
    assert data["emb"].dtype == np.float32
    assert list(data["scene_id"].values) == scene_ids(3)
    assert (np.diff(data["y"]) > 0).all()
    tiles = sorted((dataset / f"rect-slidingwindow/tile_N_{TILE_N}__step_{STEP}").glob("*.yml"))
    assert len(tiles) == 3 * 5 * 7
    for path in tiles:
        tile = yaml.safe_load(path.read_text())
        at = data.sel(scene_id=tile["scene_id"]).sel(
            x=tile["loc"]["x_c"], y=tile["loc"]["y_c"], method="nearest", tolerance=1e-3
        )
        expected = embedding_of(network, colours(path.with_suffix(".png")))
        np.testing.assert_allclose(at["emb"], expected, rtol=1e-4, atol=1e-5)
        assert at["lat"].item() == pytest.approx(tile["loc"]["central_latitude"], abs=1e-9)
        assert at["lon"].item() == pytest.approx(tile["loc"]["central_longitude"], abs=1e-9)
        assert at["i0"].item() == tile["i0"] + TILE_N // 2
        assert at["j0"].item() == 45 - tile["jmax"] + TILE_N // 2  # from the north
        assert str(at["scene_time"].values)[:19] == tile["scene_time"][:19]
    assert len({emb.tobytes() for emb in data["emb"].values.reshape(3, 8, -1).transpose(0, 2, 1).reshape(-1, 8)}) > 100
    expected_attributes = {
        "model": "net",
        "model_format": "onnx",
        "step_size": STEP,
        "tile_nx": TILE_N,
        "tile_ny": TILE_N,
        "lx_tile": TILE_N * 2000.0,
        "ly_tile": TILE_N * 2000.0,
        "tiles_kind": "rect-slidingwindow",
        "dataset": "clouds",
        "embedding_dims": 8,
    }
    assert {name: data.attrs[name] for name in expected_attributes} == expected_attributes
    assert len(data.attrs["model_sha256"]) == 64


def test_the_pixel_at_the_centre_is_where_latitude_and_longitude_are(made: Path) -> None:
    dataset = made / "clouds"
    with xr.open_dataset(dataset / "rect" / f"{scene_ids(1)[0]}.nc", engine="h5netcdf") as scene:
        x, y = scene["x"].values, scene["y"].values
    data = of_all(dataset)
    # Tiles of an even number of cells: the centre is half a cell before the pixel.
    np.testing.assert_allclose(data["x"], x[data["i0"].values] - 1000)
    np.testing.assert_allclose(data["y"], y[len(y) - 1 - data["j0"].values] + 1000)


def test_tiles_of_triplets(made: Path) -> None:
    dataset, network = made / "clouds", made / "net.onnx"
    data = of_all(dataset, "net.triplets")
    assert data["emb"].dims == ("tile_id", "emb_dim")
    assert data.sizes == {"tile_id": 3 * (6 + 2), "emb_dim": 8}
    assert len(set(data["tile_id"].values)) == 24
    for at in (data.isel(tile_id=number) for number in range(24)):
        stem = dataset / "triplets" / at["tile_id"].item()
        tile = yaml.safe_load(stem.with_suffix(".yml").read_text())
        np.testing.assert_allclose(at["emb"], embedding_of(network, colours(stem.with_suffix(".png"))), 1e-4, 1e-5)
        assert at["scene_id"].item() == tile["scene_id"]
        assert at["collection"].item() == tile["triplet_collection"]
        assert (at["triplet_id"].item(), at["tile_type"].item()) == (tile["triplet_id"], tile["tile_type"])
        assert (at["x"].item(), at["y"].item()) == (tile["loc"]["x_c"], tile["loc"]["y_c"])
        assert at["lat"].item() == tile["loc"]["central_latitude"]


def test_a_domain_that_is_one_window_long(dataset: Path, tmp_path: Path) -> None:
    network = write_network(tmp_path / "net.onnx", tile_n=45)
    assert embed(dataset, network, tile_n=45) == 0
    data = of_all(dataset)
    assert data["emb"].shape == (3, 8, 1, 3)
    picture = colours(dataset / "rect" / f"{scene_ids(1)[0]}.png")
    np.testing.assert_allclose(data["emb"][0, :, 0, 2], embedding_of(network, picture[:, 14:59]), 1e-4, 1e-5)


def test_windows_with_missing_cells_have_no_embedding(dataset: Path, network: Path) -> None:
    first, second = scene_ids(2)
    path = dataset / "rect" / f"{first}.nc"
    with xr.open_dataset(path, engine="h5netcdf", decode_coords="all") as scene:
        changed = scene.load()
    (name,) = changed.data_vars
    changed[name][1, -3:, :2] = np.nan  # one band, in the corner in the north-west
    changed.to_netcdf(path, engine="h5netcdf")
    shutil.rmtree(dataset / "embeddings")
    assert embed(dataset, network) == 0
    data, other = of_scene(dataset, first), of_scene(dataset, second)
    without = np.isnan(data["emb"]).all("emb_dim")
    assert np.argwhere(without.values).tolist() == [[4, 0]]
    assert np.isfinite(data["emb"].where(~without, 0)).all()
    assert data["valid_share"].values[4, 0] == pytest.approx(1 - 6 / TILE_N**2)
    assert (data["valid_share"].values < 1).sum() == 1
    assert data.attrs["tiles_without_embedding"] == 1
    assert np.isfinite(other["emb"]).all()
    assert int(np.isnan(of_all(dataset)["emb"]).sum()) == 8


def test_scenes_that_come_are_added_and_those_that_changed_replaced(
    dataset: Path, network: Path, small_archive: str
) -> None:
    scenes = dataset / "embeddings" / WINDOWS / "scenes"
    times = {path.name: path.stat().st_mtime_ns for path in scenes.iterdir()}
    before = of_all(dataset)
    write_meta(dataset, meta_of(small_archive, scans=5))
    (scenes / f"{scene_ids(1)[0]}.nc").unlink()
    assert embed(dataset, network) == 0
    now = {path.name: path.stat().st_mtime_ns for path in scenes.iterdir()}
    assert {name for name, time in times.items() if now[name] != time} == {f"{scene_ids(1)[0]}.nc"}
    after = of_all(dataset)
    assert list(after["scene_id"].values) == scene_ids(5)
    xr.testing.assert_equal(after.isel(scene_id=slice(3)), before)
    write_network(network, tile_n=TILE_N, seed=1)
    write_meta(dataset, meta_of(small_archive, scans=2))
    assert embed(dataset, network, "--format", "netcdf") == 0
    others = of_all(dataset)
    assert list(others["scene_id"].values) == scene_ids(2)
    assert not (dataset / "embeddings" / WINDOWS / "all.zarr").exists()
    assert not np.allclose(others["emb"], after["emb"][:2])
    assert others.attrs["model_sha256"] != after.attrs["model_sha256"]
    np.testing.assert_array_equal(others["emb"][1], of_scene(dataset, scene_ids(2)[1])["emb"])


def test_an_auxiliary_product(dataset: Path, network: Path) -> None:
    assert embed(dataset, network, "--aux-name", "red") == 0
    data = of_scene(dataset, scene_ids(1)[0], f"red.{WINDOWS}")
    picture = colours(dataset / "rect/aux/red" / f"{scene_ids(1)[0]}.png")
    np.testing.assert_allclose(data["emb"][:, -1, 0], embedding_of(network, picture[:TILE_N, :TILE_N]), 1e-4, 1e-5)
    assert data.attrs["aux_name"] == "red"


def test_sets_of_the_meta_are_assets(dataset: Path, small_archive: str, own_home: Path, network: Path) -> None:
    windows = {"model_path": "../net.onnx", "step_size": STEP, "tile_N": TILE_N}
    sets = [windows, {"model_path": "../net.onnx", "tiles_kind": "triplets", "tile_N": TILE_N}]
    write_meta(dataset, meta_of(small_archive, embeddings=sets))
    definitions = build_definitions([dataset])
    of_windows = dg.AssetKey(["clouds", "embeddings", "net", f"rect-slidingwindow.step_size__{STEP}"])
    of_triplets = dg.AssetKey(["clouds", "embeddings", "net", "triplets"])
    of_all_windows = dg.AssetKey([*of_windows.path, "all"])
    graph = definitions.resolve_asset_graph()
    assert graph.get(of_windows).parent_keys == {dg.AssetKey(["clouds", "regridded"])}
    assert graph.get(of_triplets).parent_keys == {dg.AssetKey(["clouds", "triplet_tiles"])}
    assert graph.get(of_all_windows).parent_keys == {of_windows}
    first, second = scene_ids(2)
    shutil.rmtree(dataset / "embeddings")
    (dataset / "rect" / f"{second}.nc").unlink()  # which a launch from the UI does not make by itself
    with open_instance(own_home) as instance:
        register_scenes(instance, "clouds", scene_ids(3))
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": second}
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance, asset_selection=[of_windows], tags=tags, raise_on_error=False
        )
        said = result.get_step_failure_events()[0].step_failure_data.user_failure_data
        made = [event.materialization for event in result.all_events if event.is_step_materialization]
        together = job.execute_in_process(instance=instance, asset_selection=[of_all_windows])
        (whole,) = [event.materialization for event in together.all_events if event.is_step_materialization]
    assert said is not None
    assert "1 of 2 scenes failed; the others are done" in str(said.description)
    assert f"{second}.nc: the scene is not there, or was made from other settings" in str(said.description)
    assert [materialization.partition for materialization in made] == [first]
    assert made[0].metadata["tiles"].value == 35
    assert made[0].metadata["tiles_per_second"].value > 0
    assert made[0].metadata["embeddings"].value.startswith("![embeddings](data:image/png;base64,")
    assert whole.metadata["scenes"].value == 1
    assert whole.metadata["scenes_without"].value == 2
    assert "it has no embeddings" in whole.metadata["without"].value


@pytest.mark.parametrize(
    ("network_is", "argv", "parts"),
    [
        ({"channels": 4}, [], ["net.onnx: the network takes 4 channels, and would get pictures of 3 channels"]),
        ({"tile_n": 20}, [], ["the network takes 20 rows, and would get tiles of 16 x 16 cells", "`--tile-N 20`"]),
        ({"flat": False}, [], ["makes an array of shape (8, 16, 1, 1) of 8 tiles", "ends in embeddings"]),
        ({"tile_n": "n"}, ["--tile-N", "64"], ["tiles of 64 x 64 cells do not fit into the domain's 60 x 45"]),
        ({"tile_n": "n"}, ["--tile-N", "20", "--tiles-kind", "triplets"], ["tiles are of 16 x 16 cells", "takes 20"]),
        ({}, ["--model-path", "other.onnx"], ["other.onnx: there is no such file"]),
        ({}, ["--model-path", "net.h5"], ["model_path: ", "does not end in .onnx"]),
        ({}, ["--normalisation", "mean"], ["normalisation: 'mean' is no normalisation"]),
        ({}, ["--tiles-kind", "trajectories"], ["the dataset asks for no trajectory tiles", "sampling.trajectories"]),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(
    small_archive: str,
    tmp_path: Path,
    network_is: dict[str, Any],
    argv: list[str],
    parts: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = write_meta(tmp_path / "clouds", meta_of(small_archive))
    network = write_network(tmp_path / "net.onnx", **({"tile_n": TILE_N} | network_is))
    step = None if "--tiles-kind" in argv else STEP
    assert embed(dataset, network, *argv, step=step) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for part in parts:
        assert part in message
    assert not (dataset / "source_data").exists()


def test_a_pickle_is_refused_and_why(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled = tmp_path / "net.torch.pkl"
    pickled.write_bytes(b"\x80\x02cos\nsystem\nq\x00X\x05\x00\x00\x00falseq\x01\x85q\x02Rq\x03.")
    assert embed(dataset, pickled) == 1
    message = capsys.readouterr().err
    assert "may run any code when it is read" in message
    assert "convml-data model convert --trust-pickle net.torch.pkl net.onnx" in message


def test_without_pytorch_a_trusted_pickle_is_to_be_converted_by_a_command_that_trusts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "convml_data.embeddings.torch_encoder", None)  # as where torch is not installed
    pickled = tmp_path / "net.torch.pkl"
    pickled.write_bytes(b"\x80\x02N.")
    assert main(["model", "info", "--trust-pickle", str(pickled)]) == 1
    message = capsys.readouterr().err
    assert "pip install 'convml-data[torch]'" in message
    assert "convml-data model convert --trust-pickle net.torch.pkl net.onnx" in message


def test_the_sidecar_says_how_a_network_is_fed(
    dataset: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = network.with_suffix(".yaml")
    sidecar.write_text("tile_N: 16\nnormalisation: none\nembedding_dims: 8\n")
    assert main(["embeddings", "--data-path", str(dataset), "--model-path", str(network), "--step-size", "7"]) == 0
    data = of_scene(dataset, scene_ids(1)[0])
    assert data.attrs["normalisation"] == "mean 0, 0, 0 std 1, 1, 1"
    assert data.attrs["tile_nx"] == 16
    assert main(["model", "info", str(network)]) == 0
    assert "gives    8 dimensions" in capsys.readouterr().out
    for text, part in {
        "tile_n: 16\n": "net.yaml: tile_n: unknown key (value 16); did you mean tile_N?",
        "embedding_dims: 9\ntile_N: 16\n": "the network gives 8 dimensions, and its sidecar says 9",
        "channels: 4\n": "the network takes 4 channels, and pictures have 3",
        "precision: bfloat16\n": "precision: bfloat16 is for the formats of PyTorch",
        "- 1\n": "this sidecar holds no keys with values",
    }.items():
        sidecar.write_text(text)
        assert main(["model", "info", str(network)]) == 1
        assert part in capsys.readouterr().err


def test_a_file_that_is_no_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "net.onnx"
    damaged.write_bytes(write_network(tmp_path / "whole.onnx").read_bytes()[:500])
    assert main(["model", "info", str(damaged)]) == 1
    message = capsys.readouterr().err
    assert "net.onnx: this cannot be read as onnx" in message
    assert "Traceback" not in message
