"""From scenes to transforms, pictures and numbers of auxiliary fields, by commands and as assets."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
import xarray as xr
import yaml
from datasets import DOMAIN, scene_ids, small_archive_fixture, small_meta, write_meta  # noqa: F401
from networks import write_network

from convml_data_dagster.cli import main
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.instance import open_instance
from convml_data_dagster.partitions import register_scenes

TILE_N, STEP, SCANS = 16, 8, 2
WINDOWS = f"net.rect-slidingwindow.step_size__{STEP}"
ENTRY = {
    "model_path": "../net.onnx",
    "step_size": STEP,
    "tile_N": TILE_N,
    "transforms": [{"type": "pca", "args": {"n_components": 3}}, {"type": "kmeans", "args": {"n_clusters": 2}}],
    "aux_values": [{"aux_name": "red", "reduce": ["mean", "p90"], "transform": "pca_transform__n_components_3"}],
}


@pytest.fixture(scope="module")
def made(small_archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network and a dataset whose windows are embedded; to be read only."""
    folder = tmp_path_factory.mktemp("transforms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / ".dagster"))
        write_network(folder / "net.onnx", tile_n=TILE_N)
        red = {"source": "goes16", "type": "singlechannel__2", "archive": small_archive}
        dataset = write_meta(folder / "clouds", small_meta(small_archive, SCANS) | {"aux_products": {"red": red}})
        assert run(dataset, "embeddings") == 0
    return folder


@pytest.fixture
def dataset(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same once more, to be changed, with an instance of its own."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "made" / ".dagster"))
    return Path(shutil.copytree(made, tmp_path / "made")) / "clouds"


def run(dataset: Path, command: str, *argv: str) -> int:
    model = ["--model-path", str(dataset.parent / "net.onnx"), "--step-size", str(STEP), "--tile-N", str(TILE_N)]
    return main([command, "--data-path", str(dataset), *model, *argv])


def test_both_commands_of_the_older_software_give_the_same_to_draw(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(dataset, "embedding-plots", "--transform", "pca_transform") == 1
    assert "Run `convml-data transform` first" in capsys.readouterr().err
    assert run(dataset, "transform", "--transform-type", "pca") == 0
    printed = capsys.readouterr().out
    assert "(the collection train)" in printed
    assert "share of the variance: " in printed
    folder = dataset / "embeddings" / WINDOWS
    with xr.open_zarr(folder / "pca_transform.zarr", consolidated=False) as first:
        before = first.load()
    assert before["emb"].dims == ("scene_id", "pca_dim", "y", "x")
    shutil.rmtree(folder / "pca_transform.zarr")
    assert run(dataset, "transform", "--pretrained-transform-model", "pca_transform") == 0
    with xr.open_zarr(folder / "pca_transform.zarr", consolidated=False) as again:
        xr.testing.assert_identical(again.load(), before)
    assert {"lat", "lon", "scene_time", "explained_variance"} <= set(before.coords)
    assert {path.name for path in folder.glob("pca*")} == {
        "pca_transform.zarr",
        "pca_transform.skops",
        "pca_transform.json",
    }
    capsys.readouterr()
    assert run(dataset, "transform", "--pretrained-transform-model", "pca_transform", "--normalisation", "none") == 1
    message = capsys.readouterr().err
    assert "fitted on embeddings of pictures normalised by mean 0.485, 0.456, 0.406 std 0.229, 0.224, 0.225" in message
    assert "are of pictures normalised by mean 0, 0, 0 std 1, 1, 1" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "neither is given. Give a type to fit (pca,"),
        (["--transform-type", "pca", "--pretrained-transform-model", "pca_transform"], "both are given"),
        (["--transform-type", "pac"], "--transform-type: there is no transform 'pac'. There are pca,"),
        (["--transform-type", "pca", "--transform-extra-args", "n=3"], "n: is no argument of pca. It takes n_comp"),
        (["--transform-type", "pca", "--transform-extra-args", "n_components"], "'n_components' is no argument"),
        (["--pretrained-transform-model", "a", "--fit-on", "all"], "--fit-on is for fitting, and a is fitted"),
        (["--pretrained-transform-model", "a"], "there is no fitted transform 'a'. Fit one with"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    options: list[str], words: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(dataset, "transform", *options) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert words in error


def test_an_auxiliary_field_is_reduced_and_its_distribution_drawn(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(dataset, "aux-values", "--field", "red", "--reduce", "foobar") == 1
    assert "there is no reduction 'foobar'" in capsys.readouterr().err
    assert run(dataset, "aux-values", "--field", "red", "--reduce", "mean,max") == 0
    assert "72 of 72 tiles have numbers of red" in capsys.readouterr().out
    folder = dataset / "embeddings" / WINDOWS
    with xr.open_zarr(folder / "aux/red.zarr", consolidated=False) as values:
        assert (values["red__max"].values >= values["red__mean"].values).all()
    assert (folder / "plots/embeddings/red__mean.distribution.png").exists()
    assert run(dataset, "aux-values", "--field", "red", "--reduce", "min", "--transform", "nope") == 1
    assert "nope" in capsys.readouterr().err
    with xr.open_zarr(folder / "aux/red.zarr", consolidated=False) as values:
        assert "red__max" in values, "what is refused replaces nothing"


def test_sections_of_meta_yaml_are_assets_with_pictures(dataset: Path) -> None:
    meta = yaml.safe_load((dataset / "meta.yaml").read_text())
    write_meta(dataset, meta | {"embeddings": [ENTRY]})
    assert main(["regrid", "--data-path", str(dataset), "--aux-name", "red"]) == 0
    definitions = build_definitions([dataset])
    prefix = ["clouds", "embeddings", "net", f"rect-slidingwindow.step_size__{STEP}"]
    pca, kmeans, values = (
        dg.AssetKey([*prefix, *name])
        for name in (["pca_transform__n_components_3"], ["kmeans_transform__n_clusters_2"], ["aux_values", "red"])
    )
    tile_plots, maps = (dg.AssetKey([*pca.path, name]) for name in ("tile_plots", "maps"))
    keys = definitions.resolve_all_asset_keys()
    assert {pca, kmeans, values, tile_plots, maps, dg.AssetKey([*kmeans.path, "maps"])} <= set(keys)
    plan = dg.AssetKey(["clouds", "tile_plan"])
    graph = definitions.resolve_asset_graph()
    assert graph.get(pca).parent_keys == {dg.AssetKey([*prefix, "all"]), plan}
    assert graph.get(values).parent_keys >= {pca, dg.AssetKey(["clouds", "aux", "red", "regridded"])}
    instance = open_instance(dataset.parent / ".dagster")
    register_scenes(instance, "clouds", scene_ids(SCANS))
    job = definitions.resolve_implicit_global_asset_job_def()
    made = job.execute_in_process(instance=instance, asset_selection=[plan, pca, kmeans, tile_plots, values])
    assert made.success
    metadata = {
        event.asset_key: event.step_materialization_data.materialization.metadata
        for event in made.get_asset_materialization_events()
    }
    assert "share of the variance" in str(metadata[pca]["explained_variance"].value)
    assert "cluster" in str(metadata[kmeans]["clusters"].value)
    for key, name in ((tile_plots, "scatter"), (tile_plots, "dendrogram"), (values, "red__mean.distribution")):
        assert "data:image/png;base64," in str(metadata[key][name].value)
    one = job.execute_in_process(instance=instance, asset_selection=[maps], partition_key=scene_ids(SCANS)[0])
    (event,) = one.get_asset_materialization_events()
    assert "data:image/png" in str(event.step_materialization_data.materialization.metadata["rgb_0_1_2"].value)


def test_a_transform_of_another_set_comes_after_what_fits_it(dataset: Path) -> None:
    meta = yaml.safe_load((dataset / "meta.yaml").read_text())
    borrower = {
        "model_path": ENTRY["model_path"],
        "step_size": STEP + 1,
        "transforms": [{"pretrained": f"net.rect-slidingwindow.step_size__{STEP}/pca_transform__n_components_3"}],
    }
    write_meta(dataset, meta | {"embeddings": [borrower, ENTRY]})
    prefix = ["clouds", "embeddings", "net"]
    fitted = dg.AssetKey([*prefix, f"rect-slidingwindow.step_size__{STEP}", "pca_transform__n_components_3"])
    of_all = dg.AssetKey([*prefix, f"rect-slidingwindow.step_size__{STEP + 1}", "all"])
    name = f"net.rect-slidingwindow.step_size__{STEP}__pca_transform__n_components_3"
    applied = dg.AssetKey([*of_all.path[:-1], name])
    graph = build_definitions([dataset]).resolve_asset_graph()
    assert graph.get(applied).parent_keys == {of_all, fitted}
