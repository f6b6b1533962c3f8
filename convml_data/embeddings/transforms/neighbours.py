"""Fitted transforms that are nothing but arrays: what they say of an embedding follows from its fitted neighbours.

UMAP, t-SNE, multidimensional scaling and HDBSCAN give results for what they are fitted on, and either nothing for
other embeddings or something that no file can hold without running code when it is read. So the fitted embeddings
are kept with what became of them, and others are placed by these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
LabelArray = npt.NDArray[np.int32]

#: Label of embeddings that are in no cluster.
NOISE = -1

#: Steps of bisection: 2**-64 is beyond what a double tells apart.
_BISECTIONS = 64

#: Embeddings whose differences from all their neighbours are in memory at a time.
_TOGETHER = 1024


@dataclass(frozen=True)
class _Fitted:
    """Fitted embeddings, shape (n, emb_dim), float32."""

    points: FloatArray

    def numbers(self, rows: FloatArray) -> npt.NDArray[np.intp]:
        """Which of the fitted ones embeddings are, bit for bit, shape (m,); -1 for none."""
        same = np.ascontiguousarray(rows, self.points.dtype)
        return np.array([self._known.get(row.tobytes(), -1) for row in same], np.intp)

    @cached_property
    def _known(self) -> dict[bytes, int]:
        return {row.tobytes(): number for number, row in enumerate(np.ascontiguousarray(self.points))}


@dataclass(frozen=True)
class FittedPositions(_Fitted):
    """Positions of the fitted embeddings, and none of others.

    Parameters
    ----------
    points
        The fitted embeddings, shape (n, emb_dim), float32.
    positions
        Shape (n, dim), float32.
    """

    positions: FloatArray

    def place(self, rows: FloatArray) -> FloatArray:
        """Positions of embeddings, shape (m, dim), NaN for those that are none of the fitted ones, bit for bit."""
        found = self.numbers(rows)
        placed = np.full((len(rows), self.positions.shape[1]), np.nan, np.float32)
        placed[found >= 0] = self.positions[found[found >= 0]]
        return placed


@dataclass(frozen=True)
class NeighbourMean(_Fitted):
    """Positions by UMAP, and of other embeddings the mean of their nearest fitted ones.

    Parameters
    ----------
    points, positions
        As of :class:`FittedPositions`.
    n_neighbors
        How many fitted embeddings place another one.
    """

    positions: FloatArray
    n_neighbors: int

    def place(self, rows: FloatArray) -> FloatArray:
        """Positions of embeddings, shape (m, dim).

        The weights are those with which UMAP joins an embedding to its neighbours (McInnes et al. 2018,
        arXiv:1802.03426, algorithm 3), and the mean is where it places new ones before it moves them about at random.
        An embedding that was fitted is where the fit has put it.
        """
        distances, indices = _nearest(self.points, rows, self.n_neighbors)
        weights = membership(distances)
        placed = (weights[..., None] * self.positions[indices]).sum(axis=1) / weights.sum(axis=1)[:, None]
        fitted = self.numbers(rows)
        placed[fitted >= 0] = self.positions[fitted[fitted >= 0]]
        return np.asarray(placed, np.float32)


@dataclass(frozen=True)
class DensityClusters(_Fitted):
    """Clusters by HDBSCAN.

    Parameters
    ----------
    points
        The fitted embeddings, shape (n, emb_dim), float32.
    labels
        Cluster of each, shape (n,), :data:`NOISE` for none.
    probabilities
        How firmly each belongs to its cluster, 0 to 1, shape (n,).
    core_distances
        From each to its ``min_samples``-th nearest, itself included, shape (n,).
    joins
        From each to the nearest other one by mutual reachability, shape (n,).
    min_samples
        As HDBSCAN was told.
    """

    labels: LabelArray
    probabilities: FloatArray
    core_distances: FloatArray
    joins: FloatArray
    min_samples: int

    @classmethod
    def of(cls, points: FloatArray, labels: LabelArray, probabilities: FloatArray, min_samples: int) -> DensityClusters:
        """The clusters of fitted embeddings."""
        distances, indices = _nearest(points, points, max(min_samples, 2))
        core = distances[:, min(min_samples, distances.shape[1]) - 1]
        reach = _reachability(distances, core[indices], core)
        reach[indices == np.arange(len(points))[:, None]] = np.inf
        return cls(points, labels, probabilities, core, reach.min(axis=1), min_samples)

    def assign(self, rows: FloatArray) -> tuple[LabelArray, FloatArray]:
        """Cluster of each embedding and how firmly it belongs to it, shapes (m,).

        An embedding belongs where the fitted one with the smallest mutual reachability distance does (Campello et al.
        2013, doi:10.1007/978-3-642-37456-2_14, definition 4), unless that is farther than any in the cluster is from
        the nearest other one: then it is noise. Fitted embeddings are where the fit has put them.
        """
        distances, indices = _nearest(self.points, rows, self.min_samples)
        reach = _reachability(distances, self.core_distances[indices], distances[:, -1])
        first = reach.argmin(axis=1)
        each = np.arange(len(rows))
        nearest, reach = indices[each, first], reach[each, first]
        labels = self.labels[nearest]
        farthest = np.zeros(max(int(self.labels.max(initial=NOISE)) + 1, 1))
        np.maximum.at(farthest, self.labels[self.labels >= 0], self.joins[self.labels >= 0])
        labels = np.where((labels >= 0) & (reach <= farthest[labels]), labels, NOISE)
        share = np.divide(self.joins[nearest], reach, out=np.ones_like(reach), where=reach > 0).clip(max=1)
        probabilities = np.where(labels >= 0, self.probabilities[nearest] * share, 0.0)
        fitted = self.numbers(rows)
        there = fitted >= 0
        labels[there], probabilities[there] = self.labels[fitted[there]], self.probabilities[fitted[there]]
        return labels.astype(np.int32), probabilities


def _reachability(distances: FloatArray, of_neighbours: FloatArray, own: FloatArray) -> FloatArray:
    """Mutual reachability distances to neighbours, (m, k), of distances and core distances."""
    return np.maximum(np.maximum(distances, of_neighbours), own[:, None])


def membership(distances: FloatArray) -> FloatArray:
    """UMAP's weights of neighbours, shape (m, k), of their distances, which ascend along each row.

    The nearest weighs 1, and the scale of each row is such that its weights add up to log2(k).
    """
    beyond = distances - distances[:, :1]
    target = np.log2(max(distances.shape[1], 2))
    low, high = np.zeros((len(distances), 1)), np.full((len(distances), 1), np.inf)
    scale = np.ones((len(distances), 1))
    with np.errstate(over="ignore"):  # of the smallest scales, at which all but the nearest weigh nothing
        for _ in range(_BISECTIONS):
            too_wide = np.exp(-beyond / scale).sum(axis=1, keepdims=True) > target
            high, low = np.where(too_wide, scale, high), np.where(too_wide, low, scale)
            scale = np.maximum(np.where(np.isinf(high), 2 * scale, (low + high) / 2), np.finfo(float).tiny)
        return np.asarray(np.exp(-beyond / scale))


def _nearest(points: FloatArray, rows: FloatArray, count: int) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Distances to the nearest points and their numbers, shapes (m, count), in ascending order."""
    from sklearn.neighbors import NearestNeighbors

    fitted, asked = points.astype(np.float64), rows.astype(np.float64)
    count = min(count, len(fitted))
    indices = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(fitted).kneighbors(asked)[1]
    distances = np.empty(indices.shape)
    for start in range(0, len(asked), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        # Once more from the differences: found by squares, an embedding is not quite where it is itself.
        distances[some] = np.linalg.norm(asked[some, None] - fitted[indices[some]], axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)
