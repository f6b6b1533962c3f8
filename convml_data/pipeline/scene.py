"""The per-scene stages: read and crop, regrid, cut tiles.

One call takes one scene through the stages that are asked for and returns small records; whatever
is large goes to disk where it is made. Files that are there and were made from the same settings
are kept. An error ends the scene, not its neighbours.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import xarray as xr
from PIL import Image

from convml_data.errors import ConvmlError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.picture import png_bytes, scene_picture, thumbnail
from convml_data.images.style import Style, style_fingerprint
from convml_data.meta.dataset import Dataset
from convml_data.pipeline.made_from import (
    SceneStage,
    Tile,
    complete_tile,
    scene_fingerprint,
    tile_fingerprint,
    whole_picture,
)
from convml_data.regrid.scene import regrid_scene
from convml_data.scenes.ledger import Coverage, LedgerRow, too_little
from convml_data.sources import source_of
from convml_data.store.arrays import ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.files import tile_attributes, tile_yml
from convml_data.tiles.plan import TileSpec

Stage = Literal["cropped", "regridded", "triplet_tiles"]
STAGES: tuple[Stage, ...] = get_args(Stage)

#: Longest side of the picture that goes into Dagster's records, pixels; it is stored with each event.
PREVIEW_SIDE = 96

#: What a scene's data say about themselves that is worth a column in the records.
_REPORTED = (
    "scene_time",
    "satellite",
    "bytes_read",
    "bytes_whole_files",
    "requests",
    "valid_share",
    "missing_on_earth_share",
    "rejected_share",
)

Scalar = str | int | float | bool

#: What reading a file raises whose attributes are whole and whose values are not.
_DAMAGED = (StoreError, OSError, RuntimeError, ValueError)


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
    """Records of the stages that a scene passed, and what stopped it if anything did.

    ``coverage`` is that of the cropped scene, where it was looked at. ``dropped`` says why it is no
    scene after all, which is no error.
    """

    scene_id: str
    records: tuple[Record, ...]
    failed_stage: Stage | None = None
    error: str | None = None
    traceback: str | None = None
    coverage: Coverage | None = None
    dropped: str | None = None


@dataclass(frozen=True)
class SceneTask:
    """What is to be done for one scene."""

    store: DatasetStore
    row: LedgerRow
    stages: frozenset[Stage]
    tiles: tuple[TileSpec, ...]
    style: Style


class _DroppedSceneError(Exception):
    """The scene is none, for the reason that is the argument."""


def process_scene(task: SceneTask) -> SceneOutcome:
    """Take a scene through its stages, in their order; never raises for what is wrong with it.

    A stage that needs the cropped scene makes it where it is missing, out of date or damaged.
    """
    work = _SceneWork(task)
    problem: dict[str, Any] = {}
    try:
        for stage in STAGES:
            if stage in task.stages:
                work.do(stage)
    except _DroppedSceneError as reason:
        problem = {"dropped": str(reason)}
    except ConvmlError as error:
        problem = {"failed_stage": work.stage, "error": str(error)}
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        problem = {"failed_stage": work.stage, "error": what, "traceback": traceback.format_exc()}
    return SceneOutcome(task.row.scene_id, tuple(work.records), coverage=work.coverage_of_cropped(), **problem)


@dataclass
class _SceneWork:
    """A scene on its way: the stage it is in, what was done, and the cropped data between stages."""

    task: SceneTask
    stage: Stage = field(default=STAGES[0], init=False)
    records: list[Record] = field(default_factory=list, init=False)
    cropped: xr.Dataset | None = field(default=None, init=False)
    coverage: Coverage | None = field(default=None, init=False)

    @property
    def store(self) -> DatasetStore:
        return self.task.store

    @property
    def dataset(self) -> Dataset:
        return self.task.store.dataset

    def do(self, stage: Stage) -> None:
        steps: dict[Stage, Callable[[], Record]] = {
            "cropped": self.crop,
            "regridded": self.regrid,
            "triplet_tiles": self.cut_tiles,
        }
        self.stage = stage
        self.records.append(steps[stage]())
        self._drop_if_too_little()

    def coverage_of_cropped(self) -> Coverage | None:
        """That of the cropped scene, also where an earlier run made it and could not say so in the ledger."""
        row = self.task.row
        if self.coverage is not None or row.coverage is not None:
            return self.coverage
        attributes = self.store.scenes(["cropped"]).attributes(row.scene_id) or {}
        made_from = scene_fingerprint(self.dataset, "cropped", row)
        return _coverage(made_from, attributes) if attributes.get("fingerprint") == made_from else None

    def _drop_if_too_little(self) -> None:
        """End here with a scene that shows less of its domain than is asked for."""
        if self.coverage is not None:
            reason = too_little(self.coverage.valid_share, self.dataset.meta.quality.min_valid_share)
            if reason is not None:
                raise _DroppedSceneError(reason)

    def crop(self, again: bool = False) -> Record:
        def read() -> xr.Dataset:
            return source_of(self.dataset).read(self.task.row.scan, self.dataset.read_domain)

        return self._scene_stage("cropped", read, again)

    def regrid(self) -> Record:
        def regrid() -> xr.Dataset:
            return regrid_scene(
                self._cropped(), self.dataset.grid, self.dataset.meta.sampling.method, self.store.index_maps
            )

        return self._scene_stage("regridded", regrid)

    def _scene_stage(self, stage: SceneStage, make: Callable[[], xr.Dataset], again: bool = False) -> Record:
        """A stage that gives one gridded dataset and one picture for the scene, made ``again`` or kept."""
        started = time.perf_counter()
        scene_id = self.task.row.scene_id
        arrays, picture = self.store.scenes([stage]), self.store.picture(stage, scene_id)
        made_from = scene_fingerprint(self.dataset, stage, self.task.row)
        attributes = arrays.attributes(scene_id) or {}
        style = style_fingerprint(self.task.style)
        if not self.store.has_pictures:
            self.store.files.remove(picture)  # of another meta.yaml
        kept = not again and attributes.get("fingerprint") == made_from
        image = whole_picture(self.store.files, picture, style) if kept else None
        if kept and image is None and self.store.has_pictures:
            kept, image = self._drawn_again(arrays, picture)
        if not kept:
            data = make()
            data = data.assign_attrs(
                dataset=self.dataset.name,
                scene_id=scene_id,
                source=self.dataset.meta.source,
                fingerprint=made_from,
            )
            if stage == "cropped":
                self.cropped = data  # just as a later run finds it on disk
            attributes = data.attrs
            image = self._draw(data, picture)
            arrays.write(scene_id, data)
        if stage == "cropped":
            self.coverage = _coverage(made_from, attributes)
        metadata = {name: attributes[name] for name in _REPORTED if name in attributes}
        if not kept:
            metadata["seconds"] = time.perf_counter() - started
        preview = None if image is None else thumbnail(image, PREVIEW_SIDE)
        return Record(stage, arrays.url(scene_id), made_from, kept, metadata, preview)

    def _draw(self, data: xr.Dataset, name: str) -> Image.Image | None:
        """The picture of a scene or tile, kept under its name; None where there are to be none."""
        if not self.store.has_pictures:
            return None
        image = scene_picture(data, self.task.style)
        self.store.files.write_bytes(name, png_bytes(image, style_fingerprint(self.task.style)))
        return image

    def _drawn_again(self, arrays: ArrayStore, picture: str) -> tuple[bool, Image.Image | None]:
        """The picture of data on disk, and whether the data could be read."""
        try:
            with arrays.open(self.task.row.scene_id) as scene:
                return True, self._draw(scene.load(), picture)
        except _DAMAGED:
            return False, None

    def _cropped(self) -> xr.Dataset:
        """The scene on its source's grid, from the stage before, from its file, or made now."""
        if self.cropped is None and "cropped" not in self.task.stages:
            self._crop_too()
        if self.cropped is None:
            try:
                with self.store.scenes(["cropped"]).open(self.task.row.scene_id) as scene:
                    self.cropped = scene.load()
            except _DAMAGED:
                self._crop_too(again=True)
        assert self.cropped is not None
        return self.cropped

    def _crop_too(self, again: bool = False) -> None:
        """Crop within another stage, which is not to blame for an error meanwhile."""
        stage, self.stage = self.stage, "cropped"
        record = self.crop(again)
        if not record.kept:
            self.records.append(record)
        self._drop_if_too_little()
        self.stage = stage

    def cut_tiles(self) -> Record:
        started = time.perf_counter()
        made = [self._cut_tile(tile) for tile in self.task.tiles]
        kept = bool(made) and all(tile.kept for tile in made)
        metadata: dict[str, Scalar] = {
            "scene_time": self.task.row.scan.start.isoformat(),
            "satellite": self.task.row.scan.satellite,
            "tiles": len(made),
        }
        if made:
            metadata |= {
                "names": ", ".join(f"{tile.collection}/{tile.name}" for tile in self.task.tiles),
                "bytes_read": made[0].attributes["bytes_read"],
                "valid_share": min(tile.attributes["valid_share"] for tile in made),
            }
        if not kept:
            metadata["seconds"] = time.perf_counter() - started
        return Record(
            "triplet_tiles",
            self.store.files.url("triplets"),
            fingerprint([tile_fingerprint(self.dataset, self.task.row, tile) for tile in self.task.tiles]),
            kept,
            metadata,
            thumbnail(made[0].picture, PREVIEW_SIDE) if made and made[0].picture is not None else None,
        )

    def _cut_tile(self, spec: TileSpec) -> Tile:
        made_from = tile_fingerprint(self.dataset, self.task.row, spec)
        there = complete_tile(self.store, spec, made_from, style_fingerprint(self.task.style))
        if there is not None:
            return there

        data = regrid_scene(self._cropped(), spec.grid, self.dataset.meta.sampling.method, cache=None)
        data = data.assign_attrs(
            dataset=self.dataset.name,
            source=self.dataset.meta.source,
            **tile_attributes(spec, made_from),
        )
        arrays = self.store.tiles(spec.collection, waiting=True)
        stem = f"{arrays.folder}/{spec.name}"
        self.store.files.write_bytes(f"{stem}.yml", tile_yml(spec, data.attrs).encode())
        picture = self._draw(data, f"{stem}.png")
        arrays.write(spec.name, data)
        return Tile(data.attrs, picture, kept=False)


def _coverage(made_from: str, attributes: Mapping[str, Any]) -> Coverage:
    """What the attributes of a cropped scene say."""
    missing = attributes.get("missing_on_earth_share")
    return Coverage(made_from, float(attributes["valid_share"]), None if missing is None else float(missing))
