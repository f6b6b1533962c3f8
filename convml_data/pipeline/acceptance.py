"""What tiles show, looked up in the dataset's regridded scenes before any tile is planned."""

from __future__ import annotations

from functools import partial

import numpy as np

from convml_data.errors import PlanError
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import Accept
from convml_data.pipeline.made_from import outdated_scenes
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.acceptance import Conditions, Fields, Mask, SceneContents
from convml_data.user_functions import call_mask_function


def scene_contents(store: DatasetStore, ledger: Ledger, tile_n: int) -> SceneContents | None:
    """What ``sampling.accept`` asks of tiles, None where it asks for nothing.

    Raises
    ------
    PlanError
        Scenes that it needs are not regridded yet, or were made from other settings.
    """
    accept = store.dataset.meta.sampling.accept
    if accept is None:
        return None
    _require_regridded(store, ledger, "")
    mask = accept.cloud_mask
    of_mask = None
    if mask is not None and mask in store.dataset.meta.aux_products:
        of_mask = store.aux(mask)
        _require_regridded(of_mask, of_mask.read_ledger(), f" --aux-name {mask}")
    conditions = Conditions(accept.min_valid_share, accept.min_std, accept.max_cloud_fraction)
    return SceneContents(conditions, store.dataset.grid, tile_n, partial(_read, store, of_mask, accept))


def scenes_to_regrid_first(store: DatasetStore, ledger: Ledger) -> list[str]:
    """Scenes of the ledger that are not on the dataset's grid, or of other settings, and could be read."""
    there = set(store.scenes(["regridded"]).stored())
    readable = [row.scene_id for row in ledger.scenes if row.problem is None]
    missing = [scene_id for scene_id in readable if scene_id not in there]
    return missing + outdated_scenes(store, "regridded", [name for name in readable if name in there])


def _require_regridded(store: DatasetStore, ledger: Ledger, option: str) -> None:
    missing = scenes_to_regrid_first(store, ledger)
    if missing:
        raise PlanError(
            f"tiles are chosen by what they show, and {len(missing)} of {len(ledger.scenes)} scenes are not regridded "
            f"yet, the first being {missing[0]}",
            where=f"{store.dataset.directory / META_NAME}: sampling.accept",
            remedy=f"Run `convml-data regrid{option}`, or materialize `regridded` for all scenes first",
        )


def _read(
    store: DatasetStore, of_mask: DatasetStore | None, accept: Accept, scene_id: str
) -> tuple[Fields | None, Mask]:
    """Fields and cloud of a scene; no tile is taken from one that could not be read."""
    arrays = store.scenes(["regridded"])
    if not store.files.exists(arrays.name(scene_id)):
        return None, None
    with arrays.open(scene_id) as scene:
        (field,) = scene.load().data_vars.values()
    fields = np.asarray(field.values, np.float64).reshape(-1, *field.shape[-2:])
    if accept.cloud_mask is None:
        return fields, None
    if of_mask is None:
        return fields, call_mask_function(store.dataset.functions_file, accept.cloud_mask, field)
    return fields, _mask_of(of_mask.scenes(["regridded"]), scene_id)


def _mask_of(arrays: ArrayStore, scene_id: str) -> Mask:
    """An auxiliary field as a mask, None where no image goes with the scene."""
    if not arrays.files.exists(arrays.name(scene_id)):
        return None
    with arrays.open(scene_id) as scene:
        (field,) = scene.load().data_vars.values()
    mask: Fields = np.asarray(field.values, np.float64).reshape(-1, *field.shape[-2:])[0]
    return mask
