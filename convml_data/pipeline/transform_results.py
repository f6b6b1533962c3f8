"""Writing what a transform makes of a set of embeddings, a part of which is in memory at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from convml_data.embeddings.transforms.fitting import (
    apply,
    dimensions,
    gives_labels,
    gives_probabilities,
    principal_components,
)
from convml_data.embeddings.transforms.neighbours import NOISE
from convml_data.embeddings.transforms.rows import EmbeddingRows, whole
from convml_data.store.arrays import ArrayStore, write_zarr
from convml_data.store.own_netcdf import write_netcdf
from convml_data.store.transforms import KeptTransform

#: What of an embedding's own attributes its transform has too.
_OF_EMBEDDINGS = (
    "model",
    "model_sha256",
    "model_format",
    "step_size",
    "tile_nx",
    "tile_ny",
    "lx_tile",
    "ly_tile",
    "tiles_kind",
    "dataset",
)


def write_result(
    results: ArrayStore, name: str, kept: KeptTransform, rows: EmbeddingRows, description: Mapping[str, Any]
) -> None:
    """Apply a transform to all embeddings of a set, and keep the result once it is whole.

    Positions are ``emb`` with the dimension ``<type>_dim`` in place of ``emb_dim``, labels are ``label`` without it,
    and ``probability`` says how firmly an embedding belongs to its cluster. Where an embedding is missing, positions
    and probabilities are NaN and labels -1.

    Parameters
    ----------
    results
        Where to.
    name
        Of the result.
    kept
        The transform.
    rows
        The embeddings.
    description
        Attributes of the result besides those that follow from the transform and the embeddings.
    """
    with results.files.writing(results.name(name)) as path:
        if results.format == "zarr":
            _fill(path, kept, rows, description)
        else:
            with TemporaryDirectory() as folder:
                _fill(Path(folder) / "result.zarr", kept, rows, description)
                with xr.open_dataset(Path(folder) / "result.zarr", engine="zarr", consolidated=False) as result:
                    write_netcdf(path, result)


def _fill(path: Path, kept: KeptTransform, rows: EmbeddingRows, description: Mapping[str, Any]) -> None:
    """Write a result as a Zarr group, part by part."""
    estimator, dim = kept.estimator, f"{kept.type}_dim"
    dims, shape = [rows.leading, *rows.places], [rows.data.sizes[name] for name in (rows.leading, *rows.places)]
    write_zarr(path, _coordinates(kept, rows, dim))
    group = zarr.open_group(path, mode="r+")
    if gives_labels(estimator):
        arrays = [_array(group, "label", dims, shape, "int32", "number of the cluster, -1 for none")]
        if gives_probabilities(estimator):
            words = "how firmly the embedding belongs to its cluster, 0 to 1"
            arrays.append(_array(group, "probability", dims, shape, "float32", words))
    else:
        dims, shape = [dims[0], dim, *dims[1:]], [shape[0], dimensions(estimator), *shape[1:]]
        arrays = [_array(group, "emb", dims, shape, "float32", f"embedding transformed by {kept.type}")]
    facts: Counter[str] = Counter({"n_embeddings": rows.count, "n_missing": 0, "n_not_placed": 0})
    clusters: Counter[int] = Counter()
    for part in rows.parts():
        embeddings = rows.read(part)
        there = whole(embeddings)
        applied = _applied(kept, embeddings, there)
        for array, values in zip(arrays, applied, strict=True):
            array[part] = rows.shaped(values, part)
        facts["n_missing"] += int((~there).sum())
        if gives_labels(estimator):
            clusters.update(applied[0][there].tolist())
        else:
            facts["n_not_placed"] += int((there & ~np.isfinite(applied[0]).all(axis=1)).sum())
    sizes = {"cluster_sizes": json.dumps(dict(sorted(clusters.items())))} if gives_labels(estimator) else {}
    group.attrs.update({**_attributes(kept, rows), **facts, **sizes, **description})


def _applied(
    kept: KeptTransform, embeddings: npt.NDArray[np.floating], there: npt.NDArray[np.bool_]
) -> list[npt.NDArray[Any]]:
    """Positions, or labels and as far as there are any probabilities, of embeddings of which some are missing."""
    estimator = kept.estimator
    values: npt.NDArray[Any]
    if gives_labels(estimator):
        values = np.full(len(there), NOISE, np.int32)
    else:
        values = np.full((len(there), dimensions(estimator)), np.nan, np.float32)
    probabilities = np.full(len(there), np.nan, np.float32)
    if there.any():
        applied = apply(estimator, embeddings[there])
        values[there] = applied.values
        if applied.probabilities is not None:
            probabilities[there] = applied.probabilities
    return [values, probabilities] if gives_probabilities(estimator) else [values]


def _coordinates(kept: KeptTransform, rows: EmbeddingRows, dim: str) -> xr.Dataset:
    """Those of the embeddings, and of principal components what they explain."""
    found = rows.data.drop_vars("emb").drop_dims("emb_dim", errors="ignore").load()
    pca = principal_components(kept.estimator)
    if pca is not None:
        of = dim if not gives_labels(kept.estimator) else "pca_dim"
        explained = {
            "explained_variance": (of, pca.explained_variance_, {"long_name": "variance of the component"}),
            "explained_variance_ratio": (of, pca.explained_variance_ratio_, {"units": "1", "long_name": "share of it"}),
        }
        found = found.assign_coords(explained)
    found.attrs = {}
    return found


def _array(group: zarr.Group, name: str, dims: list[str], shape: list[int], dtype: str, long_name: str) -> Any:
    chunks = [min(1 if dims[0] == "scene_id" else 4096, shape[0]), *shape[1:]]
    return group.create_array(
        name,
        shape=tuple(shape),
        dtype=dtype,
        chunks=tuple(max(1, length) for length in chunks),
        dimension_names=dims,
        fill_value=np.nan if dtype.startswith("float") else NOISE,
        attributes={"long_name": long_name},
        config={"write_empty_chunks": True},  # so that a missing chunk is known to be missing
    )


def _attributes(kept: KeptTransform, rows: EmbeddingRows) -> dict[str, Any]:
    """Which embeddings these are, and what the transform was fitted on."""
    found = {name: rows.data.attrs[name] for name in _OF_EMBEDDINGS if name in rows.data.attrs}
    found["transform_type"] = kept.type
    if isinstance(kept.provenance, str):
        return found | {"transform_sha256": kept.provenance, "notes": "[]"}
    of = asdict(kept.provenance)
    names = ("fit_on", "n_fitted", "n_scenes", "seed")
    return found | {
        "transform_extra_args": kept.provenance.spec.extra_args,
        "transform_fingerprint": of["fingerprint"],
        "fitted_on_set": of["embedding_set"],
        **{name if name.startswith("n_") else f"transform_{name}": of[name] for name in names},
        "versions": json.dumps(of["versions"]),
        "notes": json.dumps(of["notes"]),
    }
