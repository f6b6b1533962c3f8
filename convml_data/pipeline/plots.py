"""Plots of auxiliary fields below the scenes that they go with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import xarray as xr

from convml_data.errors import ConvmlError, PlanError, StoreError
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import outdated_scenes
from convml_data.pipeline.style import dataset_style
from convml_data.report.aux_plot import aux_plot
from convml_data.store.dataset import DatasetStore


@dataclass(frozen=True)
class Plot:
    """A plot on disk, or why there is none."""

    scene_id: str
    url: str | None
    content: bytes | None
    problem: str | None


def plot_aux(store: DatasetStore, scene_ids: Sequence[str]) -> Iterator[Plot]:
    """Draw those scenes of which both the scene and the auxiliary field are regridded.

    Parameters
    ----------
    store
        Of the auxiliary product.
    scene_ids
        Of the dataset's scenes.

    Raises
    ------
    PlanError
        The dataset or the product has no pictures.
    """
    primary = store.primary
    matched = {row.scene_id: row for row in current_ledger(store).rows}
    styles = [dataset_style(each) for each in (primary, store)]
    if None in styles:
        raise PlanError(
            "there is nothing to plot, since `image_function: null` asks for no pictures",
            where=str(store.dataset.directory / "meta.yaml"),
            remedy="Take it out",
        )
    for scene_id in scene_ids:
        row = matched.get(scene_id)
        if row is None or row.reason is not None:
            yield Plot(scene_id, None, None, "no image goes with it" if row is None else row.reason)
            continue
        try:
            scene, field = (regridded_scene(each, scene_id) for each in (primary, store))
            content = aux_plot(scene, field, *styles)
        except ConvmlError as error:
            yield Plot(scene_id, None, None, str(error))
            continue
        name = store.layout.plot(scene_id)
        store.files.write_bytes(name, content)
        yield Plot(scene_id, store.files.url(name), content, None)


def regridded_scene(store: DatasetStore, scene_id: str) -> xr.Dataset:
    """A scene on the dataset's grid; StoreError where it is not there or of other settings."""
    arrays = store.scenes(["regridded"])
    aux = "" if store.dataset.aux_name is None else f" --aux-name {store.dataset.aux_name}"
    if not store.files.exists(arrays.name(scene_id)) or outdated_scenes(store, "regridded", [scene_id]):
        raise StoreError(
            "the scene is not there, or was made from other settings",
            where=arrays.url(scene_id),
            remedy=f"Run `convml-data regrid{aux}` first",
        )
    with arrays.open(scene_id) as scene:
        return scene.load()
