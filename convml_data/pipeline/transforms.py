"""Transforms of a set of embeddings: fitted on the scenes that networks are trained on, applied to all, kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.draws import named_hash64
from convml_data.embeddings.transforms.fitting import BATCH, fit, fit_in_batches, fits_in_memory, require_count, takes
from convml_data.embeddings.transforms.model_files import Provenance, versions
from convml_data.embeddings.transforms.rows import EmbeddingRows, whole
from convml_data.embeddings.transforms.spec import CODE_VERSION, TYPES, TransformSpec
from convml_data.errors import PlanError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.meta.transforms import Transform
from convml_data.pipeline.tiles import current_tile_plan
from convml_data.pipeline.transform_results import write_result
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.transforms import KeptTransform, TransformStore

BoolArray = npt.NDArray[np.bool_]

#: The collection that transforms are fitted on unless they are fitted on all.
TRAIN = "train"


@dataclass(frozen=True)
class Made:
    """A result on disk.

    Parameters
    ----------
    name
        Of the transform.
    url
        Of the result.
    attributes
        What it says about itself.
    explained
        Which share of the variance each principal component explains; empty for other transforms.
    kept
        Whether it was there already.
    """

    name: str
    url: str
    attributes: dict[str, Any]
    explained: tuple[float, ...]
    kept: bool

    @property
    def warnings(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        attributes, found = self.attributes, []
        found += json.loads(attributes["notes"])
        lost, count = attributes["n_not_placed"], attributes["n_embeddings"]
        if lost:
            found.append(
                f"{attributes['transform_type']} places nothing that it was not fitted on: {lost} of {count} "
                "embeddings have no value; --fit-on all fits it on all"
            )
        if "transform_sha256" in attributes:
            found.append("files of joblib do not say which network their embeddings are of: that it is this is unknown")
        return found


def make_transform(store: DatasetStore, embeddings: EmbeddingStore, asked: Transform) -> Made:
    """Fit a transform, unless it is fitted already, and apply it to all embeddings of a set.

    Parameters
    ----------
    store
        Of the dataset, whose collections say what is fitted on.
    embeddings
        The set.
    asked
        What is to be made of it.

    Raises
    ------
    PlanError
        There is no collection ``train`` to fit on, too little of it, or the transform is another network's.
    StoreError
        The embeddings or the fitted transform cannot be read.
    """
    transforms = TransformStore.of(embeddings)
    with embeddings.open_all() as data:
        rows = EmbeddingRows(data, embeddings.files.url(embeddings.folder))
        if asked.spec is None:
            kept = transforms.read_model(str(asked.pretrained), trust_pickle=asked.trust_pickle)
            _require_same_network(kept, rows, str(asked.pretrained), embeddings.set_name)
        else:
            kept = _fitted(store, transforms, rows, asked.spec)
        made_from = _applied_fingerprint(kept, rows)
        results = transforms.results(asked.format)
        attributes = results.attributes(asked.name)
        is_there = attributes is not None and attributes.get("fingerprint") == made_from
        if not is_there:
            write_result(results, asked.name, kept, rows, {"transform": asked.name, "fingerprint": made_from})
            transforms.remove_other_formats(asked.name, asked.format)
    return kept_transform(store, embeddings.set_name, asked, is_kept=is_there)


def kept_transform(store: DatasetStore, set_name: str, asked: Transform, *, is_kept: bool = True) -> Made:
    """What a transform made of a set of embeddings and is on disk; StoreError where it is not.

    Parameters
    ----------
    store
        Of the dataset.
    set_name
        Of the embeddings.
    asked
        The transform.
    is_kept
        Whether it was there already.
    """
    transforms = TransformStore(store.files, set_name)
    with transforms.open_result(asked.name) as result:
        ratio = result.coords.get("explained_variance_ratio")
        explained = () if ratio is None else tuple(map(float, ratio.values))
        return Made(
            asked.name, transforms.results(asked.format).url(asked.name), dict(result.attrs), explained, is_kept
        )


def _fitted(store: DatasetStore, transforms: TransformStore, rows: EmbeddingRows, spec: TransformSpec) -> KeptTransform:
    """The transform that is asked for, fitted now unless it has been."""
    members = _members(store, rows, spec)
    of_fit = _fit_fingerprint(store, rows, spec, members)
    kept = _fitted_before(transforms, spec.name, of_fit)
    if kept is None:
        kept = _fit(store, rows, spec, members, of_fit, transforms.set_name)
        assert isinstance(kept.provenance, Provenance)
        transforms.keep_model(spec.name, kept.estimator, kept.provenance)
    return kept


def _members(store: DatasetStore, rows: EmbeddingRows, spec: TransformSpec) -> BoolArray:
    """Which embeddings are fitted on; missing ones among them."""
    if spec.fit_on == "all":
        return rows.members(None, TRAIN)
    remedy = "Give --fit-on all (`fit_on: all`) to fit on all scenes, or add `triplets` with a collection train"
    if store.dataset.meta.sampling.triplets is None:
        raise PlanError(
            "transforms are fitted on the scenes of the collection train, and the dataset has no collections",
            where=str(store.dataset.directory / "meta.yaml") + ": sampling.triplets",
            remedy=remedy,
        )
    plan = current_tile_plan(store)
    if not plan.scenes.get(TRAIN):
        raise PlanError(
            f"transforms are fitted on the scenes of the collection train, and there are {', '.join(plan.scenes)}",
            where=store.files.url(store.layout.tile_plan),
            remedy=remedy,
        )
    return rows.members(plan.scenes[TRAIN], TRAIN)


def _fit(
    store: DatasetStore, rows: EmbeddingRows, spec: TransformSpec, members: BoolArray, of_fit: str, set_name: str
) -> KeptTransform:
    seed = named_hash64(store.dataset.meta.sampling.seed, "transform", spec.type) % 2**32
    usable = _usable(rows, members)
    count = int(usable.sum())
    if count == 0:
        of = "the collection train" if spec.fit_on == TRAIN else "the set"
        raise PlanError(
            f"there is nothing to fit {spec.type} on: no embedding of {of} is there with all its values",
            where=rows.where,
            remedy="Make the embeddings of more scenes, or give --fit-on all",
        )
    n_fit = dict(spec.arguments).get("n_fit")
    if n_fit is not None and n_fit < count:
        chosen = np.random.default_rng(seed).choice(np.flatnonzero(usable), int(n_fit), replace=False)
        usable = np.zeros_like(usable)
        usable[chosen] = True
        count = int(n_fit)
    require_count(spec, count, rows.emb_dim)
    if fits_in_memory(count, rows.emb_dim):
        fitted = fit(spec, np.concatenate(list(_chosen(rows, usable))), seed)
    elif "n_fit" in TYPES[spec.type].arguments:
        raise PlanError(
            f"{count} embeddings of {rows.emb_dim} numbers are more than {spec.type} is fitted on in memory",
            where=spec.name,
            remedy=f"Give for example n_fit={BATCH} to fit it on so many, drawn at random",
        )
    else:
        fitted = fit_in_batches(spec, lambda: _chosen(rows, usable), rows.emb_dim)
    provenance = Provenance(
        type=spec.type,
        arguments=dict(spec.arguments),
        fit_on=spec.fit_on,
        embedding_set=set_name,
        model=str(rows.data.attrs["model"]),
        model_sha256=str(rows.data.attrs["model_sha256"]),
        normalisation=str(rows.data.attrs["normalisation"]),
        emb_dim=rows.emb_dim,
        n_fitted=count,
        n_scenes=rows.scene_count(usable),
        seed=seed,
        fingerprint=of_fit,
        notes=fitted.notes,
        versions=versions(),
    )
    return KeptTransform(spec.type, fitted.estimator, provenance)


def _usable(rows: EmbeddingRows, members: BoolArray) -> BoolArray:
    """Those members of which no value is missing."""
    found, start = np.zeros_like(members), 0
    for part in rows.parts():
        stop = start + _length(rows, part)
        if members[start:stop].any():
            found[start:stop] = members[start:stop] & whole(rows.read(part))
        start = stop
    return found


def _chosen(rows: EmbeddingRows, chosen: BoolArray) -> Iterator[npt.NDArray[np.floating]]:
    """Those embeddings, part by part."""
    start = 0
    for part in rows.parts():
        stop = start + _length(rows, part)
        if chosen[start:stop].any():
            yield rows.read(part)[chosen[start:stop]]
        start = stop


def _length(rows: EmbeddingRows, part: slice) -> int:
    return int((part.stop - part.start) * (rows.count // rows.data.sizes[rows.leading]))


def _fit_fingerprint(store: DatasetStore, rows: EmbeddingRows, spec: TransformSpec, members: BoolArray) -> str:
    """Changes with anything that a transform follows from."""
    return fingerprint(
        {
            "code": CODE_VERSION,
            "spec": [spec.type, spec.settings, spec.fit_on],
            "seed": store.dataset.meta.sampling.seed,
            "embeddings": rows.identity(members),
            "model": rows.data.attrs["model_sha256"],
        }
    )


def _applied_fingerprint(kept: KeptTransform, rows: EmbeddingRows) -> str:
    """Changes with anything that the result of a transform follows from."""
    of_fit = kept.provenance if isinstance(kept.provenance, str) else kept.provenance.fingerprint
    everything = np.ones(rows.count, bool)
    return fingerprint({"code": CODE_VERSION, "fit": of_fit, "embeddings": rows.identity(everything)})


def _fitted_before(transforms: TransformStore, name: str, of_fit: str) -> KeptTransform | None:
    """The fitted transform on disk, None unless it follows from the same."""
    if not transforms.files.exists(transforms.model(name)):
        return None
    try:
        kept = transforms.read_model(name)
    except StoreError:  # of another version, or damaged: it is fitted again
        return None
    is_same = isinstance(kept.provenance, Provenance) and kept.provenance.fingerprint == of_fit
    return kept if is_same else None


def _require_same_network(kept: KeptTransform, rows: EmbeddingRows, name: str, set_name: str) -> None:
    """See that a transform is of embeddings by the same network, which was fed in the same way."""
    attributes = rows.data.attrs
    of = kept.provenance
    if isinstance(of, Provenance) and of.model_sha256 != attributes["model_sha256"]:
        raise PlanError(
            f"the transform {name} was fitted on embeddings by the network {of.model} (sha256 {of.model_sha256[:12]}), "
            f"and those of {set_name} are by {attributes['model']} (sha256 {str(attributes['model_sha256'])[:12]})",
            where=rows.where,
            remedy="Fit one on these: give --transform-type in place of --pretrained-transform-model",
        )
    if isinstance(of, Provenance) and of.normalisation != attributes["normalisation"]:
        raise PlanError(
            f"the transform {name} was fitted on embeddings of pictures normalised by {of.normalisation}, "
            f"and those of {set_name} are of pictures normalised by {attributes['normalisation']}",
            where=rows.where,
            remedy="Make the embeddings with the same normalisation, or fit a transform on these",
        )
    if takes(kept.estimator) != rows.emb_dim:
        raise PlanError(
            f"the transform {name} takes embeddings of {takes(kept.estimator)} numbers, and these have {rows.emb_dim}",
            where=rows.where,
            remedy="Fit one on these: give --transform-type in place of --pretrained-transform-model",
        )
