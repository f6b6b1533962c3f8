from __future__ import annotations

import json
import math
from datetime import datetime, timedelta

import numpy as np
import pyproj
import pytest

from convml_data.scenes.ids import parse_scene_id
from convml_data.tiles.leakage import EARTH_RADIUS, leakage
from convml_data.tiles.plan import TileSpec
from convml_data.tiles.splits import ByTimeBlock, RandomByRelativeSampleSize, split_scenes

NOON = datetime(2020, 2, 2, 12)


def scene(minutes: int, source: str = "goes16") -> str:
    return f"{source}__{NOON + timedelta(minutes=minutes):%Y%m%d%H%M}"


def daylight(days: int) -> list[str]:
    """Scenes every 10 minutes for 8 hours a day."""
    return [scene(day * 1440 + 10 * number) for day in range(days) for number in range(48)]


def tile(
    collection: str, minutes: int, x_c: float, y_c: float, place: tuple[float, float] | None = None, number: int = 0
) -> TileSpec:
    lat, lon = place or (None, None)
    return TileSpec(
        collection=collection,
        triplet_id=number,
        tile_type="anchor",
        scene_id=scene(minutes),
        x_c=x_c,
        y_c=y_c,
        central_latitude=lat,
        central_longitude=lon,
        length=256e3,
        resolution=1e3,
        distant_from_same_scene=False,
    )


# --- in time ---


def test_distances_run_from_each_scene_to_the_nearest_of_the_other_collection():
    report = leakage({"train": [scene(0), scene(100), scene(300)], "study": [scene(310), scene(90)]}, None)

    from_study, from_train = report.time
    assert (from_study.of, from_study.to, from_study.count) == ("study", "train", 2)
    assert from_study.seconds["min"] == from_study.seconds["max"] == 600
    assert (from_study.share_within_10_min, from_study.share_within_1_h) == (1.0, 1.0)
    # From train 90, 10 and 10 minutes.
    assert (from_train.of, from_train.to, from_train.count) == ("train", "study", 3)
    assert from_train.seconds == pytest.approx(
        {"min": 600, "p5": 600, "p25": 600, "p50": 600, "p75": 3000, "p95": 4920, "max": 5400}
    )
    assert from_train.share_within_10_min == from_train.share_within_1_h == pytest.approx(2 / 3)
    assert report.space is None


def test_distances_are_those_of_looking_at_every_pair():
    rng = np.random.default_rng(2)
    scenes = {name: [scene(int(m)) for m in rng.integers(0, 50_000, n)] for name, n in (("a", 70), ("b", 5), ("c", 40))}

    rows = leakage(scenes, None).time

    starts = {name: [parse_scene_id(one)[1] for one in of_name] for name, of_name in scenes.items()}
    assert [(row.of, row.to) for row in rows] == [(a, b) for a in "abc" for b in "abc" if a != b]
    for row in rows:
        nearest = [min(abs(a - b) for b in starts[row.to]).total_seconds() for a in starts[row.of]]
        assert row.seconds["p25"] == np.quantile(nearest, 0.25)
        assert (row.seconds["min"], row.seconds["max"]) == (min(nearest), max(nearest))
        assert row.share_within_1_h == np.mean([seconds <= 3600 for seconds in nearest])


def test_a_random_split_leaks_and_one_by_days_does_not():
    n_triplets = {"train": 10, "study": 2}
    at_random = split_scenes(RandomByRelativeSampleSize(), daylight(90), n_triplets, seed=0)
    by_days = split_scenes(ByTimeBlock(timedelta(days=1), timedelta(hours=6)), daylight(90), n_triplets, seed=0)

    leaking, safe = leakage(at_random.scenes, None), leakage(by_days.scenes, None)

    study = leaking.time[0]
    assert study.of == "study"
    # Both neighbours are of study too for one scene in 36; two in 48 have but one neighbour, one in 6 of study.
    assert study.share_within_10_min == pytest.approx(1 - 46 / 48 / 36 - 2 / 48 / 6, abs=0.02)
    (warning,) = leaking.warnings
    assert warning.startswith("Scenes of study and train start as little as 10 min apart: ")
    assert f"{study.share_within_1_h:.1%} of the scenes of study have one of train" in warning
    assert safe.warnings == ()
    assert by_days.left_over == {}
    assert all(row.share_within_1_h == 0 for row in safe.time)
    # From the last scene of a day to the first of the next.
    assert safe.time[0].seconds["min"] == 16 * 3600 + 600


@pytest.mark.parametrize(("apart", "warned"), [(0, True), (59, True), (60, False)])
def test_the_warning_is_for_less_than_an_hour(apart, warned):
    report = leakage({"train": [scene(0)], "study": [scene(apart, source="goes17")]}, None)

    assert bool(report.warnings) == warned
    assert report.time[0].seconds["max"] == apart * 60
    assert report.time[0].share_within_1_h == 1


def test_collections_without_scenes_have_no_distances():
    report = leakage({"train": [scene(0)], "study": [], "test": [scene(600)]}, None)

    assert [(row.of, row.to) for row in report.time] == [("test", "train"), ("train", "test")]
    alone = leakage({"train": [scene(0)], "study": []}, [])
    assert (alone.time, alone.space, alone.warnings) == ((), (), ())
    assert "nothing to leak" in alone.to_markdown()


# --- in space ---


def test_tiles_count_where_their_scenes_start_within_ten_minutes_of_each_other():
    tiles = [
        tile("train", 0, 0, 0),
        tile("train", 30, 50e3, 0),
        tile("train", 100, 0, 0),
        tile("study", 10, 30e3, 40e3),
        tile("study", 41, 50e3, 1e3),
    ]

    from_study, from_train = leakage({}, tiles).space

    assert (from_study.of, from_study.to, from_study.count, from_study.of_tiles) == ("study", "train", 1, 2)
    assert from_study.metres == pytest.approx(dict.fromkeys(from_study.metres, 50e3))
    assert (from_train.count, from_train.of_tiles) == (1, 3)
    assert from_train.metres["max"] == pytest.approx(50e3)


def test_tiles_that_are_never_seen_at_the_same_time_have_no_distance():
    report = leakage({}, [tile("train", 0, 0, 0), tile("study", 11, 0, 0)])

    assert [(row.count, row.of_tiles, row.metres) for row in report.space] == [(0, 1, None), (0, 1, None)]


@pytest.mark.parametrize("on_earth", [True, False])
def test_distances_in_space_are_those_of_looking_at_every_pair(on_earth):
    rng = np.random.default_rng(4)
    tiles = [
        tile(
            str(rng.choice(["train", "study"], p=[0.8, 0.2])),
            int(rng.integers(0, 200)) * 10,
            *rng.uniform(-1e6, 1e6, 2).tolist(),
            place=(float(rng.uniform(-80, 80)), float(rng.uniform(-180, 180))) if on_earth else None,
        )
        for _ in range(120)
    ]
    sphere = pyproj.Geod(a=EARTH_RADIUS, b=EARTH_RADIUS)

    def apart(a: TileSpec, b: TileSpec) -> float:
        if not on_earth:
            return math.dist((a.x_c, a.y_c), (b.x_c, b.y_c))
        _, _, metres = sphere.inv(a.central_longitude, a.central_latitude, b.central_longitude, b.central_latitude)
        return metres

    def minutes(a: TileSpec, b: TileSpec) -> float:
        return abs(parse_scene_id(a.scene_id)[1] - parse_scene_id(b.scene_id)[1]) / timedelta(minutes=1)

    for row in leakage({}, tiles).space:
        of, to = ([t for t in tiles if t.collection == name] for name in (row.of, row.to))
        near = [[apart(a, b) for b in to if minutes(a, b) <= 10] for a in of]
        nearest = [min(metres) for metres in near if metres]
        assert 5 < row.count < row.of_tiles
        assert row.count == len(nearest)
        assert row.metres["min"] == pytest.approx(min(nearest), rel=1e-9)
        assert row.metres["p50"] == pytest.approx(np.quantile(nearest, 0.5), rel=1e-9)
        assert row.metres["max"] == pytest.approx(max(nearest), rel=1e-9)


def test_centres_metres_apart_are_told_apart():
    tiles = [
        tile("train", 0, 0, 0, place=(13.3, -57.72)),
        tile("study", 0, 0, 0, place=(13.3 + math.degrees(3 / EARTH_RADIUS), -57.72)),
    ]

    assert leakage({}, tiles).space[0].metres["p50"] == pytest.approx(3, rel=1e-6)


# --- its written forms ---


def test_the_report_is_json_with_every_number():
    tiles = [tile("train", 0, 0, 0), tile("study", 10, 3e3, 4e3), tile("test", 500, 0, 0)]
    report = leakage({"train": [scene(0)], "study": [scene(10)], "test": [scene(500)]}, tiles)

    written = json.loads(json.dumps(report.to_dict(), allow_nan=False))

    assert written["warnings"] == list(report.warnings)
    assert written["time"][1] == {
        "of": "study",
        "to": "train",
        "count": 1,
        "seconds": dict.fromkeys(["min", "p5", "p25", "p50", "p75", "p95", "max"], 600.0),
        "share_within_10_min": 1.0,
        "share_within_1_h": 1.0,
    }
    assert written["space"][0] == {"of": "study", "to": "test", "count": 0, "of_tiles": 1, "metres": None}
    assert written["space"][1]["metres"] == dict.fromkeys(written["space"][1]["metres"], 5000.0)
    assert leakage({}, None).to_dict() == {"time": [], "space": None, "warnings": []}


def test_the_report_reads_as_tables():
    tiles = [tile("train", 0, 0, 0), tile("study", 10, 3e3, 4e3), tile("test", 500, 0, 0)]
    text = leakage({"train": [scene(0)], "study": [scene(10)], "test": [scene(500)]}, tiles).to_markdown()

    lines = text.splitlines()
    assert lines[0].startswith("- **Warning**: Scenes of study and train start as little as 10 min apart: 100.0% of")
    assert "| study | train | 1 |" + 7 * " 10 min |" + " 100.0% | 100.0% |" in lines
    assert "| study | test | 1 |" + 7 * " 8.17 h |" + " 0.0% | 0.0% |" in lines
    assert "| study | train | 1 | 1 |" + 7 * " 5 |" in lines
    assert "| study | test | 0 | 1 |" + 7 * " – |" in lines
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {13, 12}
    assert text.endswith("|\n")


def test_fifty_thousand_scenes_and_thirty_thousand_tiles_take_seconds():
    names = [scene(10 * number) for number in range(50_000)]
    split = split_scenes(RandomByRelativeSampleSize(), names, {"train": 10, "study": 2}, seed=0)
    rng = np.random.default_rng(0)
    place = {name: number for number, name in enumerate(names)}
    tiles = [
        tile(name, 10 * place[str(drawn)], 0, 0, (float(rng.uniform(10, 15)), float(rng.uniform(-60, -50))), number)
        for name in ("train", "study")
        for number, drawn in enumerate(rng.choice(split.scenes[name], 15_000))
    ]

    report = leakage(split.scenes, tiles)

    assert sum(row.count for row in report.time) == 50_000
    assert all(3_000 < row.count < 15_000 for row in report.space)
