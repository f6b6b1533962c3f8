"""What a code location serves of the folders that it is given."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster_fixtures import write_dataset

from convml_data_dagster.definitions import build_definitions, defs

PER_SCENE = {"cropped", "regridded", "triplet_tiles"}
REPORTS = {"report/completeness", "report/files"}
FLOW = {"flow/trajectories", "flow/plots"}
ALL = PER_SCENE | REPORTS | FLOW | {"scene_ids", "tile_plan", "statistics"}
NO_TILES = {"resolution": 2000.0}


def dataset(folder: Path, **sections: object) -> Path:
    """A dataset whose archive is never looked at."""
    return write_dataset(folder, folder / "no-archive", **sections)


def keys(definitions: dg.Definitions) -> set[str]:
    """All asset keys, once Dagster has checked that the definitions fit together."""
    dg.Definitions.validate_loadable(definitions)
    return {key.to_user_string() for key in definitions.resolve_all_asset_keys()}


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def named(name: str, stages: set[str] = ALL) -> set[str]:
    return {f"{name}/{stage}" for stage in stages}


def test_the_graph_of_a_dataset(tmp_path: Path) -> None:
    definitions = build_definitions([dataset(tmp_path / "tropics")])

    assert keys(definitions) == named("tropics")
    dependencies = {key: {dep.asset_key.path[-1] for dep in spec.deps} for key, spec in specs(definitions).items()}
    assert dependencies == {
        "tropics/scene_ids": set(),
        "tropics/tile_plan": {"scene_ids"},
        "tropics/cropped": {"scene_ids"},
        "tropics/regridded": {"cropped"},
        "tropics/triplet_tiles": {"cropped", "tile_plan"},
        "tropics/statistics": {"triplet_tiles"},
        "tropics/flow/trajectories": {"regridded"},
        "tropics/flow/plots": {"trajectories", "regridded"},
        "tropics/report/completeness": {"scene_ids"},
        "tropics/report/files": {"scene_ids"},
    }


def test_slices_depend_on_the_scenes_that_they_are_cut_from(tmp_path: Path) -> None:
    sampling = NO_TILES | {"triplets": {"N_triplets": 2, "tile_N": 8}, "snap_to_grid": True}
    aux = {"height": {"source": "goes16", "type": "ACHA"}}
    found = specs(build_definitions([dataset(tmp_path / "tropics", sampling=sampling, aux_products=aux)]))

    def upstream(key: str) -> set[str]:
        return {dep.asset_key.to_user_string() for dep in found[key].deps}

    assert upstream("tropics/triplet_tiles") == {"tropics/regridded", "tropics/tile_plan"}
    assert upstream("tropics/aux/height/tiles") == {"tropics/aux/height/regridded", "tropics/tile_plan"}


def test_names_of_auxiliary_products_never_collide(tmp_path: Path) -> None:
    names = ("scene", "a-b", "a_db", "a__b")
    aux = {name: {"source": "goes16", "type": "ACHA"} for name in names}
    found = keys(build_definitions([dataset(tmp_path / "tropics", aux_products=aux)]))
    for name in names:
        for asset in ("matches", "cropped", "regridded", "tiles", "plots", "statistics"):
            assert f"tropics/aux/{name}/{asset}" in found


def test_per_scene_assets_share_one_partitions_definition_and_no_others_have_one(tmp_path: Path) -> None:
    definitions = build_definitions([dataset(tmp_path / "tropics"), dataset(tmp_path / "subtropics")])
    graph = definitions.resolve_asset_graph()

    for name in ("tropics", "subtropics"):
        for stage in ALL:
            found = graph.get(dg.AssetKey([name, *stage.split("/")])).partitions_def
            expected = dg.DynamicPartitionsDefinition(name=f"{name}_scenes") if stage in PER_SCENE else None
            assert found == expected, stage


def test_one_run_takes_many_scenes(tmp_path: Path) -> None:
    graph = build_definitions([dataset(tmp_path / "tropics")]).resolve_asset_graph()
    for stage in PER_SCENE:
        assert graph.get(dg.AssetKey(["tropics", stage])).backfill_policy == dg.BackfillPolicy.multi_run(200)


def test_a_dataset_without_triplets_has_no_tile_assets(tmp_path: Path) -> None:
    definitions = build_definitions([dataset(tmp_path / "tropics", sampling=NO_TILES)])
    assert keys(definitions) == named("tropics", {"scene_ids", "cropped", "regridded"} | REPORTS | FLOW)


def test_assets_say_what_they_are(tmp_path: Path) -> None:
    found = specs(build_definitions([dataset(tmp_path / "tropics")]))
    assert all(len(spec.description or "") > 60 for spec in found.values())
    assert "60 x 60 cells" in (found["tropics/regridded"].description or "")
    assert {spec.group_name for spec in found.values()} == {
        "tropics_scenes",
        "tropics_tiles",
        "tropics_flow",
        "tropics_report",
    }
    assert found["tropics/cropped"].kinds == {"netcdf", "png"}
    in_zarr = specs(build_definitions([dataset(tmp_path / "other", storage={"format": "zarr"})]))
    assert in_zarr["other/cropped"].kinds == {"zarr", "png"}
    assert in_zarr["other/triplet_tiles"].kinds == {"netcdf", "png"}


def test_kinds_say_where_files_and_work_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DASK_SCHEDULER_ADDRESS", "CONVML_GOES_ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    tiles = {"resolution": 2000.0, "triplets": {"N_triplets": 2, "tile_N": 16}, "format": "zarr"}
    packed = specs(build_definitions([dataset(tmp_path / "a", sampling=tiles)]))
    assert packed["a/triplet_tiles"].kinds == {"zarr", "png"}
    assert packed["a/regridded"].metadata["dagster/uri"] == str(tmp_path / "a" / "rect")

    meta = dataset(tmp_path / "b") / "meta.yaml"
    meta.write_text("\n".join(line for line in meta.read_text().splitlines() if not line.startswith("archive:")))
    public = specs(build_definitions([meta.parent]))
    assert {key for key, spec in public.items() if "s3" in spec.kinds} == {"b/scene_ids", "b/cropped"}

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:8786")
    shared = specs(build_definitions([dataset(tmp_path / "c", storage={"root": "s3://bucket/c"}, dask={})]))
    assert all("s3" in spec.kinds for spec in shared.values())
    assert {key for key, spec in shared.items() if "dask" in spec.kinds} == named("c", PER_SCENE)
    assert shared["c/triplet_tiles"].metadata["dagster/uri"] == "s3://bucket/c/triplets"


def test_editing_the_sampling_makes_only_what_depends_on_it_out_of_date(tmp_path: Path) -> None:
    folder = tmp_path / "tropics"
    before = specs(build_definitions([dataset(folder, sampling=NO_TILES)]))
    after = specs(build_definitions([dataset(folder, sampling={"resolution": 1000.0})]))
    changed = {key for key in before if before[key].code_version != after[key].code_version}
    assert changed == {"tropics/regridded"} | named("tropics", FLOW)

    tiles = {"N_triplets": 2, "tile_N": 8}
    before, after = (
        specs(build_definitions([dataset(folder, sampling=NO_TILES | {"triplets": tiles, "seed": seed})]))
        for seed in (0, 1)
    )
    assert all(spec.code_version for spec in before.values())
    changed = {key for key in before if before[key].code_version != after[key].code_version}
    assert changed == {"tropics/tile_plan", "tropics/statistics"}


def test_a_broken_meta_yaml_leaves_its_neighbour_served_and_says_what_is_wrong(tmp_path: Path) -> None:
    dataset(tmp_path / "tropics")
    dataset(tmp_path / "broken", sampling={"resolution": -1.0})
    (tmp_path / "worse").mkdir()
    (tmp_path / "worse" / "meta.yaml").write_text("source: [goes16")

    definitions = build_definitions([tmp_path])

    assert keys(definitions) > named("tropics")
    shown = {key: spec for key, spec in specs(definitions).items() if spec.group_name == "unreadable"}
    assert set(shown) == keys(definitions) - named("tropics")
    texts = sorted(spec.description or "" for spec in shown.values())
    assert len(texts) == 2
    assert str(tmp_path / "broken" / "meta.yaml") in texts[0]
    assert "sampling.resolution" in texts[0]
    assert "-1" in texts[0]
    assert str(tmp_path / "worse" / "meta.yaml") in texts[1]
    assert "line 1" in texts[1]


def test_of_two_folders_of_one_name_neither_is_served(tmp_path: Path) -> None:
    dataset(tmp_path / "a" / "tropics")
    dataset(tmp_path / "b" / "tropics")
    dataset(tmp_path / "b" / "subtropics")

    definitions = build_definitions([tmp_path / "a", tmp_path / "b"])

    (message,) = keys(definitions) - named("subtropics")
    assert keys(definitions) - {message} == named("subtropics")
    text = specs(definitions)[message].description or ""
    assert str(tmp_path / "a" / "tropics") in text
    assert str(tmp_path / "b" / "tropics") in text


def test_one_folder_named_twice_is_one_dataset(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "tropics")
    assert keys(build_definitions([folder, tmp_path, folder / ".." / "tropics"])) == named("tropics")


def test_a_place_that_is_not_there_is_shown(tmp_path: Path) -> None:
    definitions = build_definitions([tmp_path / "nowhere", dataset(tmp_path / "tropics")])
    (message,) = keys(definitions) - named("tropics")
    assert str(tmp_path / "nowhere") in (specs(definitions)[message].description or "")


class TestWhereDatasetsAreFound:
    """By ``CONVML_DATASETS``, as ``workspace.yaml`` has it."""

    @pytest.fixture(autouse=True)
    def _datasets(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            dataset(tmp_path / "several" / name)
        dataset(tmp_path / "alone")
        (tmp_path / "several" / "notes").mkdir()

    def test_the_folder_of_a_dataset(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVML_DATASETS", str(tmp_path / "alone"))
        assert keys(defs()) == named("alone")

    def test_the_parent_of_datasets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVML_DATASETS", str(tmp_path / "several"))
        assert keys(defs()) == named("first") | named("second")

    def test_a_list_of_both(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = [str(tmp_path / "several"), str(tmp_path / "alone")]
        monkeypatch.setenv("CONVML_DATASETS", os.pathsep.join(listed))
        assert keys(defs()) == named("first") | named("second") | named("alone")

    @pytest.mark.parametrize(("folder", "found"), [("alone", {"alone"}), ("several", {"first", "second"})])
    def test_the_current_directory(
        self, folder: str, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CONVML_DATASETS", raising=False)
        monkeypatch.chdir(tmp_path / folder)
        assert keys(defs()) == set().union(*map(named, found))


def test_many_datasets(tmp_path: Path) -> None:
    names = [f"dataset_{number}" for number in range(20)]
    for name in names:
        dataset(tmp_path / name)
    found = Counter(key.partition("/")[0] for key in keys(build_definitions([tmp_path])))
    assert found == dict.fromkeys(names, len(ALL))
