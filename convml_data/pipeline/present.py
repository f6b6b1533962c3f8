"""What of a stage is there, of which settings, and why the rest is not: looked up without making anything.

The archive is not asked: a scene is what the ledger says, and its files are looked at as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from convml_data.errors import StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.style import Style, style_fingerprint
from convml_data.meta.changes import what_changed
from convml_data.pipeline.contents import content_of
from convml_data.pipeline.discovery import ledger_is_current
from convml_data.pipeline.made_from import (
    SceneStage,
    fingerprint_of_scene,
    scene_fingerprint,
    tile_fingerprint,
    whole_picture,
)
from convml_data.pipeline.scene import Record, Stage, scene_record, tiles_record
from convml_data.pipeline.style import known_style
from convml_data.pipeline.tile_files import CutTile, TileFiles
from convml_data.pipeline.tiles import (
    PLANS,
    plan_fingerprint,
    plan_holds,
    tiles_of_scenes,
)
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.dataset import DatasetStore
from convml_data.store.packed_tiles import PackedScene
from convml_data.tiles.tile import Tile, TileStage

Kind = Literal["current", "outdated", "missing", "failed"]

#: Said of what was made from no settings that are on record with the files that the ledger names now.
NOT_KNOWN = "source files were reprocessed, or settings were others that are not on record"


@dataclass(frozen=True)
class State:
    """Whether something is there and of the present settings, and why not."""

    kind: Kind
    why: str | None = None


CURRENT = State("current")


def ledger_state(store: DatasetStore) -> State:
    """Of the scene ledger, or of the matches of an auxiliary product."""
    if not store.files.exists(store.layout.ledger):
        return State("missing")
    if ledger_is_current(store):
        return CURRENT
    ledger = store.read_ledger()
    before = store.noted_settings("scene_ids").get(ledger.fingerprint)
    if ledger.fingerprint == store.dataset.fingerprint("scene_ids"):
        return State("outdated", "the archive or the scenes are others")
    return State("outdated", NOT_KNOWN if before is None else _joined(what_changed(before, store.dataset, "scene_ids")))


def plan_state(store: DatasetStore, plan: Literal["tile_plan", "trajectory_plan"]) -> State:
    """Of a plan of tiles, which auxiliary products have from the dataset."""
    store = store.primary
    triplets = plan == "tile_plan"
    if not store.files.exists(store.layout.tile_plan if triplets else store.layout.trajectory_plan):
        return State("missing")
    if plan_holds(store, plan):
        return CURRENT
    found, ledger = (store.read_tile_plan() if triplets else store.read_trajectory_plan()), store.read_ledger()
    for settings, before in store.noted_settings(plan).items():
        if found.fingerprint == plan_fingerprint(
            store, settings, ledger, plan
        ) and settings != store.dataset.fingerprint(plan):
            return State("outdated", _joined(what_changed(before, store.dataset, plan)))
    return State("outdated", "the scenes are others, or settings were others that are not on record")


@dataclass(frozen=True)
class PresentScenes:
    """The files of a stage of all scenes of a dataset or of its auxiliary product.

    Parameters
    ----------
    store
        Of the dataset or of the product, whose ledger is there.
    stage
        Of the scenes.
    """

    store: DatasetStore
    stage: Stage

    @cached_property
    def rows(self) -> dict[str, LedgerRow]:
        """The scenes, by ID."""
        return {row.scene_id: row for row in self.store.read_ledger().scenes}

    def states(self, scene_ids: Sequence[str] | None = None) -> dict[str, State]:
        """The state of each scene, by default of all."""
        rows = self.rows
        chosen = rows if scene_ids is None else [scene_id for scene_id in scene_ids if scene_id in rows]
        return {scene_id: self._state(rows[scene_id]) for scene_id in chosen}

    def fingerprint(self, scene_id: str) -> str:
        """Of what the files of a scene are to be made from, as their record has it."""
        row = self.rows[scene_id]
        if self.stage == "cropped" or self.stage == "regridded":
            return scene_fingerprint(self.store.dataset, self.stage, row)
        return fingerprint(list(self._tiles(row).values()))

    def record(self, scene_id: str) -> Record:
        """What a run that keeps the files of a scene, which are current, says of them."""
        row, stage = self.rows[scene_id], self.stage
        if stage != "cropped" and stage != "regridded":
            tiles = self._tiles(row)
            made = [CutTile(self._tile(tile, of) or {}, self._picture(tile), kept=True) for tile, of in tiles.items()]
            return tiles_record(self.store, stage, row, tiles, made, None)
        arrays, made_from = self.store.scenes([stage]), scene_fingerprint(self.store.dataset, stage, row)
        image = None
        if self._pictures_count:
            image = whole_picture(self.store.files, self.store.picture(stage, scene_id), style_fingerprint(self._style))
        attributes = arrays.attributes(scene_id) or {}
        content = content_of(row, attributes)
        return scene_record(stage, arrays.url(scene_id), made_from, attributes, image, None, content)

    def _state(self, row: LedgerRow) -> State:
        stage = self.stage
        if stage == "cropped" or stage == "regridded":
            state = self._state_of_scene(stage, row)
        else:
            state = self._state_of_tiles(stage, row)
        if state.kind != "current" and row.problem is not None:
            return State("failed", row.problem)
        return state

    def _state_of_scene(self, stage: SceneStage, row: LedgerRow) -> State:
        scene_id, arrays = row.scene_id, self.store.scenes([stage])
        if scene_id not in self._stored:
            return State("missing")
        attributes = arrays.attributes(scene_id)
        if attributes is None:
            return State("missing", "the file cannot be opened")
        found = str(attributes.get("fingerprint"))
        if found != scene_fingerprint(self.store.dataset, stage, row):
            return State("outdated", self._why(row, found))
        if self._pictures_count:
            picture = self.store.picture(stage, scene_id)
            if whole_picture(self.store.files, picture, style_fingerprint(self._style)) is None:
                return State("outdated", "the picture is missing or drawn otherwise (image, image_function)")
        return CURRENT

    def _state_of_tiles(self, stage: TileStage, row: LedgerRow) -> State:
        if stage in PLANS:
            plan = self._plan
            if plan.kind != "current":
                kind: Kind = "missing" if plan.kind == "missing" else "outdated"
                return State(kind, f"{PLANS[stage]} is {plan.kind}" + ("" if plan.why is None else f" – {plan.why}"))
        tiles = self._tiles(row)
        lacking = {tile: made_from for tile, made_from in tiles.items() if self._tile(tile, made_from) is None}
        if not lacking:
            undrawn = self._pictures_count and any(self._picture(tile) is None for tile in tiles)
            what = "a picture is missing or drawn otherwise (image, image_function)"
            return State("outdated", what) if undrawn else CURRENT
        on_disk = {tile: self._on_disk(tile) for tile in lacking}
        others = {tile: attributes for tile, attributes in on_disk.items() if attributes is not None}
        if not others:
            return State("missing")
        for tile, attributes in others.items():
            was = {"tile_N": attributes.get("tile_N"), "resolution": attributes.get("resolution")}
            now = {"tile_N": tile.grid.shape[0], "resolution": tile.resolution}
            if was != now:
                changed = [f"{name}: {was[name]} → {now[name]}" for name in now if was[name] != now[name]]
                return State("outdated", f"tiles of an earlier plan – {'; '.join(changed)}")
        tile, attributes = next(iter(others.items()))
        return State("outdated", self._why(row, str(attributes.get("fingerprint")), tile))

    def _why(self, row: LedgerRow, made_from: str, tile: Tile | None = None) -> str:
        """Why a scene, or a tile of it, was made from something else."""
        for settings in self._noted:
            of_scene = fingerprint_of_scene(settings, row)
            if made_from == (of_scene if tile is None else tile.fingerprint(of_scene)):
                return self._changes[settings]
        return NOT_KNOWN

    @cached_property
    def _noted(self) -> dict[str, Any]:
        current = self.store.dataset.fingerprint(self.stage)
        return {name: noted for name, noted in self.store.noted_settings(self.stage).items() if name != current}

    @cached_property
    def _changes(self) -> dict[str, str]:
        return {
            name: _joined(what_changed(noted, self.store.dataset, self.stage)) for name, noted in self._noted.items()
        }

    @cached_property
    def _stored(self) -> frozenset[str]:
        return frozenset(self.store.scenes([self.stage]).stored())

    @cached_property
    def _style(self) -> Style:
        return known_style(self.store)

    @property
    def _pictures_count(self) -> bool:
        """Whether there are to be pictures, and how they are to be drawn is known."""
        packed = self.store.packs and self.stage not in ("cropped", "regridded")
        return self.store.has_pictures and not packed and self._style is not None

    @cached_property
    def _plan(self) -> State:
        return plan_state(self.store, PLANS[self.stage])

    @property
    def _tile_stage(self) -> TileStage:
        assert self.stage != "cropped"
        assert self.stage != "regridded"
        return self.stage

    @cached_property
    def _planned(self) -> dict[str, tuple[Tile, ...]]:
        return tiles_of_scenes(self.store, self._tile_stage, self.rows)

    def _tiles(self, row: LedgerRow) -> dict[Tile, str]:
        stage = self._tile_stage
        return {tile: tile_fingerprint(self.store.dataset, row, stage, tile) for tile in self._planned[row.scene_id]}

    @cached_property
    def _files(self) -> TileFiles:
        return TileFiles(self.store, self._tile_stage, self._style)

    @cached_property
    def _packed(self) -> dict[tuple[str, str], tuple[PackedScene, Mapping[str, str]]]:
        """Groups that were looked at, with what each tile in them was made from."""
        return {}

    def _group(self, tile: Tile) -> tuple[PackedScene, Mapping[str, str]]:
        key = tile.collection, tile.scene_id
        if key not in self._packed:
            scene = self.store.packed(self._tile_stage, tile.collection).scene(tile.scene_id)
            self._packed[key] = scene, scene.whole()
        return self._packed[key]

    def _tile(self, tile: Tile, made_from: str) -> Mapping[str, Any] | None:
        """Attributes of a tile that was made from just that, None where there is none."""
        if not self.store.packs:
            return self._files.attributes(tile, made_from)
        return self._on_disk(tile) if self._group(tile)[1].get(tile.name) == made_from else None

    def _on_disk(self, tile: Tile) -> Mapping[str, Any] | None:
        if not self.store.packs:
            return self._files.on_disk(tile)
        scene, there = self._group(tile)
        try:
            return dict(scene.described(tile.name)["attributes"]) if tile.name in there else None
        except StoreError:
            return None

    def _picture(self, tile: Tile) -> Any:
        return self._files.picture(tile) if self._pictures_count else None


def reasons(states: Mapping[str, State]) -> list[tuple[Kind, str, int]]:
    """Why scenes are not current, with how many each reason holds for, most frequent first."""
    counted = Counter((state.kind, state.why) for state in states.values() if state.why is not None)
    return [(kind, why, count) for (kind, why), count in counted.most_common() if why is not None]


def _joined(changes: Sequence[str]) -> str:
    return "; ".join(changes)
