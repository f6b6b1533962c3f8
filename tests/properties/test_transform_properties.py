"""Properties of transforms of embeddings: names and arguments, and files of fitted ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from convml_data.embeddings.transforms.fitting import apply, fit
from convml_data.embeddings.transforms.model_files import Provenance, from_bytes, to_bytes
from convml_data.embeddings.transforms.neighbours import DensityClusters, NeighbourMean, membership
from convml_data.embeddings.transforms.spec import TYPES, Argument, TransformSpec, read_extra_args


def value_of(argument: Argument) -> st.SearchStrategy[Any]:
    most = argument.most or 10_000
    if argument.kind is int:
        return st.integers(int(argument.least), int(most))
    return st.floats(argument.least, most)


@st.composite
def specs(draw: st.DrawFn) -> TransformSpec:
    type_ = draw(st.sampled_from(sorted(TYPES)))
    of = TYPES[type_]
    names = [name for name in of.arguments if name in of.required or draw(st.booleans())]
    arguments = {name: draw(value_of(of.arguments[name])) for name in draw(st.permutations(names))}
    return TransformSpec.of(type_, arguments, draw(st.sampled_from(["train", "all"])))


@given(specs())
def test_arguments_are_written_as_they_are_read(spec: TransformSpec) -> None:
    assert TransformSpec.of(spec.type, read_extra_args(spec.extra_args), spec.fit_on) == spec


@given(specs(), specs())
def test_other_transforms_have_other_names(first: TransformSpec, second: TransformSpec) -> None:
    assert (first.name == second.name) == (first == second)
    assert not set(first.name) & set("/ ,=")


@given(specs(), st.text(max_size=5), st.lists(st.text(max_size=9), max_size=2), st.integers(0, 2**32 - 1))
def test_provenance_is_read_as_it_was_written(spec: TransformSpec, model: str, notes: list[str], seed: int) -> None:
    provenance = Provenance(
        spec.type,
        dict(spec.arguments),
        spec.fit_on,
        "set",
        model,
        "0f",
        "mean 0, 0, 0 std 1, 1, 1",
        3,
        9,
        2,
        seed,
        "f",
        tuple(notes),
        {"numpy": "2"},
    )
    assert Provenance.from_json(provenance.to_json("ab"), "ab", "here") == provenance
    assert provenance.spec == spec


ROWS = arrays.arrays(np.float32, (12, 3), elements=st.floats(-50, 50, width=32))


@settings(max_examples=15, deadline=None)
@given(ROWS, st.sampled_from(["pca", "standard_scaler", "kmeans", "hdbscan", "pca_hdbscan", "isomap"]))
def test_a_kept_transform_gives_what_the_fitted_one_gives(noise: np.ndarray, type_: str) -> None:
    rows = noise / 100 + np.arange(36, dtype=np.float32).reshape(12, 3)
    arguments = {"pca_hdbscan": {"pca__n_components": 2}, "kmeans": {"n_clusters": 2}}.get(type_)
    estimator = fit(TransformSpec.of(type_, arguments), rows, 1).estimator
    kept = from_bytes(to_bytes(estimator), "here")
    first, second = apply(estimator, rows + 0.25), apply(kept, rows + 0.25)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


@given(arrays.arrays(np.float64, (5, 6), elements=st.floats(0, 1e6)))
def test_weights_of_neighbours_fall_with_distance_and_add_up(distances: np.ndarray) -> None:
    distances.sort(axis=1)
    weights = membership(distances)
    assert (weights[:, 0] == 1).all()
    assert (np.diff(weights, axis=1) <= 0).all()
    beyond = (distances > distances[:, :1] + 1e-3).sum(axis=1) >= 4
    np.testing.assert_allclose(weights[beyond].sum(axis=1), np.log2(6), rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(ROWS, st.integers(2, 5))
def test_fitted_embeddings_are_where_the_fit_has_put_them(rows: np.ndarray, count: int) -> None:
    _, first = np.unique(rows, axis=0, return_index=True)
    rows = rows[np.sort(first)]
    positions = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 2)
    model = NeighbourMean(rows, positions, count)
    np.testing.assert_array_equal(model.place(rows), positions)
    placed = model.place(rows + 0.5)
    assert (placed >= positions.min(axis=0) - 1e-3).all()
    assert (placed <= positions.max(axis=0) + 1e-3).all()


@settings(max_examples=15, deadline=None)
@given(ROWS, st.integers(1, 4))
def test_one_cluster_of_all_has_all_that_was_fitted(rows: np.ndarray, min_samples: int) -> None:
    model = DensityClusters.of(rows, np.zeros(len(rows), np.int32), np.ones(len(rows)), min_samples)
    labels, probabilities = model.assign(rows)
    assert (labels == 0).all()
    np.testing.assert_array_equal(probabilities, 1)
