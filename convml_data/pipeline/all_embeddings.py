"""The embeddings of all scenes together, brought up to date scene by scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from convml_data.embeddings.scene_data import EMB
from convml_data.errors import ConvmlError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.pipeline.embeddings import EmbeddingTask, due_embeddings
from convml_data.store.arrays import DAMAGED
from convml_data.store.growing import Growth, Parts, grow, write_whole

#: What says something of one scene alone.
_OF_A_SCENE = ("fingerprint", "tiles", "tiles_without_embedding", "why_without", "tiles_not_cut")


@dataclass(frozen=True)
class AllEmbeddings:
    """The embeddings of all scenes.

    Parameters
    ----------
    url
        Where they lie.
    made_from
        Their fingerprint.
    growth
        What was written, None where nothing had to be.
    scenes, tiles
        How many there are.
    without
        For scenes that are not among them, why.
    """

    url: str
    made_from: str
    growth: Growth | None
    scenes: int
    tiles: int
    without: Mapping[str, str]


def make_all(task: EmbeddingTask) -> AllEmbeddings:
    """Put the embeddings of all scenes that are there into one store or file.

    Raises
    ------
    StoreError
        There are none, or a scene's cannot be read.
    """
    there, without, tiles = _present(task)
    kept_in, format_ = task.kept_in, task.entry.format
    name, files = kept_in.all_name(format_), task.store.files
    if not there:
        why = next(iter(without.values()), "there is no scene")
        raise StoreError(
            f"no scene has embeddings of the present settings ({why})",
            where=files.url(kept_in.folder),
            remedy="Run `convml-data embeddings`, or materialize the embeddings of scenes first",
        )
    of_windows = task.entry.step_size is not None
    made_from = fingerprint([task.settings, list(there.items())])
    first = kept_in.scenes.attributes(next(iter(there))) or {}
    attributes = {key: value for key, value in first.items() if key not in _OF_A_SCENE} | {"fingerprint": made_from}

    def read(scene_id: str) -> xr.Dataset:
        try:
            with kept_in.scenes.open(scene_id) as data:
                data = data.load()
        except DAMAGED as error:
            raise StoreError(
                f"these embeddings cannot be read ({error})",
                where=kept_in.scenes.url(scene_id),
                remedy="Delete them and run `convml-data embeddings`",
            ) from error
        return _with_scenes(data) if of_windows else data

    parts = Parts("scene_id" if of_windows else "tile_id", there, task.settings, read, attributes)
    growth: Growth | None = None
    if format_ == "zarr":
        growth = grow(files, name, parts)
    elif (kept_in.all_attributes("netcdf") or {}).get("fingerprint") != made_from:
        write_whole(files, name, parts)
        growth = Growth(len(there), 0, 0, rewritten=True)
    for other in kept_in.all_formats():
        if other != format_:
            files.remove(kept_in.all_name(other))  # or readers might take what is not brought up to date
    return AllEmbeddings(files.url(name), made_from, growth, len(there), tiles, without)


def _present(task: EmbeddingTask) -> tuple[dict[str, str], dict[str, str], int]:
    """What the embeddings of each scene that has some are made from, why others have none, and how many tiles."""
    scenes = task.kept_in.scenes
    there: dict[str, str] = {}
    without: dict[str, str] = {}
    tiles = 0
    for scene_id, due in due_embeddings(task).items():
        attributes = scenes.attributes(scene_id)
        if isinstance(due, ConvmlError):
            without[scene_id] = str(due)
        elif attributes is None:
            without[scene_id] = "it has no embeddings"
        elif attributes.get("fingerprint") != due:
            without[scene_id] = "its embeddings were made from other settings or data"
        else:
            there[scene_id] = due
            tiles += int(attributes["tiles"])
    return there, without, tiles


def _with_scenes(data: xr.Dataset) -> xr.Dataset:
    """The embeddings of the windows of a scene with the scene as their first dimension."""
    own = [EMB, "valid_share", "scene_time"]
    by_scene = {name: data[name].expand_dims("scene_id") for name in own}
    rest = data.drop_vars([*own, "scene_id"])
    return rest.assign({EMB: by_scene.pop(EMB)}).assign_coords(by_scene | {"scene_id": [data["scene_id"].item()]})
