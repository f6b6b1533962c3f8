"""What tiles show, looked up in the dataset's regridded scenes before any tile is planned."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from convml_data.errors import PlanError, StoreError
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import Accept
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import outdated_scenes, scene_fingerprint
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import DAMAGED, ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.acceptance import Conditions, Fields, Mask, SceneContents
from convml_data.user_functions import call_mask_function


def scene_contents(store: DatasetStore, ledger: Ledger, tile_n: int) -> SceneContents | None:
    """What ``sampling.accept`` asks of tiles, None where it asks for nothing.

    Raises
    ------
    PlanError
        Scenes that it needs are not regridded yet, or were made from other settings.
    StoreError
        It is not known from the present settings which masks go with which scenes.
    """
    accept = store.dataset.meta.sampling.accept
    if accept is None:
        return None
    _require_regridded(store, ledger, "")
    of_mask = mask_product(store)
    if of_mask is not None:
        _require_regridded(of_mask, current_ledger(of_mask), f" --aux-name {accept.cloud_mask}")
    scenes, *masks = contents_made_from(store, ledger)
    conditions = Conditions(accept.min_valid_share, accept.min_std, accept.max_cloud_fraction)
    read = partial(_read, store, of_mask, accept, scenes, masks[0] if masks else {})
    return SceneContents(conditions, store.dataset.grid, tile_n, read)


def mask_product(store: DatasetStore) -> DatasetStore | None:
    """The auxiliary product that ``sampling.accept`` takes for cloud, None where it takes none."""
    accept = store.dataset.meta.sampling.accept
    mask = None if accept is None else accept.cloud_mask
    return store.aux(mask) if mask is not None and mask in store.dataset.meta.aux_products else None


def contents_made_from(store: DatasetStore, ledger: Ledger) -> list[dict[str, str]]:
    """What the scenes, and the auxiliary masks, that ``sampling.accept`` looks at are made from, by scene ID.

    Scenes that cannot be read are not among them, nor are masks that go with no scene of the ledger.
    """
    if store.dataset.meta.sampling.accept is None:
        return []
    of_mask = mask_product(store)
    scenes = _made_from(store, ledger)
    if of_mask is None:
        return [scenes]
    masks = _made_from(of_mask, of_mask.read_ledger())
    return [scenes, {scene_id: masks[scene_id] for scene_id in scenes if scene_id in masks}]


def _made_from(store: DatasetStore, ledger: Ledger) -> dict[str, str]:
    readable = (row for row in ledger.scenes if row.problem is None)
    return {row.scene_id: scene_fingerprint(store.dataset, "regridded", row) for row in readable}


def scenes_not_regridded(store: DatasetStore, ledger: Ledger) -> list[str]:
    """Scenes that a plan cannot look at yet, none where ``sampling.accept`` asks for nothing."""
    return [] if store.dataset.meta.sampling.accept is None else scenes_to_regrid_first(store, ledger)


def scenes_to_regrid_first(store: DatasetStore, ledger: Ledger) -> list[str]:
    """Scenes of the ledger that are not on the dataset's grid, or of other settings, and could be read."""
    there = set(store.scenes(["regridded"]).stored())
    readable = [row.scene_id for row in ledger.scenes if row.problem is None]
    missing = [scene_id for scene_id in readable if scene_id not in there]
    return missing + outdated_scenes(store, "regridded", [name for name in readable if name in there])


def unreadable_scenes(store: DatasetStore, ledger: Ledger) -> dict[str, str]:
    """Scenes from which no tile can be accepted, since their files could not be read, with the reason."""
    if store.dataset.meta.sampling.accept is None:
        return {}
    return {row.scene_id: "its files could not be read" for row in ledger.scenes if row.problem is not None}


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
    store: DatasetStore,
    of_mask: DatasetStore | None,
    accept: Accept,
    scenes: Mapping[str, str],
    masks: Mapping[str, str],
    scene_id: str,
) -> tuple[Fields | None, Mask]:
    """Fields and cloud of a scene; no tile is taken from one that could not be read.

    Files of other scenes and masks than those given may lie there from earlier times: they are not looked at.
    """
    if scene_id not in scenes:
        return None, None
    field = _field(store.scenes(["regridded"]), scene_id)
    fields = np.asarray(field.values, np.float64).reshape(-1, *field.shape[-2:])
    if accept.cloud_mask is None:
        return fields, None
    if of_mask is None:
        return fields, call_mask_function(store.dataset.functions_file, accept.cloud_mask, field)
    return fields, _mask_of(of_mask.scenes(["regridded"]), accept.cloud_mask, scene_id) if scene_id in masks else None


def _field(arrays: ArrayStore, scene_id: str) -> xr.DataArray:
    try:
        with arrays.open(scene_id) as scene:
            (field,) = scene.load().data_vars.values()
    except DAMAGED as error:
        raise StoreError(
            f"this scene is damaged ({error})", where=arrays.url(scene_id), remedy="Delete it and run it again"
        ) from error
    return field


def _mask_of(arrays: ArrayStore, name: str, scene_id: str) -> Mask:
    """The field of an auxiliary product as a mask; PlanError where it is none."""
    field = _field(arrays, scene_id)
    bands: Fields = np.asarray(field.values, np.float64).reshape(-1, *field.shape[-2:])
    known = bands[np.isfinite(bands)]
    found = None
    if len(bands) > 1:
        found = f"has {len(bands)} bands"
    elif not np.isin(known, (0, 1)).all():
        found = f"has values from {known.min():g} to {known.max():g}"
    if found is not None:
        raise PlanError(
            f"the auxiliary product {name} {found}, and as `sampling.accept.cloud_mask` it is to be 1 where there is "
            "cloud, 0 where there is none and NaN where that is unknown, with nothing between",
            where=arrays.url(scene_id),
            remedy="Name another product, such as ACM, or a function; what a function makes is not averaged where its "
            "result has the attribute `categorical`",
        )
    mask: Fields = bands[0]
    return mask
