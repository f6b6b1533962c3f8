"""What is there of what was expected, day by day: scans, scenes, drops with their reasons, and each stage."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median

from convml_data.markdown import markdown_table
from convml_data.pipeline.discovery import current_ledger, time_spans
from convml_data.pipeline.made_from import SCENE_STAGES
from convml_data.pipeline.tiles import PLANS, plan_holds, tiles_of_scenes
from convml_data.scenes.ledger import Ledger, LedgerRow
from convml_data.sources.base import Interval
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.tile import TileStage

#: A gap between scans that is longer than this many of the usual ones lacks scans.
_TOO_LONG = 1.5


@dataclass(frozen=True)
class Day:
    """What is there of a day.

    Parameters
    ----------
    day
        Of the scans' starts, UTC.
    expected
        Scans: those that were seen, and those that are missing in gaps longer than the usual one.
    seen, scenes
        Scans in the ledger, and those of them that are scenes.
    dropped
        The others, by reason.
    unreadable
        Scenes that could not be read when that was last tried.
    done
        Scenes whose files of a stage are there, by stage; of tiles, all that are planned of the scene.
    """

    day: date
    expected: int
    seen: int
    scenes: int
    dropped: Mapping[str, int]
    unreadable: int
    done: Mapping[str, int]


@dataclass(frozen=True)
class Completeness:
    """All days, by their date."""

    days: tuple[Day, ...]

    def total(self, stage: str) -> int:
        """How many scenes a stage is done for."""
        return sum(day.done[stage] for day in self.days)

    @property
    def scenes(self) -> int:
        """How many there are."""
        return sum(day.scenes for day in self.days)

    def to_json(self) -> str:
        """JSON of one day an entry."""
        return json.dumps({"days": [asdict(day) for day in self.days]}, indent=1, default=str) + "\n"

    def to_markdown(self) -> str:
        """A table of one day a row, and why scans are dropped."""
        stages = list(self.days[0].done) if self.days else []
        head = ["day", "expected", "seen", "scenes", "dropped", "unreadable", *stages]
        rows = [
            [
                str(day.day),
                *map(str, (day.expected, day.seen, day.scenes)),
                "; ".join(f"{count} {reason}" for reason, count in day.dropped.items()) or "0",
                str(day.unreadable),
                *(str(day.done[stage]) for stage in stages),
            ]
            for day in self.days
        ]
        return markdown_table(head, rows) + "\n"


def make_completeness(store: DatasetStore) -> Completeness:
    """Count what is there, by names alone, and keep the report as JSON and as a table."""
    ledger = current_ledger(store)
    report = completeness(ledger, _done(store, ledger), time_spans(store.dataset))
    store.files.write_bytes(store.layout.completeness, report.to_json().encode())
    table = store.layout.completeness.replace(".json", ".md")
    store.files.write_bytes(table, f"# Completeness of {store.dataset.name}\n\n{report.to_markdown()}".encode())
    return report


def completeness(ledger: Ledger, done: Mapping[str, set[str]], spans: Sequence[Interval] | None) -> Completeness:
    """Count by day.

    Parameters
    ----------
    ledger
        Of the dataset.
    done
        IDs of the scenes that each stage is done for.
    spans
        Within which scans count and are expected at equal steps; None for all times.
    """
    # Sources list scans next to the spans too.
    expected = [row for row in ledger.rows if spans is None or any(row.scan.start in span for span in spans)]
    starts = sorted(row.scan.start for row in expected)
    missing = Counter(time.date() for time in _missing(starts, spans))
    rows: defaultdict[date, list[LedgerRow]] = defaultdict(list)
    for row in expected:
        rows[row.scan.start.date()].append(row)
    return Completeness(
        tuple(
            Day(
                day,
                len(rows[day]) + missing[day],
                len(rows[day]),
                sum(row.reason is None for row in rows[day]),
                dict(Counter(row.reason for row in rows[day] if row.reason is not None).most_common()),
                sum(row.reason is None and row.problem is not None for row in rows[day]),
                {
                    stage: sum(row.reason is None and row.scene_id in of_stage for row in rows[day])
                    for stage, of_stage in done.items()
                },
            )
            for day in sorted({*rows, *missing})
        )
    )


def _missing(starts: Sequence[datetime], spans: Sequence[Interval] | None) -> list[datetime]:
    """When scans would have started in gaps, at the usual distance from the one before."""
    gaps = [
        (earlier, later - earlier)
        for earlier, later in pairwise(starts)
        if spans is None or any(earlier in span and later in span for span in spans)
    ]
    if not gaps:
        return []
    usual = timedelta(seconds=median(gap.total_seconds() for _, gap in gaps))
    return [
        earlier + number * usual
        for earlier, gap in gaps
        if usual and gap > _TOO_LONG * usual
        for number in range(1, round(gap / usual))
    ]


def _done(store: DatasetStore, ledger: Ledger) -> dict[str, set[str]]:
    done: dict[str, set[str]] = {stage: set(store.scenes([stage]).stored()) for stage in SCENE_STAGES}
    for stage in store.dataset.tile_stages:
        done[stage] = _with_all_tiles(store, stage, ledger.scene_ids)
    return done


def _with_all_tiles(store: DatasetStore, stage: TileStage, scene_ids: Sequence[str]) -> set[str]:
    """Scenes of which every planned tile is there; none before there is a plan of the present settings."""
    if stage in PLANS and not plan_holds(store, PLANS[stage]):
        return set()
    tiles = tiles_of_scenes(store, stage, scene_ids)
    collections = {tile.collection for of_scene in tiles.values() for tile in of_scene}
    there: set[tuple[str, str]] = set()
    for collection in collections:
        if store.packs:
            packed = store.packed(stage, collection)
            there |= {(collection, name) for scene_id in packed.scene_ids() for name in packed.scene(scene_id).whole()}
        else:
            for waiting in (False, True):
                names = store.tiles(stage, collection, waiting=waiting).stored()
                there |= {(collection, name) for name in names}
    return {
        scene_id
        for scene_id, of_scene in tiles.items()
        if all((tile.collection, tile.name) in there for tile in of_scene)
    }
