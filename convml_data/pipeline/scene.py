"""The per-scene stages: read and crop, regrid, cut tiles.

One call takes one scene through the stages that are asked for and returns small records; whatever
is large goes to disk where it is made. Files that are there and were made from the same settings
are kept. An error ends the scene, not its neighbours.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import xarray as xr
from PIL import Image

from convml_data.errors import ArchiveUnreachableError, ConvmlError, SceneError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.picture import png_bytes, scene_picture, thumbnail
from convml_data.images.style import Style, style_fingerprint
from convml_data.meta.dataset import Dataset
from convml_data.pipeline.contents import DIGEST, content_of, content_of_data, values_digest
from convml_data.pipeline.made_from import SceneStage, scene_fingerprint, tile_fingerprint, whole_picture
from convml_data.pipeline.outdated import tiles_mark
from convml_data.pipeline.tile_files import CutTile, TileFiles
from convml_data.pipeline.tile_packs import TilePacks
from convml_data.regrid.scene import cut_window, regrid_scene
from convml_data.rules import Consequence, Content, Rules, rules_of
from convml_data.scenes.ledger import Coverage, LedgerRow
from convml_data.sources import source_of
from convml_data.store.arrays import DAMAGED, ArrayStore
from convml_data.store.claims import claimed
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.files import tile_attributes
from convml_data.tiles.tile import Tile, TileStage

Stage = Literal[SceneStage, TileStage]
STAGES: tuple[Stage, ...] = get_args(Stage)
TILE_STAGES: tuple[TileStage, ...] = get_args(TileStage)


def first_of(stages: frozenset[Stage]) -> Stage:
    """The stage that a scene passes first."""
    return next(stage for stage in STAGES if stage in stages)


#: Longest side of the picture that goes into Dagster's records, pixels; it is stored with each event.
PREVIEW_SIDE = 96

#: Tiles of a scene that its record names.
NAMES_SHOWN = 12

#: What a scene's data say about themselves that is worth a column in the records.
_REPORTED = (
    "aux_offset_s",
    "scene_time",
    "satellite",
    "bytes_read",
    "bytes_whole_files",
    "valid_share",
    "missing_on_earth_share",
    "rejected_share",
)

#: What a source says of getting the data. It belongs to the record alone: it depends on what was known of the
#: files before, and the same scene must give the same bytes.
_OF_THE_WAY = ("bytes_fetched", "requests")

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
    contents
        Of the scene, or of its tiles, for the rules among them.
    """

    stage: Stage
    url: str
    fingerprint: str
    kept: bool
    metadata: Mapping[str, Scalar]
    preview: bytes | None
    contents: tuple[Content, ...] = ()


@dataclass(frozen=True)
class Breach:
    """A rule that a scene or one of its tiles broke in a stage, and how."""

    rule: str
    stage: Stage
    name: str
    why: str


@dataclass(frozen=True)
class SceneOutcome:
    """Records of the stages that a scene passed, and what stopped it if anything did.

    ``coverage`` is that of the cropped scene, where it was looked at. ``dropped`` says why it is no
    scene after all, which is no error. ``breach`` is the rule by which it ended, if one did, and
    ``try_again`` tells that the archive did not answer.
    """

    scene_id: str
    records: tuple[Record, ...]
    failed_stage: Stage | None = None
    error: str | None = None
    traceback: str | None = None
    coverage: Coverage | None = None
    dropped: str | None = None
    breach: Breach | None = None
    try_again: bool = False


@dataclass(frozen=True)
class SceneTask:
    """What is to be done for one scene; ``triplets_mark`` tells which plan of triplets it is of."""

    store: DatasetStore
    row: LedgerRow
    stages: frozenset[Stage]
    tiles: Mapping[TileStage, Sequence[Tile]]
    style: Style
    triplets_mark: bytes = b""


class _DroppedSceneError(Exception):
    """The scene is none, for the reason that is the argument."""


class _BrokenRuleError(SceneError):
    """A rule that stops the scene."""


def process_scene(task: SceneTask) -> SceneOutcome:
    """Take a scene through its stages, in their order; never raises for what is wrong with it.

    A stage that needs the cropped scene makes it where it is missing, out of date or damaged. Where
    another run works on the scene, this waits, and then keeps what that one made.
    """
    work = _SceneWork(task)
    problem: dict[str, Any] = {}
    try:
        with claimed(task.store.files, f"{task.store.layout.folder(['cropped'])}/{task.row.scene_id}"):
            for stage in STAGES:
                if stage in task.stages:
                    work.do(stage)
    except _DroppedSceneError as reason:
        problem = {"dropped": str(reason)}
    except ConvmlError as error:
        again = isinstance(error, ArchiveUnreachableError)
        problem = {"failed_stage": work.stage, "error": str(error), "try_again": again}
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        problem = {"failed_stage": work.stage, "error": what, "traceback": traceback.format_exc()}
    return SceneOutcome(
        task.row.scene_id, tuple(work.records), coverage=work.coverage_of_cropped(), breach=work.breach, **problem
    )


@dataclass
class _SceneWork:
    """A scene on its way: the stage it is in, what was done, and the cropped data between stages."""

    task: SceneTask
    stage: Stage = field(default=STAGES[0], init=False)
    records: list[Record] = field(default_factory=list, init=False)
    made: dict[SceneStage, xr.Dataset] = field(default_factory=dict, init=False)
    coverage: Coverage | None = field(default=None, init=False)
    breach: Breach | None = field(default=None, init=False)

    @property
    def store(self) -> DatasetStore:
        return self.task.store

    @property
    def dataset(self) -> Dataset:
        return self.task.store.dataset

    def do(self, stage: Stage) -> None:
        self.stage = stage
        if stage == "cropped":
            self.records.append(self.crop())
        elif stage == "regridded":
            self.records.append(self.regrid())
        else:
            self.records.append(self.cut_tiles(stage))
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
            self._judge("cropped", "drops", content_of(self.task.row, {"valid_share": self.coverage.valid_share}))

    @cached_property
    def _rules(self) -> Rules:
        return rules_of(self.dataset)

    def _judge(self, stage: Stage, consequence: Consequence, content: Content) -> None:
        """Hold a scene or tile against rules on it alone, and end here where it breaks one."""
        for rule in self._rules.of_one:
            applies = stage in rule.stages and rule.consequence == consequence
            for name, why in rule.judge(content).items() if applies else ():
                self.breach = Breach(rule.name, stage, name, why)
                if consequence == "drops":
                    raise _DroppedSceneError(why)
                raise _BrokenRuleError(
                    f"{name} breaks the rule {rule.name}: {why}", where=self.dataset.name, remedy=rule.remedy
                )

    def crop(self, again: bool = False) -> Record:
        self._judge("cropped", "stops", content_of(self.task.row, {}))  # before anything is read

        def read() -> xr.Dataset:
            return source_of(self.dataset).read(self.task.row.scan, self.dataset.read_domain)

        return self._scene_stage("cropped", read, again)

    def regrid(self, again: bool = False) -> Record:
        def regrid() -> xr.Dataset:
            method = self.dataset.meta.sampling.method
            return regrid_scene(self._scene("cropped"), self.dataset.grid, method, self.store.index_maps)

        return self._scene_stage("regridded", regrid, again)

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
        way: dict[str, Scalar] = {}
        if not kept:
            data = make()
            way = {name: data.attrs.pop(name) for name in _OF_THE_WAY if name in data.attrs}
            data = data.assign_attrs(
                dataset=self.dataset.name,
                scene_id=scene_id,
                source=self.dataset.meta.source,
                fingerprint=made_from,
                **self._match(),
                **({DIGEST: values_digest(data)} if stage == "cropped" else {}),
            )
            content = content_of_data(self.dataset, stage, self.task.row, data)
            self._judge(stage, "stops", content)  # before it is written: what breaks a rule is there for nobody
            self.made[stage] = data  # just as a later run finds it on disk
            attributes = data.attrs
            image = self._draw(data, picture)
            arrays.write(scene_id, data)
        if stage == "cropped":
            self.coverage = _coverage(made_from, attributes)
        if kept:
            content = content_of(self.task.row, attributes)
        seconds = None if kept else time.perf_counter() - started
        return scene_record(stage, arrays.url(scene_id), made_from, {**attributes, **way}, image, seconds, content)

    def _match(self) -> dict[str, Scalar]:
        """What data of an auxiliary product say of the scene that they go with."""
        match = self.task.row.match
        if self.dataset.aux_name is None or match is None:
            return {}
        return {"aux_name": self.dataset.aux_name, "aux_offset_s": match.offset_s}

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
        except DAMAGED:
            return False, None

    def _scene(self, stage: SceneStage) -> xr.Dataset:
        """The scene on its source's grid or on the dataset's: from the stage before, from its file, or made now."""
        if stage not in self.made and stage not in self.task.stages:
            self._make_too(stage)
        if stage not in self.made:
            try:
                with self.store.scenes([stage]).open(self.task.row.scene_id) as scene:
                    self.made[stage] = scene.load()
            except DAMAGED:
                self._make_too(stage, again=True)
        return self.made[stage]

    def _make_too(self, needed: SceneStage, again: bool = False) -> None:
        """Make a scene within another stage, which is not to blame for an error meanwhile."""
        stage, self.stage = self.stage, needed
        record = self.crop(again) if needed == "cropped" else self.regrid(again)
        if not record.kept:
            self.records.append(record)
        self._drop_if_too_little()
        self.stage = stage

    def _require_present_plan(self) -> None:
        """See that no other run has begun on another plan, of whose triplets these tiles would be none."""
        if tiles_mark(self.store, "triplet_tiles") != self.task.triplets_mark:
            raise StoreError(
                "the plan of the tiles has changed since this run began",
                where=self.store.files.url(self.store.layout.tile_plan),
                remedy="Run it again",
            )

    def cut_tiles(self, stage: TileStage) -> Record:
        if stage == "triplet_tiles":
            self._require_present_plan()
        started = time.perf_counter()
        tiles = {
            tile: tile_fingerprint(self.dataset, self.task.row, stage, tile) for tile in self.task.tiles.get(stage, ())
        }
        kind = TilePacks if self.store.packs else TileFiles
        cut = kind(self.store, stage, self.task.style).cut
        made = cut(tiles, lambda tile: self._make_tile(stage, tile, tiles[tile]))
        kept = bool(made) and all(tile.kept for tile in made)
        seconds = None if kept else time.perf_counter() - started
        return tiles_record(self.store, stage, self.task.row, tiles, made, seconds)

    def _make_tile(self, stage: TileStage, tile: Tile, made_from: str) -> xr.Dataset:
        data = self._data_of(tile)
        data = data.assign_attrs(
            dataset=self.dataset.name,
            source=self.dataset.meta.source,
            **tile_attributes(tile, made_from),
            **self._match(),
            **{DIGEST: values_digest(data)},
        )
        self._judge(stage, "stops", content_of_data(self.dataset, "regridded", self.task.row, data, tile))
        return data

    def _data_of(self, tile: Tile) -> xr.Dataset:
        """A window of the scene on the dataset's grid, or the source's pixels interpolated once."""
        if tile.window is not None:
            return cut_window(self._scene("regridded"), tile.window)
        return regrid_scene(self._scene("cropped"), tile.grid, self.dataset.meta.sampling.method, cache=None)


def _coverage(made_from: str, attributes: Mapping[str, Any]) -> Coverage:
    """What the attributes of a cropped scene say."""
    missing = attributes.get("missing_on_earth_share")
    return Coverage(made_from, float(attributes["valid_share"]), None if missing is None else float(missing))


def scene_record(
    stage: SceneStage,
    url: str,
    made_from: str,
    attributes: Mapping[str, Any],
    image: Image.Image | None,
    seconds: float | None,
    content: Content,
) -> Record:
    """The record of a scene's file by its attributes; ``seconds`` that making it took, None where it was kept."""
    metadata = {name: attributes[name] for name in (*_REPORTED, *_OF_THE_WAY) if name in attributes}
    preview = None if image is None else thumbnail(image, PREVIEW_SIDE)
    return Record(stage, url, made_from, seconds is None, metadata | _taken(seconds), preview, (content,))


def tiles_record(
    store: DatasetStore,
    stage: TileStage,
    row: LedgerRow,
    tiles: Mapping[Tile, str],
    made: Sequence[CutTile],
    seconds: float | None,
) -> Record:
    """The record of a scene's tiles; ``seconds`` that making them took, None where all were kept."""
    metadata: dict[str, Scalar] = {
        "scene_time": row.scan.start.isoformat(),
        "satellite": row.scan.satellite,
        "tiles": len(made),
    }
    if made:
        names = [f"{tile.collection}/{tile.name}".lstrip("/") for tile in tiles]
        metadata |= {
            "names": ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else ""),
            "tile": store.shown_tiles(stage, next(iter(tiles)).collection).url(next(iter(tiles)).name),
            "bytes_read": made[0].attributes["bytes_read"],
            "valid_share": min(tile.attributes["valid_share"] for tile in made),
        }
    return Record(
        stage,
        store.files.url(store.tiles_place(stage)),
        fingerprint(list(tiles.values())),
        seconds is None,
        metadata | _taken(seconds),
        thumbnail(made[0].picture, PREVIEW_SIDE) if made and made[0].picture is not None else None,
        tuple(content_of(row, of_tile.attributes, tile) for tile, of_tile in zip(tiles, made, strict=True)),
    )


def _taken(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"seconds": seconds}
