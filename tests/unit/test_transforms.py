"""Transforms of embeddings: fitted on the collection train, applied to all, kept and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from made_embeddings import EMB_DIM, META, MISSING, N_SCENES, NX, NY, TRIPLETS, WINDOWS, keep, made_dataset, points
from made_embeddings import triplets as triplet_embeddings
from made_embeddings import windows as window_embeddings

from convml_data.embeddings.transforms import fitting
from convml_data.embeddings.transforms.fitting import apply, fit, fit_in_batches
from convml_data.embeddings.transforms.spec import TYPES, TransformSpec, read_extra_args
from convml_data.errors import ConvmlError, PlanError, StoreError
from convml_data.meta.transforms import Transform
from convml_data.pipeline.transforms import Made, make_transform
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.transforms import TransformStore

#: Arguments that suit the few embeddings here.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "pca": {"n_components": 3},
    "kmeans": {"n_clusters": 3},
    "pca_hdbscan": {"pca__n_components": 4},
    "isomap": {"n_neighbors": 30},
    "hessian_lle": {"n_neighbors": 30},
    "ltsa": {"n_neighbors": 30},
    "lle": {"n_neighbors": 30},
    "modified_lle": {"n_neighbors": 30},
    "tsne": {"perplexity": 10},
    "umap": {"n_neighbors": 10},
    "mds": {"max_iter": 20},
}


def request(type_: str, fit_on: Any = "train", **arguments: Any) -> Transform:
    return Transform(type=type_, args=arguments or ARGUMENTS.get(type_, {}), fit_on=fit_on)


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return made_dataset(tmp_path / "made")


@pytest.fixture
def windows(store: DatasetStore) -> EmbeddingStore:
    return keep(store, WINDOWS, window_embeddings())


def result(embeddings: EmbeddingStore, made: Made) -> xr.Dataset:
    with TransformStore.of(embeddings).open_result(made.name) as found:
        return found.load()


def train_scenes(store: DatasetStore) -> list[str]:
    return list(store.read_tile_plan().scenes["train"])


# All of them


@pytest.mark.parametrize("type_", TYPES)
def test_every_transform_is_fitted_applied_and_read_again(
    type_: str, store: DatasetStore, windows: EmbeddingStore
) -> None:
    made = make_transform(store, windows, request(type_))
    found = result(windows, made)
    values = found["label" if TYPES[type_].gives_labels else "emb"]
    dims = ("scene_id", "y", "x") if TYPES[type_].gives_labels else ("scene_id", f"{type_}_dim", "y", "x")
    assert values.dims == dims
    at_missing = values.isel(scene_id=MISSING[0], y=MISSING[1], x=MISSING[2])
    assert (at_missing == -1).all() if TYPES[type_].gives_labels else at_missing.isnull().all()
    there = values.sel(scene_id=train_scenes(store))
    lost = (there == -1 if TYPES[type_].gives_labels else there.isnull().any(f"{type_}_dim")).sum()
    assert lost <= 1  # the missing one
    assert made.attributes["n_missing"] == 1
    assert bool(made.warnings) == bool(made.attributes["n_not_placed"]) == (not TYPES[type_].places_new)
    assert found.attrs["transform_type"] == type_
    assert {"lat", "lon", "i0", "j0", "scene_time"} <= set(found.coords)

    again = make_transform(store, windows, Transform(pretrained=made.name))
    assert again.kept  # the same embeddings by the same transform
    (store.files.filesystem).rm(store.files.path(f"{windows.folder}/{made.name}.zarr"), recursive=True)
    again = make_transform(store, windows, Transform(pretrained=made.name))
    assert not again.kept
    xr.testing.assert_identical(result(windows, again), found)


@pytest.mark.parametrize("type_", ["pca", "kmeans", "hdbscan", "isomap", "lle", "ltsa", "tsne", "umap"])
def test_the_same_embeddings_give_the_same_transform(type_: str) -> None:
    spec = TransformSpec.of(type_, ARGUMENTS.get(type_))
    new = points(20, seed=5)
    first, second = (apply(fit(spec, points(60), 3).estimator, new) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)


def test_groups_that_lie_far_apart_are_the_clusters() -> None:
    truth = np.arange(90) % 3
    for type_ in ("kmeans", "hdbscan", "pca_hdbscan"):
        estimator = fit(TransformSpec.of(type_, ARGUMENTS.get(type_)), points(90), 0).estimator
        labels = apply(estimator, points(90, seed=4)).values
        assert len({(int(label), int(group)) for label, group in zip(labels, truth, strict=True) if label >= 0}) == 3
        assert (labels >= 0).mean() > 0.5


# What is fitted on


def test_the_fit_sees_the_collection_train_alone(store: DatasetStore, windows: EmbeddingStore) -> None:
    make_transform(store, windows, request("standard_scaler"))
    kept = TransformStore.of(windows).read_model("standard_scaler_transform")
    data = window_embeddings()["emb"]
    of_train = data.sel(scene_id=train_scenes(store))
    np.testing.assert_allclose(kept.estimator.mean_, of_train.mean(("scene_id", "y", "x")), rtol=1e-5)
    assert not np.allclose(kept.estimator.mean_, data.mean(("scene_id", "y", "x")), rtol=1e-5)
    assert not isinstance(kept.provenance, str)
    assert kept.provenance.n_scenes == len(train_scenes(store))
    everything = make_transform(store, windows, request("standard_scaler", "all"))
    assert everything.name == "standard_scaler_transform__fit_on_all"
    of_all = TransformStore.of(windows).read_model(everything.name)
    np.testing.assert_allclose(of_all.estimator.mean_, data.mean(("scene_id", "y", "x")), rtol=1e-5)


def test_tiles_of_triplets_say_which_collection_they_are_of(store: DatasetStore) -> None:
    data = triplet_embeddings(store)
    embeddings = keep(store, TRIPLETS, data)
    made = make_transform(store, embeddings, request("pca"))
    found = result(embeddings, made)
    assert found["emb"].dims == ("tile_id", "pca_dim")
    assert found.attrs["n_fitted"] == 24  # 8 triplets of train
    np.testing.assert_array_equal(found["triplet_id"], data["triplet_id"])
    of_train = data["emb"].values[data["collection"].values == "train"].astype(float)
    variances = np.linalg.eigvalsh(np.cov(of_train.T))[::-1][:3]
    np.testing.assert_allclose(found["explained_variance"], variances, rtol=1e-5)


def test_a_dataset_without_collections_is_told_what_to_do(tmp_path: Path) -> None:
    without = META | {"sampling": {"resolution": 2000.0}}
    store = made_dataset(tmp_path / "alone", without)
    embeddings = keep(store, WINDOWS, window_embeddings())
    with pytest.raises(PlanError, match=r"no collections.*--fit-on all"):
        make_transform(store, embeddings, request("pca"))
    assert make_transform(store, embeddings, request("pca", "all")).attributes["n_embeddings"] == N_SCENES * NY * NX


def test_a_plan_without_train_is_told_what_to_do(tmp_path: Path) -> None:
    triplets = {"N_triplets": {"study": 4}, "tile_N": 16}
    store = made_dataset(tmp_path / "study", META | {"sampling": {"resolution": 2000.0, "triplets": triplets}})
    embeddings = keep(store, WINDOWS, window_embeddings())
    with pytest.raises(PlanError, match=r"there are study.*--fit-on all"):
        make_transform(store, embeddings, request("pca"))


def test_some_are_drawn_to_fit_on_where_that_is_asked_for(store: DatasetStore, windows: EmbeddingStore) -> None:
    made = make_transform(store, windows, request("kmeans", n_clusters=3, n_fit=20))
    assert made.attributes["n_fitted"] == 20
    assert made.name == "kmeans_transform__n_clusters_3__n_fit_20"


def test_missing_embeddings_alone_are_nothing_to_fit_on(store: DatasetStore) -> None:
    data = window_embeddings()
    data["emb"][:] = np.nan
    with pytest.raises(PlanError, match="nothing to fit pca on"):
        make_transform(store, keep(store, WINDOWS, data), request("pca"))


def test_new_scenes_are_transformed_too(store: DatasetStore) -> None:
    some = window_embeddings().isel(scene_id=slice(0, 3))
    embeddings = keep(store, WINDOWS, some)
    first = make_transform(store, embeddings, request("pca", "all"))
    embeddings = keep(store, WINDOWS, window_embeddings())
    pretrained = make_transform(store, embeddings, Transform(pretrained=first.name))
    assert not pretrained.kept
    assert pretrained.attributes["n_embeddings"] == N_SCENES * NY * NX
    assert pretrained.attributes["n_fitted"] == 3 * NY * NX - 1


# Batches


def test_batches_give_what_all_embeddings_together_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BATCH", 16)
    rows = points(203)
    parts = np.split(rows, [1, 2, 30, 77, 200])
    for type_, arguments in (("pca", {"n_components": 4}), ("pca", {}), ("standard_scaler", {})):
        spec = TransformSpec.of(type_, arguments)
        together, apart = fit(spec, rows, 0), fit_in_batches(spec, lambda: iter(parts), EMB_DIM)
        new = points(40, seed=9)
        np.testing.assert_allclose(apply(apart.estimator, new).values, apply(together.estimator, new).values, atol=1e-4)
        if type_ == "pca":
            for name in ("explained_variance_", "explained_variance_ratio_", "noise_variance_"):
                np.testing.assert_allclose(getattr(apart.estimator, name), getattr(together.estimator, name), atol=1e-8)


def test_what_exceeds_memory_is_fitted_in_batches_or_refused(
    store: DatasetStore, windows: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = result(windows, make_transform(store, windows, request("pca")))
    store.files.remove(f"{windows.folder}/pca_transform__n_components_3.skops")
    store.files.remove(f"{windows.folder}/pca_transform__n_components_3.zarr")
    monkeypatch.setattr(fitting, "MOST_BYTES", 100)
    in_batches = result(windows, make_transform(store, windows, request("pca")))
    xr.testing.assert_allclose(in_batches, in_memory, atol=1e-4)
    with pytest.raises(PlanError, match=r"more than kmeans is fitted on in memory.*n_fit=16384"):
        make_transform(store, windows, request("kmeans"))


# Clusters of what was not fitted on


@pytest.mark.parametrize("min_samples", [1, 5])
def test_fitted_embeddings_keep_the_clusters_of_the_fit(min_samples: int) -> None:
    from sklearn.cluster import HDBSCAN

    rows = np.concatenate([points(120), np.random.default_rng(1).normal(0, 30, (40, EMB_DIM)).astype(np.float32)])
    spec = TransformSpec.of("hdbscan", {"min_cluster_size": 6, "min_samples": min_samples})
    applied = apply(fit(spec, rows, 0).estimator, rows)
    truth = HDBSCAN(min_cluster_size=6, min_samples=min_samples, copy=True).fit(rows.astype(float))
    assert -1 in truth.labels_
    np.testing.assert_array_equal(applied.values, truth.labels_)
    np.testing.assert_allclose(applied.probabilities, truth.probabilities_)
    beside = apply(fit(spec, rows, 0).estimator, rows * np.float32(1 + 1e-5))
    assert (beside.values == truth.labels_).mean() > 0.95


def test_what_lies_far_from_all_clusters_is_noise() -> None:
    estimator = fit(TransformSpec.of("hdbscan"), points(90), 0).estimator
    applied = apply(estimator, np.full((1, EMB_DIM), 500, np.float32))
    assert applied.values.tolist() == [-1]
    assert applied.probabilities is not None
    assert applied.probabilities.tolist() == [0]


# Refusals


def test_another_networks_transform_is_refused_and_both_are_named(store: DatasetStore, windows: EmbeddingStore) -> None:
    make_transform(store, windows, request("pca"))
    other = keep(
        store, "other.rect-slidingwindow.step_size__10", window_embeddings(model="other", model_sha256="b" * 64)
    )
    with pytest.raises(PlanError) as refused:
        make_transform(store, other, Transform(pretrained=f"{WINDOWS}/pca_transform__n_components_3"))
    assert all(
        part in str(refused.value) for part in ("by the network net", "aaaaaaaaaaaa", "by other", "bbbbbbbbbbbb")
    )


def test_a_transform_of_another_set_of_the_same_network_is_taken(store: DatasetStore, windows: EmbeddingStore) -> None:
    embeddings = keep(store, TRIPLETS, triplet_embeddings(store))
    make_transform(store, embeddings, request("pca"))
    made = make_transform(store, windows, Transform(pretrained=f"{TRIPLETS}/pca_transform__n_components_3"))
    assert made.name == f"{TRIPLETS}__pca_transform__n_components_3"
    assert made.attributes["fitted_on_set"] == TRIPLETS


def test_an_unknown_transform_is_answered_with_those_that_there_are(
    store: DatasetStore, windows: EmbeddingStore
) -> None:
    with pytest.raises(StoreError, match="Fit one with"):
        make_transform(store, windows, Transform(pretrained="pca_transform"))
    make_transform(store, windows, request("pca"))
    for name in ("pca_transform", "../x/pca_transform", "..", "a/b/c"):
        with pytest.raises(StoreError, match="There are pca_transform__n_components_3"):
            make_transform(store, windows, Transform(pretrained=name))


@pytest.mark.parametrize(
    ("type_", "arguments", "words"),
    [
        ("pca", {"n_components": 13}, "13 is more than the 12 dimensions"),
        ("kmeans", {"n_clusters": 500}, "needs 500 embeddings"),
        ("tsne", {"perplexity": 200}, "needs 201 embeddings"),
        ("hessian_lle", {"n_neighbors": 3}, "cannot be fitted"),
    ],
)
def test_what_cannot_be_fitted_is_told_so(
    type_: str, arguments: dict[str, Any], words: str, store: DatasetStore, windows: EmbeddingStore
) -> None:
    with pytest.raises(PlanError, match=words):
        make_transform(store, windows, request(type_, **arguments))
    assert TransformStore.of(windows).models() == []


def test_too_many_for_a_slow_method_are_refused_before_they_are_read() -> None:
    with pytest.raises(PlanError, match="n_fit=5000"):
        fitting.require_count(TransformSpec.of("isomap"), 5001, 10)


def test_a_damaged_model_is_no_transform_and_is_fitted_again(store: DatasetStore, windows: EmbeddingStore) -> None:
    made = make_transform(store, windows, request("pca"))
    name = f"{windows.folder}/{made.name}.skops"
    whole = store.files.read_bytes(name)
    store.files.write_bytes(name, whole[:-50])
    with pytest.raises(StoreError, match="about another file"):
        make_transform(store, windows, Transform(pretrained=made.name))
    assert make_transform(store, windows, request("pca")).kept  # the result follows from the same
    TransformStore.of(windows).read_model(made.name)


def test_a_model_that_would_run_code_is_refused(store: DatasetStore, windows: EmbeddingStore) -> None:
    import hashlib

    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    made = make_transform(store, windows, request("pca"))
    content = skops.io.dumps(FunctionTransformer(func=exec))
    store.files.write_bytes(f"{windows.folder}/{made.name}.skops", content)
    sidecar = f"{windows.folder}/{made.name}.json"
    values = json.loads(store.files.read_bytes(sidecar)) | {"sha256": hashlib.sha256(content).hexdigest()}
    store.files.write_bytes(sidecar, json.dumps(values).encode())
    with pytest.raises(StoreError, match="run code"):
        make_transform(store, windows, Transform(pretrained=made.name))


def test_joblib_is_read_for_those_who_trust_it(store: DatasetStore, windows: EmbeddingStore) -> None:
    import io

    import joblib

    estimator = fit(TransformSpec.of("pca", {"n_components": 2}), points(60), 0).estimator
    stream = io.BytesIO()
    joblib.dump(estimator, stream)
    store.files.write_bytes(f"{windows.folder}/old.model.joblib", stream.getvalue())
    with pytest.raises(StoreError, match=r"run code.*--trust-pickle"):
        make_transform(store, windows, Transform(pretrained="old"))
    made = make_transform(store, windows, Transform(pretrained="old", trust_pickle=True))
    emb = window_embeddings()["emb"].isel(scene_id=0).values.reshape(EMB_DIM, -1).T
    expected = estimator.transform(emb.astype(float)).T.reshape(2, NY, NX)
    np.testing.assert_allclose(result(windows, made)["emb"].isel(scene_id=0), expected, rtol=1e-5)
    assert any("which network" in warning for warning in made.warnings)


# Formats and names


def test_netcdf_holds_the_same_and_takes_the_place_of_zarr(store: DatasetStore) -> None:
    embeddings = keep(store, WINDOWS, window_embeddings(), netcdf=True)
    zarr = result(embeddings, make_transform(store, embeddings, request("pca")))
    made = make_transform(store, embeddings, Transform(type="pca", args=ARGUMENTS["pca"], format="netcdf"))
    assert made.url.endswith(f"{WINDOWS}/pca_transform__n_components_3.nc")
    xr.testing.assert_equal(result(embeddings, made), zarr)
    assert not store.files.exists(f"{embeddings.folder}/pca_transform__n_components_3.zarr")


@pytest.mark.parametrize(
    ("type_", "arguments", "words"),
    [
        ("pac", {}, "there is no transform 'pac'"),
        ("pca", {"n_clusters": 3}, "n_clusters: is no argument of pca"),
        ("standard_scaler", {"n": 3}, "it takes none"),
        ("pca_hdbscan", {}, "pca__n_components: is missing"),
        ("pca", {"n_components": "2.5"}, "n_components: '2.5' is not a whole number"),
        ("pca", {"n_components": 0}, "n_components: 0 is out of range"),
        ("tsne", {"n_components": 4}, "give a number from 1 to 3"),
        ("umap", {"min_dist": "x"}, "min_dist: 'x' is not a number"),
        ("umap", {"min_dist": True}, "not a number"),
    ],
)
def test_wrong_arguments_are_named(type_: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # of two arguments
        TransformSpec.of(type_, arguments)
    assert words in ": ".join(refused.value.args)


@pytest.mark.parametrize("text", ["n_components", "n_components=", "=3", "a=1,,b=2", "a=1,a=2"])
def test_text_that_is_no_arguments_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no argument|given twice"):
        read_extra_args(text)


def test_errors_say_where_and_what_to_do(store: DatasetStore, windows: EmbeddingStore) -> None:
    with pytest.raises(ConvmlError) as refused:
        make_transform(store, windows, request("kmeans", n_clusters=500))
    assert refused.value.where
    assert refused.value.remedy
