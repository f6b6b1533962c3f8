"""Assets of a user's own that read and write scenes through a dataset's IO manager."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import xarray as xr
import yaml

from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.made_from import scene_fingerprint
from convml_data.scenes.ids import parse_scene_id
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan, SourceFile
from convml_data.store.arrays import ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.store.files import Files
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.io_managers import Scenes
from convml_data_dagster.partitions import register_scenes, scene_partitions

SCENE_IDS = [f"goes16__2020020214{minute}" for minute in ("00", "10", "20", "30")]
REGRIDDED = dg.AssetIn(["tropics", "regridded"])
PER_SCENE: dict[str, Any] = {
    "key_prefix": "tropics",
    "partitions_def": scene_partitions("tropics"),
    "io_manager_key": "tropics_io",
}
MANY_SCENES: dict[str, Any] = PER_SCENE | {"backfill_policy": dg.BackfillPolicy.single_run()}


@pytest.fixture(params=["netcdf", "zarr", "netcdf in memory", "zarr in memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The section of that name in ``meta.yaml``, for files of this machine and for those that fsspec knows."""
    storage_format, _, elsewhere = request.param.partition(" ")
    return {"format": storage_format} | ({"root": f"memory://{tmp_path.name}"} if elsewhere else {})


@dataclasses.dataclass
class User:
    """Somebody with a dataset of four regridded scenes and assets of their own."""

    folder: Path
    store: DatasetStore
    instance: dg.DagsterInstance

    def run(self, asset: dg.AssetsDefinition, *scene_ids: str) -> dg.ExecuteInProcessResult:
        """Materialize their asset beside the dataset's, for a range of scenes if any are given."""
        tags = {}
        if scene_ids:
            tags = {
                "dagster/asset_partition_range_start": scene_ids[0],
                "dagster/asset_partition_range_end": scene_ids[-1],
            }
        definitions = dg.Definitions.merge(build_definitions([self.folder]), dg.Definitions(assets=[asset]))
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=list(asset.keys),
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def kept(self, asset: str, key: str) -> xr.Dataset:
        """What lies on disk."""
        return self.store.scenes([asset]).open(key).load()


@pytest.fixture
def user(storage: dict[str, str], tmp_path: Path) -> Iterator[User]:
    folder = tmp_path / "tropics"
    folder.mkdir()
    meta = {
        "source": "goes16",
        "product": "truecolor_rgb",
        "time": {"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:39"},
        "domain": {"central_latitude": 13.3, "central_longitude": -57.7, "l_zonal": 8e3, "l_meridional": 6e3},
        "sampling": {"resolution": 1e3},
        "storage": storage,
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    store = DatasetStore.of(load_dataset(folder))
    rows = tuple(ledger_row(scene_id) for scene_id in SCENE_IDS)
    store.write_ledger(Ledger("goes16", "truecolor_rgb", "nowhere", "made by hand", rows))
    for number, row in enumerate(rows):
        data = scene(store, number).assign_attrs(fingerprint=scene_fingerprint(store.dataset, "regridded", row))
        store.scenes(["regridded"]).write(row.scene_id, data)
    with dg.DagsterInstance.ephemeral() as instance:
        register_scenes(instance, "tropics", SCENE_IDS)
        yield User(folder, store, instance)


def ledger_row(scene_id: str) -> LedgerRow:
    _, start = parse_scene_id(scene_id)
    return LedgerRow(scene_id, Scan(start, start, "goes16", 6, {"1": SourceFile(f"file:///{scene_id}.nc", 1)}))


def scene(store: DatasetStore, number: int) -> xr.Dataset:
    """Reflectances that tell scene, band and place; a corner without values."""
    grid = store.dataset.grid
    ny, nx = grid.shape
    field = 100 * number + np.arange(3 * ny * nx, dtype=np.float32).reshape(3, ny, nx)
    field[:, 0, 0] = np.nan
    return xr.Dataset(
        {"rgb_truecolor": (("bands", "y", "x"), field, {"units": "%", "grid_mapping": "local_projection"})},
        {"y": grid.y, "x": grid.x, "local_projection": ((), 0, grid.crs.to_cf())},
        {"satellite": "goes16"},
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the one failed step says; never a traceback."""
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None, event.step_failure_data.error.to_string()
    return str(data.description)


def logged(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    """Metadata by partition."""
    assert result.success
    events = [event.materialization for event in result.all_events if event.is_step_materialization]
    return {event.partition: {name: value.value for name, value in event.metadata.items()} for event in events}


def test_the_example_in_the_documentation(user: User) -> None:
    @dg.asset(
        key=["tropics", "brightness"],
        ins={"scene": dg.AssetIn(["tropics", "regridded"])},
        partitions_def=scene_partitions("tropics"),
        io_manager_key="tropics_io",
    )
    def brightness(scene: xr.DataArray) -> xr.DataArray:
        return scene.mean("bands")

    metadata = logged(user.run(brightness, SCENE_IDS[1]))

    found = user.kept("brightness", SCENE_IDS[1])["rgb_truecolor"]
    expected = scene(user.store, 1)["rgb_truecolor"].mean("bands")
    np.testing.assert_array_equal(found.values, expected.values)
    assert np.isnan(found.values[0, 0])
    assert set(metadata) == {SCENE_IDS[1]}
    assert metadata[SCENE_IDS[1]]["valid_share"] == pytest.approx(47 / 48)
    assert metadata[SCENE_IDS[1]]["path"] == user.store.scenes(["brightness"]).url(SCENE_IDS[1])
    assert user.store.scenes(["brightness"]).stored() == [SCENE_IDS[1]]
    # Where the field lies on earth is still known.
    assert found.attrs["grid_mapping"] == "local_projection"
    assert found["local_projection"].attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"


def test_many_scenes_in_one_run(user: User) -> None:
    seen: list[Any] = []

    @dg.asset(ins={"scenes": REGRIDDED}, **MANY_SCENES)
    def maximum(scenes: Mapping[str, xr.DataArray]) -> Mapping[str, xr.DataArray]:
        seen.append(scenes)
        return {scene_id: field.max("bands") for scene_id, field in scenes.items()}

    metadata = logged(user.run(maximum, *SCENE_IDS[1:]))

    assert isinstance(seen[0], Scenes)
    assert list(seen[0]) == SCENE_IDS[1:], "in time order"
    assert set(metadata) == set(SCENE_IDS[1:])
    for number, scene_id in enumerate(SCENE_IDS[1:], start=1):
        expected = scene(user.store, number)["rgb_truecolor"].max("bands")
        np.testing.assert_array_equal(user.kept("maximum", scene_id)["rgb_truecolor"].values, expected.values)
        assert metadata[scene_id]["path"] == user.store.scenes(["maximum"]).url(scene_id)

    assert set(logged(user.run(maximum, SCENE_IDS[0]))) == {SCENE_IDS[0]}
    assert list(seen[1]) == [SCENE_IDS[0]], "one partition of many is a mapping too"


def test_one_field_from_all_scenes(user: User) -> None:
    @dg.asset(key=["tropics", "mean"], ins={"scenes": REGRIDDED}, io_manager_key="tropics_io")
    def mean(scenes: Mapping[str, xr.DataArray]) -> xr.DataArray:
        return sum(field for field in scenes.values()) / len(scenes)

    (metadata,) = logged(user.run(mean)).values()

    (found,) = user.kept("mean", "data").data_vars.values()
    np.testing.assert_array_equal(found.values, scene(user.store, 0)["rgb_truecolor"].values + 150)
    assert metadata["path"] == user.store.scenes(["mean"]).url("data")

    @dg.asset(ins={"scene": REGRIDDED, "mean": dg.AssetIn(["tropics", "mean"])}, **PER_SCENE)
    def anomaly(scene: xr.DataArray, mean: xr.DataArray) -> xr.DataArray:
        return scene - mean

    definitions = dg.Definitions(assets=[mean, anomaly])
    job = dg.Definitions.merge(build_definitions([user.folder]), definitions).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=user.instance, asset_selection=[anomaly.key], partition_key=SCENE_IDS[3], raise_on_error=False
    )
    assert result.success
    (found,) = user.kept("anomaly", SCENE_IDS[3]).data_vars.values()
    assert np.nanmax(abs(found.values - 150)) == 0


def test_datasets_come_and_go_as_datasets(user: User) -> None:
    @dg.asset(ins={"scene": REGRIDDED}, **PER_SCENE)
    def indices(scene: xr.Dataset) -> xr.Dataset:
        assert scene.attrs["satellite"] == "goes16"
        red, green = (scene["rgb_truecolor"].isel(bands=band) for band in (0, 1))
        return xr.Dataset({"ratio": red / green, "difference": green - red}).assign_attrs(made_by="test")

    metadata = logged(user.run(indices, SCENE_IDS[0]))

    found = user.kept("indices", SCENE_IDS[0])
    assert set(found.data_vars) == {"ratio", "difference"}
    assert found.attrs == {"made_by": "test"}
    assert metadata[SCENE_IDS[0]]["valid_share"] == pytest.approx(47 / 48)

    @dg.asset(ins={"found": dg.AssetIn(["tropics", "indices"])}, **PER_SCENE)
    def one(found: xr.DataArray) -> xr.DataArray:
        return found

    indices_and_one = dg.Definitions(assets=[indices, one])
    merged = dg.Definitions.merge(build_definitions([user.folder]), indices_and_one)
    result = merged.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=user.instance, asset_selection=[one.key], partition_key=SCENE_IDS[0], raise_on_error=False
    )
    assert "holds 2 variables (ratio, difference)" in failure(result) or "(difference, ratio)" in failure(result)


def test_values_are_read_when_they_are_used(user: User) -> None:
    in_memory: list[bool] = []

    @dg.asset(ins={"scenes": REGRIDDED}, key=["tropics", "first"], io_manager_key="tropics_io")
    def first(scenes: Mapping[str, xr.DataArray]) -> xr.DataArray:
        field = scenes[SCENE_IDS[0]]
        in_memory.append(field.variable._in_memory)
        in_memory.append(field.load().variable._in_memory)
        in_memory.append(scenes[SCENE_IDS[0]].variable._in_memory)
        return field

    assert user.run(first).success
    assert in_memory == [False, True, False], "a mapping of many scenes holds none of them"


@pytest.mark.parametrize("storage", ["zarr", "netcdf in memory", "zarr in memory"], indirect=True)
def test_writing_again_replaces(user: User) -> None:
    values = iter([1.0, 2.0])

    @dg.asset(**PER_SCENE)
    def constant() -> xr.DataArray:
        return xr.DataArray(np.full((2, 3), next(values)), dims=("y", "x"))

    for expected in (1.0, 2.0):
        assert user.run(constant, SCENE_IDS[0]).success
        found = user.kept("constant", SCENE_IDS[0])["constant"]
        assert (found.values == expected).all()


def _explodes() -> xr.DataArray:
    """A field whose values cannot be computed once the writing has begun."""
    import dask.array

    def explode(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of disk")

    values = dask.array.ones((4, 5), chunks=(2, 5)).map_blocks(explode, dtype=float, meta=np.empty((0, 0)))
    return xr.DataArray(values, dims=("y", "x"))


def test_a_write_that_fails_leaves_nothing_under_the_final_name(user: User) -> None:
    whole = xr.DataArray(np.ones((4, 5)), dims=("y", "x"))
    returned: Iterator[Mapping[str, xr.DataArray]] = iter(
        [
            {SCENE_IDS[0]: whole, SCENE_IDS[1]: _explodes()},
            {SCENE_IDS[0]: _explodes(), SCENE_IDS[1]: whole},
        ]
    )

    @dg.asset(**MANY_SCENES)
    def fragile() -> Mapping[str, xr.DataArray]:
        return next(returned)

    result = user.run(fragile, *SCENE_IDS[:2])
    assert not result.success
    assert user.store.scenes(["fragile"]).stored() == [SCENE_IDS[0]]
    assert (user.kept("fragile", SCENE_IDS[0])["fragile"] == 1).all()
    assert not [event for event in result.all_events if event.is_step_materialization]

    # Nor does it harm what was there.
    assert not user.run(fragile, *SCENE_IDS[:2]).success
    assert (user.kept("fragile", SCENE_IDS[0])["fragile"] == 1).all()
    if user.store.files.is_local:
        assert list(Path(user.store.files.path(".partial")).iterdir()) == []


@pytest.mark.parametrize("storage", ["netcdf"], indirect=True)
class TestWhatGoesWrong:
    """Each is told in one sentence that says what to do."""

    def test_a_scene_that_is_not_there(self, user: User) -> None:
        user.store.files.remove(user.store.scenes(["regridded"]).name(SCENE_IDS[2]))

        @dg.asset(ins={"scene": REGRIDDED}, **PER_SCENE)
        def one(scene: xr.DataArray) -> xr.DataArray:
            return scene

        message = failure(user.run(one, SCENE_IDS[2]))
        assert "tropics/regridded is not there" in message
        assert f"rect/{SCENE_IDS[2]}.nc" in message
        assert "materialize it" in message

    def test_some_of_many_that_are_not_there(self, user: User) -> None:
        user.store.files.remove(user.store.scenes(["regridded"]).name(SCENE_IDS[2]))

        @dg.asset(ins={"scenes": REGRIDDED}, key=["tropics", "mean"], io_manager_key="tropics_io")
        def mean(scenes: Mapping[str, xr.DataArray]) -> xr.DataArray:
            raise AssertionError("it must not be asked")

        message = failure(user.run(mean))
        assert f"not there for 1 of 4 partitions, the first being {SCENE_IDS[2]}" in message
        assert "allow_missing_partitions" in message

    def test_going_on_without_them_is_asked_for_by_metadata(self, user: User) -> None:
        user.store.files.remove(user.store.scenes(["regridded"]).name(SCENE_IDS[2]))
        seen: list[list[str]] = []
        scenes_there = dg.AssetIn(["tropics", "regridded"], metadata={"allow_missing_partitions": True})

        @dg.asset(ins={"scenes": scenes_there}, key=["tropics", "last"], io_manager_key="tropics_io")
        def last(scenes: Mapping[str, xr.DataArray]) -> xr.DataArray:
            seen.append(list(scenes))
            return scenes[SCENE_IDS[3]]

        assert user.run(last).success
        assert seen == [[SCENE_IDS[0], SCENE_IDS[1], SCENE_IDS[3]]]

    def test_a_file_that_does_not_open(self, user: User) -> None:
        user.store.files.write_bytes(user.store.scenes(["regridded"]).name(SCENE_IDS[2]), b"no netCDF")

        @dg.asset(ins={"scene": REGRIDDED}, **PER_SCENE)
        def one(scene: xr.DataArray) -> xr.DataArray:
            return scene

        message = failure(user.run(one, SCENE_IDS[2]))
        assert f"rect/{SCENE_IDS[2]}.nc: this cannot be opened" in message

    def test_many_partitions_for_an_asset_that_takes_one(self, user: User) -> None:
        @dg.asset(ins={"scene": REGRIDDED}, **MANY_SCENES)
        def one(scene: xr.DataArray) -> xr.DataArray:
            return scene

        message = failure(user.run(one, *SCENE_IDS[:3]))
        assert "comes with 3 partitions" in message
        assert "Mapping[str, xarray.DataArray]" in message

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            (np.ones((2, 2)), "expected an xarray.DataArray or Dataset to write, got ndarray"),
            (None, "got NoneType"),
            ({}, f"a mapping of scene ID to field for {SCENE_IDS[0]}, and returned one for no scene"),
            ({SCENE_IDS[1]: xr.DataArray(1.0)}, f"for {SCENE_IDS[0]}, and returned one for {SCENE_IDS[1]}"),
            ({SCENE_IDS[0]: "text"}, "got str"),
        ],
        ids=["an array without axes", "nothing", "no scene", "another scene", "text"],
    )
    def test_a_wrong_return_for_one_partition(self, returned: object, said: str, user: User) -> None:
        @dg.asset(**PER_SCENE)
        def wrong() -> Any:
            return returned

        message = failure(user.run(wrong, SCENE_IDS[0]))
        assert said in message
        assert user.store.scenes(["wrong"]).stored() == []

    @pytest.mark.parametrize("returns", [lambda field: field, lambda field: field.to_dataset(name="a")])
    def test_one_field_for_many_partitions(self, returns: Callable[[xr.DataArray], object], user: User) -> None:
        returned = returns(xr.DataArray(np.ones((2, 2)), dims=("y", "x")))

        @dg.asset(**MANY_SCENES)
        def wrong() -> Any:
            return returned

        message = failure(user.run(wrong, *SCENE_IDS))
        assert "was to return a mapping of scene ID to field" in message
        assert f"{SCENE_IDS[0]}, {SCENE_IDS[1]}, {SCENE_IDS[2]} and 1 more" in message
        assert f"returned a {type(returned).__name__}" in message
        assert user.store.scenes(["wrong"]).stored() == []

    def test_a_meta_yaml_that_broke_since_the_definitions_were_loaded(self, user: User) -> None:
        @dg.asset(ins={"scene": REGRIDDED}, **PER_SCENE)
        def one(scene: xr.DataArray) -> xr.DataArray:
            return scene

        definitions = dg.Definitions.merge(build_definitions([user.folder]), dg.Definitions(assets=[one]))
        (user.folder / "meta.yaml").write_text("source: goes99")
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=user.instance, asset_selection=[one.key], partition_key=SCENE_IDS[0], raise_on_error=False
        )
        assert str(user.folder / "meta.yaml") in failure(result)


class TestScenes:
    """The mapping that an asset gets for many scenes."""

    @pytest.fixture
    def scenes(self, tmp_path: Path) -> Scenes:
        arrays = ArrayStore(Files(str(tmp_path)), "rect", "netcdf")
        for number, scene_id in enumerate(SCENE_IDS):
            arrays.write(scene_id, xr.Dataset({"field": ("x", np.array([float(number)]))}))
        return Scenes(arrays, tuple(SCENE_IDS), as_array=True)

    def test_it_is_a_mapping(self, scenes: Scenes) -> None:
        assert isinstance(scenes, Mapping)
        assert isinstance(scenes, dict), "Dagster checks"
        assert len(scenes) == 4
        assert list(scenes) == list(scenes.keys()) == SCENE_IDS
        assert SCENE_IDS[0] in scenes
        assert "goes16__201901010000" not in scenes
        assert scenes.get("goes16__201901010000") is None
        with pytest.raises(KeyError):
            scenes["goes16__201901010000"]
        assert "4 scenes" in repr(scenes)

    @pytest.mark.parametrize(
        "made",
        [
            dict,
            lambda scenes: {**scenes},
            lambda scenes: scenes.copy(),
            lambda scenes: scenes | {},
            lambda scenes: {} | scenes,
            lambda scenes: dict(scenes.items()),
            lambda scenes: dict(zip(scenes, scenes.values(), strict=True)),
        ],
    )
    def test_however_a_dict_is_made_of_it_holds_the_scenes(
        self, made: Callable[[Scenes], dict[str, xr.DataArray]], scenes: Scenes
    ) -> None:
        found = made(scenes)
        assert type(found) is dict
        assert list(found) == SCENE_IDS
        for number, field in enumerate(found.values()):
            assert field.values == [number]

    @pytest.mark.parametrize(
        "change",
        [
            lambda scenes: scenes.__setitem__("a", 1),
            lambda scenes: scenes.__delitem__(SCENE_IDS[0]),
            lambda scenes: scenes.update({"a": 1}),
            lambda scenes: scenes.setdefault("a", 1),
            lambda scenes: scenes.pop(SCENE_IDS[0]),
            lambda scenes: scenes.popitem(),
            lambda scenes: scenes.clear(),
            lambda scenes: scenes.__ior__({"a": 1}),
        ],
    )
    def test_it_does_not_pretend_to_be_changed(self, change: Callable[[Any], object], scenes: Scenes) -> None:
        with pytest.raises(TypeError, match="cannot be changed"):
            change(scenes)
        assert list(scenes) == SCENE_IDS


def test_scenes_of_an_earlier_meta_yaml_are_not_given_out_unawares(user: User) -> None:
    @dg.asset(ins={"regridded": REGRIDDED}, **PER_SCENE)
    def used(regridded: xr.DataArray) -> xr.DataArray:
        return regridded

    path = user.folder / "meta.yaml"
    path.write_text(path.read_text().replace("13.3", "12.9"))
    message = failure(user.run(used, SCENE_IDS[1]))
    assert "tropics/regridded was made from another meta.yaml" in message
    assert f"1 of 1 partitions, the first being {SCENE_IDS[1]}; materialize it again" in message
