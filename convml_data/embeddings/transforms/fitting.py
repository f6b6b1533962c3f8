"""Fitting transforms to embeddings and applying them, in memory: (n, emb_dim) in, positions or labels out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.embeddings.transforms.neighbours import (
    NOISE,
    DensityClusters,
    FittedPositions,
    LabelArray,
    NeighbourMean,
)
from convml_data.embeddings.transforms.spec import TYPES, TransformSpec
from convml_data.errors import PlanError

FloatArray = npt.NDArray[np.floating]

#: Embeddings that are fitted in one piece, bytes as doubles; PCA and scaling of more take them batch by batch.
MOST_BYTES = 1 << 30

#: Embeddings of a batch, unless an embedding has more dimensions.
BATCH = 16_384


@dataclass(frozen=True)
class PcaDensityClusters:
    """Principal components, and clusters of what the embeddings are in these."""

    pca: Any
    clusters: DensityClusters


#: What a fitted transform is: an estimator of scikit-learn's, or arrays.
Estimator = Any


@dataclass(frozen=True)
class Fitted:
    """A fitted transform, and what the method had to say.

    Parameters
    ----------
    estimator
        What :func:`apply` takes.
    notes
        Warnings of the method, each once.
    """

    estimator: Estimator
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """What a transform makes of n embeddings.

    Parameters
    ----------
    values
        Positions (n, dim), float32, or labels (n,), int32.
    probabilities
        Of the labels, (n,), where the method gives them.
    """

    values: FloatArray | LabelArray
    probabilities: FloatArray | None = None


def fits_in_memory(count: int, emb_dim: int) -> bool:
    """Whether so many embeddings are fitted in one piece."""
    return count * emb_dim * 8 <= MOST_BYTES


def require_count(spec: TransformSpec, count: int, emb_dim: int) -> None:
    """See that there are as many embeddings as a method needs, and no more than it can bear.

    Raises
    ------
    PlanError
        There are not.
    """
    key = "pca__n_components" if spec.type == "pca_hdbscan" else "n_components"
    components = int(spec.settings.get(key, min(count, emb_dim) if spec.type == "pca" else 1))
    if components > emb_dim:
        raise PlanError(
            f"{key}: {components} is more than the {emb_dim} dimensions of the embeddings",
            where=spec.name,
            remedy=f"Give {key}={emb_dim} or less",
        )
    least = max(2, components, int(spec.settings.get("n_clusters", 0)), int(spec.settings.get("min_cluster_size", 0)))
    least = max(least, int(spec.settings.get("n_neighbors", 0)) + 1, int(spec.settings.get("perplexity", 0)) + 1)
    if count < least:
        raise PlanError(
            f"{spec.type} with these arguments needs {least} embeddings, and there are {count} to fit it on",
            where=spec.name,
            remedy="Take more scenes or smaller steps, give smaller arguments, or fit on all",
        )
    most = TYPES[spec.type].most
    if most is not None and count > most:
        raise PlanError(
            f"{spec.type} takes too long for {count} embeddings: it can be fitted on {most}",
            where=spec.name,
            remedy=f"Give n_fit={most} to fit it on so many, drawn at random",
        )


def fit_in_batches(spec: TransformSpec, batches: Callable[[], Iterable[FloatArray]], emb_dim: int) -> Fitted:
    """Fit PCA or scaling to embeddings of which a batch at a time is in memory.

    Parameters
    ----------
    spec
        What is asked for, ``pca`` or ``standard_scaler``.
    batches
        Gives arrays (n, emb_dim) of any length, without missing values.
    emb_dim
        Dimensions of an embedding.

    """
    if spec.type == "standard_scaler":
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for batch in batches():
            scaler.partial_fit(batch.astype(np.float64))
        return Fitted(scaler, ())
    assert spec.type == "pca"
    from sklearn.decomposition import PCA, IncrementalPCA

    # With all components nothing is lost from batch to batch: the result is that of all embeddings together.
    whole = IncrementalPCA()
    for batch in _batches_of(max(BATCH, emb_dim), batches()):
        whole.partial_fit(batch.astype(np.float64))
    count = dict(spec.arguments).get("n_components", emb_dim)
    pca = PCA(n_components=count)
    pca.n_components_, pca.n_samples_, pca.n_features_in_ = count, int(whole.n_samples_seen_), emb_dim
    pca.mean_, pca.noise_variance_ = (
        whole.mean_,
        float(whole.explained_variance_[count:].mean() if count < emb_dim else 0),
    )
    for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_"):
        setattr(pca, name, getattr(whole, name)[:count])
    return Fitted(pca, ())


def fit(spec: TransformSpec, rows: FloatArray, seed: int) -> Fitted:
    """Fit a transform.

    Parameters
    ----------
    spec
        What is asked for.
    rows
        Embeddings, shape (n, emb_dim), float32, without missing values.
    seed
        Of the methods that draw at random.

    Raises
    ------
    PlanError
        As :func:`require_count`, or the method cannot be fitted to these embeddings.
    """
    require_count(spec, *rows.shape)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for of_libraries in (FutureWarning, DeprecationWarning, ImportWarning):
                warnings.simplefilter("ignore", of_libraries)  # which are for those who program with them
            estimator = _FITS[spec.type](spec, rows, seed)
    except (ValueError, RuntimeError, np.linalg.LinAlgError, TypeError) as error:
        raise PlanError(
            f"{spec.type} cannot be fitted to {len(rows)} embeddings ({_first_line(error)})",
            where=spec.name,
            remedy="Give it other arguments or more embeddings",
        ) from error
    return Fitted(estimator, tuple(dict.fromkeys(_first_line(each.message) for each in caught)))


def apply(estimator: Estimator, rows: FloatArray) -> Applied:
    """What a fitted transform makes of embeddings, shape (n, emb_dim), float32, without missing values."""
    if isinstance(estimator, (FittedPositions, NeighbourMean)):
        return Applied(estimator.place(rows))
    if isinstance(estimator, DensityClusters):
        return Applied(*estimator.assign(rows))
    if isinstance(estimator, PcaDensityClusters):
        reduced = estimator.pca.transform(rows.astype(np.float64)).astype(np.float32)
        return Applied(*estimator.clusters.assign(reduced))
    if gives_labels(estimator):
        return Applied(np.asarray(estimator.predict(rows.astype(np.float64)), np.int32))
    return Applied(np.asarray(estimator.transform(rows.astype(np.float64)), np.float32))


def gives_labels(estimator: Estimator) -> bool:
    """Whether the transform gives numbers of clusters instead of positions."""
    return isinstance(estimator, (DensityClusters, PcaDensityClusters)) or hasattr(estimator, "cluster_centers_")


def gives_probabilities(estimator: Estimator) -> bool:
    """Whether it says how firmly embeddings belong to their clusters."""
    return isinstance(estimator, (DensityClusters, PcaDensityClusters))


def dimensions(estimator: Estimator) -> int:
    """How many numbers an embedding becomes."""
    if isinstance(estimator, (FittedPositions, NeighbourMean)):
        return int(estimator.positions.shape[1])
    if hasattr(estimator, "components_"):
        return len(estimator.components_)
    if hasattr(estimator, "embedding_"):
        return int(estimator.embedding_.shape[1])
    return int(estimator.n_features_in_)


def takes(estimator: Estimator) -> int:
    """How many dimensions the embeddings have that it was fitted on."""
    if isinstance(estimator, (FittedPositions, NeighbourMean, DensityClusters)):
        return int(estimator.points.shape[1])
    return int((estimator.pca if isinstance(estimator, PcaDensityClusters) else estimator).n_features_in_)


def principal_components(estimator: Estimator) -> Any | None:
    """The PCA in a transform, None where there is none."""
    if isinstance(estimator, PcaDensityClusters):
        return estimator.pca
    return estimator if hasattr(estimator, "explained_variance_ratio_") else None


def _fit_pca(spec: TransformSpec, rows: FloatArray, seed: int) -> Estimator:
    from sklearn.decomposition import PCA

    key = "pca__n_components" if spec.type == "pca_hdbscan" else "n_components"
    return PCA(n_components=spec.settings.get(key), svd_solver="full").fit(rows.astype(np.float64))


def _fit_scaler(spec: TransformSpec, rows: FloatArray, seed: int) -> Estimator:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(rows.astype(np.float64))


def _fit_kmeans(spec: TransformSpec, rows: FloatArray, seed: int) -> Estimator:
    from sklearn.cluster import KMeans

    return KMeans(spec.settings["n_clusters"], n_init=10, random_state=seed).fit(rows.astype(np.float64))


def _fit_hdbscan(spec: TransformSpec, rows: FloatArray, seed: int) -> DensityClusters:
    from sklearn.cluster import HDBSCAN

    size = int(spec.settings["min_cluster_size"])
    samples = int(spec.settings.get("min_samples", size))
    found = HDBSCAN(min_cluster_size=size, min_samples=samples, copy=True).fit(rows.astype(np.float64))
    labels = np.where(found.labels_ < 0, NOISE, found.labels_).astype(np.int32)
    return DensityClusters.of(np.asarray(rows, np.float32), labels, found.probabilities_, samples)


def _fit_pca_hdbscan(spec: TransformSpec, rows: FloatArray, seed: int) -> PcaDensityClusters:
    pca = _fit_pca(spec, rows, seed)
    return PcaDensityClusters(pca, _fit_hdbscan(spec, pca.transform(rows.astype(np.float64)).astype(np.float32), seed))


def _fit_isomap(spec: TransformSpec, rows: FloatArray, seed: int) -> Estimator:
    from sklearn.manifold import Isomap

    plane = {name: spec.settings[name] for name in ("n_components", "n_neighbors")}
    # The solver that begins with a vector drawn at random takes it from numpy's own generator.
    return Isomap(**plane, eigen_solver="dense", neighbors_algorithm="brute").fit(rows.astype(np.float64))


#: Methods of locally linear embedding, by type.
_LOCAL = {"lle": "standard", "ltsa": "ltsa", "hessian_lle": "hessian", "modified_lle": "modified"}


def _fit_locally_linear(spec: TransformSpec, rows: FloatArray, seed: int) -> Estimator:
    from sklearn.manifold import LocallyLinearEmbedding

    plane = {name: spec.settings[name] for name in ("n_components", "n_neighbors")}
    # The matrices of all but the standard method are singular to the iterative solver.
    solver = "auto" if spec.type == "lle" else "dense"
    return LocallyLinearEmbedding(
        **plane,
        method=_LOCAL[spec.type],
        eigen_solver=solver,
        neighbors_algorithm="brute",  # files of skops hold no trees
        random_state=seed,
    ).fit(rows.astype(np.float64))


def _fit_mds(spec: TransformSpec, rows: FloatArray, seed: int) -> FittedPositions:
    from sklearn.manifold import MDS

    settings = {name: spec.settings[name] for name in ("n_components", "max_iter", "n_init")}
    return _positions(rows, MDS(**settings, random_state=seed).fit_transform(rows.astype(np.float64)))


def _fit_tsne(spec: TransformSpec, rows: FloatArray, seed: int) -> FittedPositions:
    from sklearn.manifold import TSNE

    settings = {name: spec.settings[name] for name in ("n_components", "perplexity")}
    return _positions(rows, TSNE(**settings, init="pca", random_state=seed).fit_transform(rows.astype(np.float64)))


def _positions(rows: FloatArray, positions: FloatArray) -> FittedPositions:
    return FittedPositions(np.asarray(rows, np.float32), np.asarray(positions, np.float32))


def _fit_umap(spec: TransformSpec, rows: FloatArray, seed: int) -> NeighbourMean:
    from umap import UMAP

    settings = {name: spec.settings[name] for name in ("n_components", "n_neighbors", "min_dist")}
    placed = UMAP(**settings, random_state=seed, n_jobs=1).fit_transform(np.asarray(rows, np.float32))
    return NeighbourMean(
        np.asarray(rows, np.float32), np.asarray(placed, np.float32), int(spec.settings["n_neighbors"])
    )


_FITS: dict[str, Callable[[TransformSpec, FloatArray, int], Estimator]] = {
    "pca": _fit_pca,
    "standard_scaler": _fit_scaler,
    "kmeans": _fit_kmeans,
    "hdbscan": _fit_hdbscan,
    "pca_hdbscan": _fit_pca_hdbscan,
    "isomap": _fit_isomap,
    **dict.fromkeys(_LOCAL, _fit_locally_linear),
    "mds": _fit_mds,
    "tsne": _fit_tsne,
    "umap": _fit_umap,
}


def _batches_of(count: int, arrays: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """The rows of arrays in batches of ``count`` or more, so that none is too short but that of too few rows."""
    waiting: list[FloatArray] = []
    rows = 0
    held: FloatArray | None = None
    for array in arrays:
        waiting.append(array)
        rows += len(array)
        if rows >= count:
            if held is not None:
                yield held
            held, waiting, rows = np.concatenate(waiting), [], 0
    rest = [*([] if held is None else [held]), *waiting]
    if rest:
        yield np.concatenate(rest)


def _first_line(message: object) -> str:
    return str(message).strip().split("\n")[0].rstrip(".")
