"""What breaks the rules: of the scenes of a run, and of all that a dataset has on disk."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from convml_data.errors import StoreError
from convml_data.pipeline.contents import content_of, stored_content
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import SCENE_STAGES, SceneStage
from convml_data.pipeline.scene import STAGES, TILE_STAGES, Breach, SceneOutcome, Stage
from convml_data.pipeline.tiles import PLANS, current_tile_plan, plan_holds, tiles_of_scenes, triplets_by_scene
from convml_data.rules import Broken, Content, Rule, Rules, TileState, rules_of
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.plan import TilePlan
from convml_data.tiles.tile import Tile, TileStage


@dataclass(frozen=True)
class Verdict:
    """What broke a rule in a stage.

    Parameters
    ----------
    rule
        Of the dataset.
    stage
        Whose results were judged.
    judged
        How many scenes, tiles or collections that were.
    broken
        By name, with the reason.
    """

    rule: Rule[Any]
    stage: str
    judged: int
    broken: Broken


@dataclass
class RunJudge:
    """Takes the outcomes of a run as they come, and holds their scenes and tiles against the rules in the end."""

    store: DatasetStore
    stages: Collection[Stage]
    _contents: dict[Stage, list[Content]] = field(default_factory=lambda: defaultdict(list), init=False)
    _breaches: list[Breach] = field(default_factory=list, init=False)
    _scene_ids: dict[Stage, list[str]] = field(default_factory=lambda: defaultdict(list), init=False)

    def add(self, outcome: SceneOutcome) -> None:
        """Take note of a scene."""
        if outcome.breach is not None:
            self._breaches.append(outcome.breach)
        for record in outcome.records:
            self._contents[record.stage].extend(record.contents)
            self._scene_ids[record.stage].append(outcome.scene_id)

    def verdicts(self) -> list[Verdict]:
        """One for each stage of the run and each rule on it."""
        rules = rules_of(self.store.dataset)
        return [self._verdict(rules, stage, rule) for stage in STAGES for rule in self._rules_on(rules, stage)]

    def _rules_on(self, rules: Rules, stage: Stage) -> tuple[Rule[Any], ...]:
        # Also on scenes that a later stage made since it needed them.
        return rules.of_stage(stage) if stage in self.stages or self._contents.get(stage) else ()

    def _verdict(self, rules: Rules, stage: Stage, rule: Rule[Any]) -> Verdict:
        contents = sorted(self._contents[stage], key=_in_time)
        if rule in rules.of_one:
            # Scenes and tiles were judged as they were made.
            broken = {it.name: it.why for it in self._breaches if (it.stage, it.rule) == (stage, rule.name)}
            return Verdict(rule, stage, len({content.name for content in contents} | broken.keys()), broken)
        if rule in rules.of_tiles and stage in TILE_STAGES:
            states = tile_states(self.store, stage, self._scene_ids[stage])
            return Verdict(rule, stage, len(states), rule.judge(states))
        return Verdict(rule, stage, len(contents), rule.judge(self._with_neighbours(stage, contents)))

    def _with_neighbours(self, stage: Stage, contents: Sequence[Content]) -> list[Content]:
        """Cropped scenes of the run, and those just before and after them that earlier runs have cropped."""
        if stage != "cropped":
            return list(contents)
        rows = current_ledger(self.store).scenes
        there = {content.name for content in contents}
        near = {
            position + step
            for position, row in enumerate(rows)
            if row.scene_id in there
            for step in (-1, 1)
            if 0 <= position + step < len(rows) and rows[position + step].scene_id not in there
        }
        arrays = self.store.scenes([stage])
        attributes = ((rows[position], arrays.attributes(rows[position].scene_id)) for position in near)
        return sorted([*contents, *(content_of(row, found) for row, found in attributes if found)], key=_in_time)


def judge_plan(store: DatasetStore, plan: TilePlan) -> list[Verdict]:
    """The plan of the triplets."""
    return [
        Verdict(rule, "tile_plan", sum(map(len, plan.scenes.values())), rule.judge(plan.scenes))
        for rule in rules_of(store.dataset).of_plan
    ]


def judge_files(store: DatasetStore) -> list[Verdict]:
    """All that the dataset has on disk, of its auxiliary products too; opens every file, and reads no values."""
    dataset, verdicts = store.dataset, _judge_product(store)
    if dataset.meta.sampling.triplets is not None and plan_holds(store, "tile_plan"):
        verdicts += judge_plan(store, current_tile_plan(store))
    for name in dataset.meta.aux_products:
        of_aux = store.aux(name)
        if of_aux.files.exists(of_aux.layout.ledger):
            verdicts += _judge_product(of_aux)
    return verdicts


def write_files_report(store: DatasetStore) -> list[Verdict]:
    """Judge all that is on disk, and keep what breaks rules."""
    verdicts = judge_files(store)
    values = [
        {"rule": verdict.rule.name, "stage": verdict.stage, "judged": verdict.judged, "broken": dict(verdict.broken)}
        for verdict in verdicts
    ]
    store.files.write_bytes(store.layout.files_report, (json.dumps(values, indent=1) + "\n").encode())
    return verdicts


def _judge_product(store: DatasetStore) -> list[Verdict]:
    rules, rows = rules_of(store.dataset), {row.scene_id: row for row in current_ledger(store).scenes}
    verdicts = []
    for stage in SCENE_STAGES:
        verdicts += _judge_contents(rules, stage, sorted(_stored_scenes(store, stage, rows), key=_in_time))
    for tile_stage in store.dataset.tile_stages:
        if not _is_planned(store, tile_stage):
            continue
        contents = sorted(_stored_tiles(store, tile_stage, rows), key=_in_time)
        states = tile_states(store, tile_stage, rows)
        verdicts += _judge_contents(rules, tile_stage, contents)
        verdicts += [Verdict(rule, tile_stage, len(states), rule.judge(states)) for rule in rules.of_tiles]
    return verdicts


def _judge_contents(rules: Rules, stage: str, contents: Sequence[Content]) -> list[Verdict]:
    verdicts = []
    for rule in rules.of_one:
        if stage in rule.stages:
            broken = {name: why for content in contents for name, why in rule.judge(content).items()}
            verdicts.append(Verdict(rule, stage, len(contents), broken))
    readable = [content for content in contents if content.problem is None]
    for among in rules.of_many:
        if stage in among.stages:
            verdicts.append(Verdict(among, stage, len(readable), among.judge(readable)))
    return verdicts


def _stored_scenes(store: DatasetStore, stage: SceneStage, rows: Mapping[str, LedgerRow]) -> Iterator[Content]:
    arrays = store.scenes([stage])
    for scene_id in arrays.stored():
        if scene_id in rows:
            yield stored_content(store.dataset, stage, rows[scene_id], arrays)


def _stored_tiles(store: DatasetStore, stage: TileStage, rows: Mapping[str, LedgerRow]) -> Iterator[Content]:
    """Tiles that are shown: those that wait are nobody's to read."""
    by_collection: defaultdict[str, list[Tile]] = defaultdict(list)
    for tiles in tiles_of_scenes(store, stage, rows).values():
        for tile in tiles:
            by_collection[tile.collection].append(tile)
    for collection, tiles_of_collection in by_collection.items():
        shown = store.shown_tiles(stage, collection)
        try:
            names = set(shown.stored())
        except StoreError as error:  # packed tiles, one group of which is damaged
            yield Content(shown.place, datetime.min, problem=str(error))
            continue
        for tile in tiles_of_collection:
            if tile.name in names:
                yield stored_content(store.dataset, "regridded", rows[tile.scene_id], shown, tile)


def _is_planned(store: DatasetStore, stage: TileStage) -> bool:
    return stage not in PLANS or plan_holds(store.primary, PLANS[stage])


def tile_states(store: DatasetStore, stage: TileStage, scene_ids: Iterable[str]) -> list[TileState]:
    """What is there of the tiles of scenes, and of those that are in a triplet with them."""
    tiles = [tile for of_scene in tiles_of_scenes(store, stage, scene_ids).values() for tile in of_scene]
    packed = _packed_names(store, stage, tiles)
    if not store.shows_whole_triplets(stage):
        return [_state_of(store, stage, tile, None, "missing", packed) for tile in tiles]
    wanted = {(tile.collection, tile.name) for tile in tiles}
    by_scene = triplets_by_scene(current_tile_plan(store).tiles)
    triplets = {
        (of_triplet[0].collection, of_triplet[0].triplet_id): of_triplet
        for scene_id in {tile.scene_id for tile in tiles}
        for of_triplet in by_scene[scene_id]
    }
    packed = _packed_names(store, stage, [tile for of_triplet in triplets.values() for tile in of_triplet])
    return [
        _state_of(
            store,
            stage,
            tile,
            f"{collection}/{number}",
            "missing" if (tile.collection, tile.name) in wanted else "to_come",
            packed,
        )
        for (collection, number), of_triplet in sorted(triplets.items())
        for tile in of_triplet
    ]


def _packed_names(store: DatasetStore, stage: TileStage, tiles: Iterable[Tile]) -> set[tuple[str, str]]:
    """Collection and name of the tiles that are packed, of the scenes of the given ones; each group is opened once."""
    groups = {(tile.collection, tile.scene_id) for tile in tiles} if store.packs else set()
    return {
        (collection, name)
        for collection, scene_id in groups
        for name in store.packed(stage, collection).scene(scene_id).whole()
    }


def _state_of(
    store: DatasetStore,
    stage: TileStage,
    tile: Tile,
    triplet: str | None,
    otherwise: Literal["missing", "to_come"],
    packed: Collection[tuple[str, str]],
) -> TileState:
    name = f"{tile.collection}/{tile.name}".lstrip("/")
    if store.packs:
        return TileState(name, "shown" if (tile.collection, tile.name) in packed else otherwise, triplet)
    shown, waiting = (store.tiles(stage, tile.collection, waiting=waits) for waits in (False, True))
    if store.files.exists(shown.name(tile.name)):
        return TileState(name, "shown", triplet)
    return TileState(name, "waiting" if store.files.exists(waiting.name(tile.name)) else otherwise, triplet)


def _in_time(content: Content) -> tuple[datetime, str]:
    return content.image, content.name
