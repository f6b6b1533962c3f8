"""A dataset whose files lie in a bucket: the chain writes to it, reads from it and gives what it gives locally."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import boto3
import dagster as dg
import numpy as np
import pytest
import s3fs
import xarray as xr
from botocore.config import Config
from dagster_fixtures import (
    SCENE_IDS,
    STAGES,
    failures,
    instance_fixture,  # noqa: F401
    materializations,
    run,
    simulated_archive_fixture,  # noqa: F401
    write_dataset,
)
from s3_server import s3_server

from convml_data.meta.dataset import load_dataset
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.definitions import build_definitions
from convml_data_dagster.partitions import scene_partitions

SCENES = SCENE_IDS[:2]
BUCKET = "users-bucket"


TILES = {"N_triplets": {"train": 2}, "tile_N": 16}
SAMPLING = {"resolution": 2000.0, "triplets": TILES}


@pytest.fixture(scope="module")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server({BUCKET: tmp_path_factory.mktemp("empty")}) as endpoint:
        s3fs.S3FileSystem.clear_instance_cache()  # they would keep the endpoint of another test's server
        yield endpoint


@pytest.fixture
def written(
    s3_endpoint: str, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, datetime]]:
    """A user with credentials; tells when each object of their bucket was written, by its key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", config=Config(proxies={}))

    def list_bucket() -> dict[str, datetime]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {item["Key"]: item["LastModified"] for page in pages for item in page.get("Contents", ())}

    return list_bucket


@pytest.mark.slow
@pytest.mark.parametrize("storage_format", ["netcdf", "zarr"])
def test_the_whole_way_in_a_bucket(
    storage_format: str,
    written: Callable[[], dict[str, datetime]],
    tmp_path: Path,
    simulated_archive: Path,
    instance: dg.DagsterInstance,
) -> None:
    root = f"s3://{BUCKET}/{storage_format}/tropics"
    folder = write_dataset(
        tmp_path / "tropics",
        simulated_archive,
        scenes=len(SCENES),
        sampling=SAMPLING,
        storage={"format": storage_format, "root": root},
    )
    definitions = build_definitions([folder])
    assert run(definitions, instance, ["scene_ids", "tile_plan"], dataset="tropics").success
    result = run(definitions, instance, ["cropped"], SCENES, dataset="tropics")
    assert result.success, failures(result)
    # The later stages begin from what lies in the bucket.
    result = run(definitions, instance, ["regridded", "triplet_tiles"], SCENES, dataset="tropics")
    assert result.success, failures(result)
    assert all(str(event.metadata["path"].value).startswith(root) for event in materializations(result))

    local_folder = write_dataset(
        tmp_path / "local", simulated_archive, scenes=len(SCENES), sampling=SAMPLING, storage={"format": storage_format}
    )
    local = build_definitions([local_folder])
    assert run(local, instance, ["scene_ids", "tile_plan"], dataset="local").success
    assert run(local, instance, STAGES, SCENES, dataset="local").success
    remote_store, local_store = (DatasetStore.of(load_dataset(each)) for each in (folder, local_folder))
    for stage in ("cropped", "regridded"):
        for scene_id in SCENES:
            one, other = (store.scenes([stage]).open(scene_id) for store in (remote_store, local_store))
            xr.testing.assert_equal(one, other)
            assert np.isfinite(one["rgb_truecolor"].values).all()
    pictures = [path for path in local_folder.rglob("*.png") if ".incomplete" not in path.parts]
    assert len(pictures) == 2 * len(SCENES) + 3 * sum(TILES["N_triplets"].values())
    for path in pictures:
        name = path.relative_to(local_folder).as_posix()
        assert remote_store.files.read_bytes(name) == path.read_bytes()

    before = written()
    assert not [key for key in before if ".partial" in key or ".incomplete" in key]
    again = run(definitions, instance, STAGES, SCENES, dataset="tropics")
    assert all(event.metadata["kept"].value is True for event in materializations(again))
    assert written() == before
    assert not [path for path in folder.rglob("*") if path.name != "meta.yaml" and ".cache" not in path.parts]

    _users_own_assets(definitions, instance, remote_store, local_store)


def _users_own_assets(
    definitions: dg.Definitions, instance: dg.DagsterInstance, remote: DatasetStore, local: DatasetStore
) -> None:
    """They take their input from the bucket and keep their result there: all scenes, one, and many."""
    regridded = dg.AssetIn(["tropics", "regridded"])
    per_scene = {"key_prefix": "tropics", "partitions_def": scene_partitions("tropics"), "io_manager_key": "tropics_io"}

    @dg.asset(key=["tropics", "mean"], ins={"scenes": regridded}, io_manager_key="tropics_io")
    def mean(scenes: Mapping[str, xr.DataArray]) -> xr.DataArray:
        return sum(scenes.values()) / len(scenes)

    @dg.asset(ins={"scene": regridded, "mean": dg.AssetIn(["tropics", "mean"])}, **per_scene)
    def anomaly(scene: xr.DataArray, mean: xr.DataArray) -> xr.DataArray:
        return scene - mean

    @dg.asset(ins={"scenes": regridded}, backfill_policy=dg.BackfillPolicy.single_run(), **per_scene)
    def doubled(scenes: Mapping[str, xr.Dataset]) -> Mapping[str, xr.Dataset]:
        return {scene_id: 2 * scene for scene_id, scene in scenes.items()}

    merged = dg.Definitions.merge(definitions, dg.Definitions(assets=[mean, anomaly, doubled]))
    for asset, scene_ids in {"mean": [], "anomaly": SCENES[:1], "doubled": SCENES}.items():
        result = run(merged, instance, [asset], scene_ids, dataset="tropics")
        assert result.success, failures(result)
        assert remote.scenes([asset]).stored() == (list(scene_ids) or ["data"])

    def kept(asset: str, key: str) -> np.ndarray:
        (field,) = remote.scenes([asset]).open(key).data_vars.values()
        return np.asarray(field.values)

    scenes = [local.scenes(["regridded"]).open(scene_id)["rgb_truecolor"].values for scene_id in SCENES]
    np.testing.assert_allclose(kept("mean", "data"), np.mean(scenes, axis=0), rtol=1e-5)
    np.testing.assert_allclose(kept("anomaly", SCENES[0]), scenes[0] - np.mean(scenes, axis=0), atol=1e-4)
    np.testing.assert_array_equal(kept("doubled", SCENES[1]), 2 * scenes[1])
