"""The per-scene stages: read and crop, regrid, cut tiles.

One call takes one scene through the stages that are asked for and returns small records; whatever
is large goes to disk where it is made. Files that are there and were made from the same settings
are kept. An error ends the scene, not its neighbours.
"""

from __future__ import annotations

import io
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

import xarray as xr
from PIL import Image

from convml_data.errors import ConvmlError, SceneError
from convml_data.images.picture import png_bytes, scene_picture, thumbnail
from convml_data.meta.dataset import Dataset
from convml_data.regrid.scene import regrid_scene
from convml_data.scenes.ledger import LedgerRow
from convml_data.sources import source_of
from convml_data.store.arrays import ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.store.layout import TILE_SUFFIXES
from convml_data.tiles.files import tile_attributes, tile_yml
from convml_data.tiles.plan import TileSpec

Stage = Literal["cropped", "regridded", "triplet_tiles"]
STAGES: tuple[Stage, ...] = get_args(Stage)

#: Longest side of the picture that goes into Dagster's records, pixels; it is stored with each event.
PREVIEW_SIDE = 128

#: What a scene's data say about themselves that is worth a column in the records.
_REPORTED = ("scene_time", "satellite", "bytes_read", "bytes_whole_files", "requests", "valid_share")

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Record:
    """What one stage did for one scene.

    Parameters
    ----------
    stage
        Name of the stage.
    url
        Where the result lies.
    fingerprint
        Of the settings it was made from.
    kept
        Whether it was there already.
    metadata
        Scene time, satellite, bytes read, valid share, seconds, …
    preview
        A small PNG, None where there is nothing to show.
    """

    stage: Stage
    url: str
    fingerprint: str
    kept: bool
    metadata: Mapping[str, Scalar]
    preview: bytes | None


@dataclass(frozen=True)
class SceneOutcome:
    """Records of the stages that a scene passed, and what stopped it if anything did."""

    scene_id: str
    records: tuple[Record, ...]
    failed_stage: Stage | None = None
    error: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class SceneTask:
    """What is to be done for one scene."""

    store: DatasetStore
    row: LedgerRow
    stages: frozenset[Stage]
    tiles: tuple[TileSpec, ...] = ()


def process_scene(task: SceneTask) -> SceneOutcome:
    """Take a scene through its stages, in their order; never raises for what is wrong with it."""
    work = _SceneWork(task)
    steps: dict[Stage, Callable[[], Record]] = {
        "cropped": work.crop,
        "regridded": work.regrid,
        "triplet_tiles": work.cut_tiles,
    }
    records: list[Record] = []
    for stage in STAGES:
        if stage not in task.stages:
            continue
        try:
            records.append(steps[stage]())
        except ConvmlError as error:
            return SceneOutcome(task.row.scene_id, tuple(records), stage, str(error))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            return SceneOutcome(task.row.scene_id, tuple(records), stage, what, traceback.format_exc())
    return SceneOutcome(task.row.scene_id, tuple(records))


@dataclass
class _SceneWork:
    """A scene on its way: keeps the cropped data in memory between stages."""

    task: SceneTask
    cropped: xr.Dataset | None = field(default=None, init=False)

    @property
    def store(self) -> DatasetStore:
        return self.task.store

    @property
    def dataset(self) -> Dataset:
        return self.task.store.dataset

    def crop(self) -> Record:
        def read() -> xr.Dataset:
            self.cropped = source_of(self.dataset).read(self.task.row.scan, self.dataset.read_domain)
            return self.cropped

        return self._scene_stage("cropped", read)

    def regrid(self) -> Record:
        def regrid() -> xr.Dataset:
            return regrid_scene(
                self._cropped(), self.dataset.grid, self.dataset.meta.sampling.method, self.store.index_maps
            )

        return self._scene_stage("regridded", regrid)

    def _scene_stage(self, stage: Literal["cropped", "regridded"], make: Callable[[], xr.Dataset]) -> Record:
        """A stage that gives one gridded dataset and one picture for the scene."""
        started = time.perf_counter()
        scene_id = self.task.row.scene_id
        arrays, picture = self.store.scenes([stage]), self.store.picture(stage, scene_id)
        fingerprint = scene_fingerprint(self.dataset, stage, self.task.row)
        attributes = arrays.attributes(scene_id)
        kept = (
            attributes is not None and attributes.get("fingerprint") == fingerprint and self.store.files.exists(picture)
        )
        if kept and attributes is not None:
            image: Image.Image = Image.open(io.BytesIO(self.store.files.read_bytes(picture)))
        else:
            data = make()
            data = data.assign_attrs(
                dataset=self.dataset.name,
                scene_id=scene_id,
                source=self.dataset.meta.source,
                fingerprint=fingerprint,
            )
            attributes = data.attrs
            image = scene_picture(data)
            self.store.files.write_bytes(picture, png_bytes(image))
            arrays.write(scene_id, data)
        metadata = {name: attributes[name] for name in _REPORTED if name in attributes}
        if not kept:
            metadata["seconds"] = time.perf_counter() - started
        return Record(stage, arrays.url(scene_id), fingerprint, kept, metadata, thumbnail(image, PREVIEW_SIDE))

    def _cropped(self) -> xr.Dataset:
        """The scene on its source's grid, from the stage before or from its file."""
        if self.cropped is None:
            arrays, scene_id = self.store.scenes(["cropped"]), self.task.row.scene_id
            attributes = arrays.attributes(scene_id)
            expected = scene_fingerprint(self.dataset, "cropped", self.task.row)
            if attributes is None or attributes.get("fingerprint") != expected:
                state = "there is no cropped scene" if attributes is None else "the cropped scene is out of date"
                raise SceneError(
                    f"{state} to work from",
                    where=arrays.url(scene_id),
                    remedy="Run `convml-data crop`, or materialize `cropped` for this partition too",
                )
            with arrays.open(scene_id) as scene:
                self.cropped = scene.load()
        return self.cropped

    def cut_tiles(self) -> Record:
        started = time.perf_counter()
        made = [self._cut_tile(tile) for tile in self.task.tiles]
        previews = [image for _, image in made]
        metadata: dict[str, Scalar] = {
            "scene_time": self.task.row.scan.start.isoformat(),
            "satellite": self.task.row.scan.satellite,
            "tiles": len(made),
            "names": ", ".join(f"{tile.collection}/{tile.name}" for tile in self.task.tiles),
        }
        kept = all(was_kept for was_kept, _ in made)
        if not kept:
            metadata["seconds"] = time.perf_counter() - started
        return Record(
            "triplet_tiles",
            self.store.files.url("triplets"),
            self._tiles_fingerprint(),
            kept,
            metadata,
            thumbnail(previews[0], PREVIEW_SIDE) if previews else None,
        )

    def _tiles_fingerprint(self) -> str:
        each = [tile_fingerprint(self.dataset, self.task.row, tile) for tile in self.task.tiles]
        return sha256(json.dumps(each).encode()).hexdigest()[:12]

    def _cut_tile(self, tile: TileSpec) -> tuple[bool, Image.Image]:
        """Whether the tile was there already, and its picture."""
        files, fingerprint = self.store.files, tile_fingerprint(self.dataset, self.task.row, tile)
        for waiting in (False, True):
            arrays = self.store.tiles(tile.collection, waiting=waiting)
            if tile_is_complete(arrays, tile, fingerprint):
                return True, Image.open(io.BytesIO(files.read_bytes(f"{arrays.folder}/{tile.name}.png")))

        data = regrid_scene(self._cropped(), tile.grid, self.dataset.meta.sampling.method, cache=None)
        data = data.assign_attrs(
            dataset=self.dataset.name,
            source=self.dataset.meta.source,
            **tile_attributes(tile, fingerprint),
        )
        image = scene_picture(data)
        arrays = self.store.tiles(tile.collection, waiting=True)
        stem = f"{arrays.folder}/{tile.name}"
        files.write_bytes(f"{stem}.yml", tile_yml(tile, data.attrs).encode())
        files.write_bytes(f"{stem}.png", png_bytes(image))
        arrays.write(tile.name, data)
        return False, image


def scene_fingerprint(dataset: Dataset, stage: Literal["cropped", "regridded"], row: LedgerRow) -> str:
    """What a scene's file of a stage is made from: settings, and the source files by their names.

    Names of archive files hold the time of their processing, so a reprocessed scene is made anew,
    and one from a mirror of the archive is not.
    """
    names = sorted(file.url.rpartition("/")[2] for file in row.scan.files.values())
    return sha256(json.dumps([dataset.fingerprint(stage), names]).encode()).hexdigest()[:12]


def tile_fingerprint(dataset: Dataset, row: LedgerRow, tile: TileSpec) -> str:
    """What a tile is made from: its place and shape, the cropped scene and the interpolation."""
    return tile.fingerprint(f"{scene_fingerprint(dataset, 'cropped', row)} {dataset.meta.sampling.method}")


def tile_is_complete(arrays: ArrayStore, tile: TileSpec, fingerprint: str) -> bool:
    """Whether all files of a tile are there and were made from the present settings."""
    return (
        all(arrays.files.exists(f"{arrays.folder}/{tile.name}{suffix}") for suffix in TILE_SUFFIXES)
        and (arrays.attributes(tile.name) or {}).get("fingerprint") == fingerprint
    )
