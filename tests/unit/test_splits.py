from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime, timedelta

import pytest

from convml_data.errors import PlanError
from convml_data.scenes.ids import parse_scene_id
from convml_data.sources.base import Interval
from convml_data.tiles.splits import (
    ByIntervals,
    ByTimeBlock,
    RandomByRelativeSampleSize,
    SceneSplit,
    StableHash,
    in_words,
    split_scenes,
)

AT_RANDOM = RandomByRelativeSampleSize()
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TEN_MINUTES = timedelta(minutes=10)


def scene_ids(count: int, start: datetime = datetime(2020, 2, 2, 14), step: timedelta = TEN_MINUTES) -> list[str]:
    return [f"goes16__{start + number * step:%Y%m%d%H%M}" for number in range(count)]


def start_of(scene_id: str) -> datetime:
    return parse_scene_id(scene_id)[1]


def nearest(split: SceneSplit, one: str, other: str) -> timedelta:
    return min(abs(start_of(a) - start_of(b)) for a in split.scenes[one] for b in split.scenes[other])


# --- at random ---


@pytest.mark.parametrize(
    ("n_scenes", "n_triplets", "shares"),
    [
        (12, {"train": 10, "study": 2}, {"train": 10, "study": 2}),
        (3, {"train": 10, "study": 2}, {"train": 2, "study": 1}),
        (2, {"train": 1000, "study": 1}, {"train": 1, "study": 1}),
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (7, {"a": 100, "b": 1, "c": 1}, {"a": 5, "b": 1, "c": 1}),
        (5, {"train": 4, "study": 0}, {"train": 5, "study": 0}),
        (1, {"train": 3}, {"train": 1}),
    ],
)
def test_scenes_are_shared_out_by_largest_remainder_and_at_least_one_each(n_scenes, n_triplets, shares):
    split = split_scenes(AT_RANDOM, scene_ids(n_scenes), n_triplets, seed=0)

    assert {collection: len(scenes) for collection, scenes in split.scenes.items()} == shares
    assert sorted(sum(split.scenes.values(), ())) == scene_ids(n_scenes)
    assert all(list(scenes) == sorted(scenes) for scenes in split.scenes.values())
    assert split.left_over == {}


def test_random_splits_stay_as_datasets_have_them():
    few = split_scenes(AT_RANDOM, scene_ids(12), {"train": 10, "study": 3}, seed=7).scenes
    many = split_scenes(AT_RANDOM, scene_ids(5000), {"train": 10, "study": 3, "test": 1}, seed=7).scenes

    assert few["study"] == ("goes16__202002021430", "goes16__202002021520", "goes16__202002021550")
    assert hashlib.sha256(json.dumps(many).encode()).hexdigest()[:16] == "cd4e4fbd3e530391"


def test_which_scenes_a_collection_gets_depends_on_the_seed_and_not_on_any_order():
    n_triplets = {"train": 10, "study": 5}
    split = split_scenes(AT_RANDOM, scene_ids(30), n_triplets, seed=0)

    assert split == split_scenes(AT_RANDOM, scene_ids(30)[::-1], {"study": 5, "train": 10}, seed=0)
    assert split != split_scenes(AT_RANDOM, scene_ids(30), n_triplets, seed=1)
    assert split.scenes["study"] not in (tuple(scene_ids(30)[:10]), tuple(scene_ids(30)[-10:]))


def test_one_scene_more_moves_few_others():
    n_triplets = {"train": 2, "study": 1}
    before = split_scenes(AT_RANDOM, scene_ids(300), n_triplets, seed=0).scenes["study"]
    after = split_scenes(AT_RANDOM, scene_ids(301), n_triplets, seed=0).scenes["study"]

    assert len(set(before) ^ set(after)) <= 3


@pytest.mark.parametrize(
    ("n_scenes", "n_triplets", "words"),
    [
        (1, {"train": 10, "study": 2}, ["2 collections", "study 2, train 10", "1 scenes", "`time`"]),
        (0, {"train": 10}, ["1 collections", "0 scenes"]),
        (5, {"train": 0}, ["no triplets are asked for", "above 0"]),
    ],
)
def test_too_few_scenes_are_an_error_that_counts_them(n_scenes, n_triplets, words):
    with pytest.raises(PlanError) as error:
        split_scenes(AT_RANDOM, scene_ids(n_scenes), n_triplets, seed=0)

    assert "N_triplets" in str(error.value)
    assert all(word in str(error.value) for word in words)


# --- by blocks of time ---


def test_a_block_of_a_day_is_a_utc_day_and_stays_whole():
    scenes = scene_ids(10 * 144, start=datetime(2020, 2, 2))

    split = split_scenes(ByTimeBlock(DAY, timedelta(0)), scenes, {"train": 4, "study": 1}, seed=0)

    days = {name: Counter(start_of(scene).date() for scene in of) for name, of in split.scenes.items()}
    assert {name: len(of_name) for name, of_name in days.items()} == {"train": 8, "study": 2}
    assert all(count == 144 for of_name in days.values() for count in of_name.values())
    assert split.left_over == {}
    assert nearest(split, "train", "study") == TEN_MINUTES


def test_which_blocks_a_collection_gets_depends_on_the_seed():
    scenes = scene_ids(20, start=datetime(2020, 2, 2, 12), step=DAY)
    study = {
        split_scenes(ByTimeBlock(DAY, HOUR), scenes, {"train": 3, "study": 1}, seed).scenes["study"]
        for seed in range(5)
    }

    assert len(study) == 5
    assert all(len(of_seed) == 5 for of_seed in study)


def test_the_guard_leaves_out_half_of_itself_on_both_sides():
    scenes = scene_ids(2 * 144, start=datetime(2020, 2, 2))

    split = split_scenes(ByTimeBlock(DAY, 6 * HOUR), scenes, {"train": 1, "study": 1}, seed=0)

    # From 21:00 + 10 min of one day to 3:00 − 10 min of the next: 17 before midnight and 18 from it.
    left_over = [start_of(scene) for scene in split.left_over]
    assert left_over == [datetime(2020, 2, 2, 21, 10) + number * TEN_MINUTES for number in range(35)]
    assert set(split.left_over.values()) == {"in the guard of 6 h between study and train"}
    assert nearest(split, "train", "study") == 6 * HOUR


def test_scenes_that_a_night_keeps_apart_are_all_used():
    # Daylight in the middle of the Pacific ends three hours before the UTC day does, and begins six hours after.
    scenes = [scene for day in range(2, 22) for scene in scene_ids(91, start=datetime(2020, 2, day, 6))]

    split = split_scenes(ByTimeBlock(DAY, 8 * HOUR), scenes, {"train": 2, "study": 1}, seed=0)

    assert split.left_over == {}
    assert nearest(split, "train", "study") == 9 * HOUR


def test_days_without_scenes_count_as_distance_and_not_as_blocks():
    evening, morning = scene_ids(6, start=datetime(2020, 2, 2, 23)), scene_ids(6, start=datetime(2020, 2, 5, 0))

    wide = split_scenes(ByTimeBlock(DAY, timedelta(days=2)), evening + morning, {"train": 5, "study": 5}, seed=0)
    assert {len(of_name) for of_name in wide.scenes.values()} == {6}

    # 49 h 10 min from the last to the first, 49 h 20 min to the second: two days lie between the blocks.
    guarded = split_scenes(ByTimeBlock(DAY, timedelta(hours=49.6)), evening + morning, {"train": 5, "study": 5}, seed=0)
    assert nearest(guarded, "train", "study") >= timedelta(hours=49.6)
    assert 0 < len(guarded.left_over) < 12


def test_scenes_before_the_epoch_have_blocks_too():
    scenes = scene_ids(4, start=datetime(1969, 12, 30, 12), step=DAY)

    split = split_scenes(ByTimeBlock(DAY, HOUR), scenes, {"train": 1, "study": 1}, seed=0)

    assert sorted(map(len, split.scenes.values())) == [2, 2]


def test_too_few_blocks_are_an_error_that_counts_them():
    with pytest.raises(PlanError, match=r"study 2, train 10.* need a time block each, and there are 1 time blocks"):
        split_scenes(ByTimeBlock(DAY, HOUR), scene_ids(40), {"train": 10, "study": 2}, seed=0)


def test_a_guard_that_leaves_a_collection_nothing_is_an_error():
    scenes = scene_ids(3 * 144, start=datetime(2020, 2, 2))

    with pytest.raises(PlanError) as error:
        split_scenes(ByTimeBlock(DAY, 48 * HOUR), scenes, {"train": 10, "study": 2}, seed=0)

    assert "has no scene: all of its scenes are in the guard of 48 h" in str(error.value)
    assert "shorter guard" in str(error.value)


@pytest.mark.parametrize(("block", "guard", "key"), [(timedelta(0), HOUR, "block"), (DAY, -HOUR, "guard")])
def test_lengths_that_make_no_sense_are_refused(block, guard, key):
    with pytest.raises(PlanError, match=rf"sampling\.triplets\.{key}: "):
        ByTimeBlock(block, guard)


# --- by intervals ---


def february(first: int, last: int) -> Interval:
    return Interval(datetime(2020, 2, first), datetime(2020, 2, last))


def test_both_ends_belong_to_an_interval_and_what_is_outside_is_left_over():
    scenes = scene_ids(10, start=datetime(2020, 2, 1), step=DAY)
    split = ByIntervals({"train": (february(2, 4), february(4, 5)), "study": (february(7, 8),)})

    made = split_scenes(split, scenes, {"train": 10, "study": 2}, seed=0)

    assert made.scenes == {"study": tuple(scenes[6:8]), "train": tuple(scenes[1:5])}
    assert list(made.left_over) == [scenes[0], scenes[5], scenes[8], scenes[9]]
    assert set(made.left_over.values()) == {"in none of the intervals of by_intervals"}


def test_a_collection_without_triplets_may_have_scenes_and_need_not():
    scenes = scene_ids(4, start=datetime(2020, 2, 1), step=DAY)
    split = ByIntervals({"train": (february(1, 2),), "study": (february(3, 3),)})

    made = split_scenes(split, scenes, {"train": 10, "study": 0, "test": 0}, seed=0)

    assert made.scenes == {"study": (scenes[2],), "test": (), "train": tuple(scenes[:2])}


@pytest.mark.parametrize("of_study", [february(4, 9), february(2, 3), february(1, 9), february(4, 4)])
def test_intervals_of_two_collections_must_not_overlap(of_study):
    split = ByIntervals({"train": (february(20, 21), february(1, 4)), "study": (of_study,)})

    with pytest.raises(PlanError) as error:
        split_scenes(split, scene_ids(5), {"train": 10, "study": 2}, seed=0)

    assert f"{of_study.start.isoformat()} to {of_study.end.isoformat()} of study" in str(error.value)
    assert "2020-02-01T00:00:00 to 2020-02-04T00:00:00 of train" in str(error.value)


@pytest.mark.parametrize(
    "intervals", [{"train": (february(1, 9),)}, {"train": (february(1, 9),), "study": (february(11, 12),)}]
)
def test_a_collection_with_triplets_in_whose_intervals_no_scene_starts_is_an_error(intervals):
    with pytest.raises(PlanError, match="'study' is to have 2 triplets and has no scene: no scene starts in its int"):
        split_scenes(ByIntervals(intervals), scene_ids(5), {"train": 10, "study": 2}, seed=0)


def test_intervals_of_a_collection_that_is_not_asked_for_are_an_error():
    with pytest.raises(PlanError, match="intervals for the collection 'studdy', and triplets only for study, train"):
        split_scenes(ByIntervals({"studdy": (february(1, 2),)}), scene_ids(5), {"train": 10, "study": 2}, seed=0)


# --- by stable hash ---


def test_a_new_scene_moves_no_other():
    n_triplets = {"train": 10, "study": 2, "test": 3}
    first_ones = scene_ids(900)[200:700:3]
    some = split_scenes(StableHash(), first_ones, n_triplets, seed=0).scenes
    more = split_scenes(StableHash(), scene_ids(900), n_triplets, seed=0).scenes

    assert all(set(some[name]) == set(more[name]) & set(first_ones) for name in n_triplets)


def test_shares_hold_on_average():
    made = split_scenes(StableHash(), scene_ids(20_000), {"train": 6, "study": 3, "test": 1, "none": 0}, seed=0)

    counts = {name: len(of_name) for name, of_name in made.scenes.items()}
    assert made.left_over == {}
    # Within five standard deviations of binomial counts.
    assert counts == {
        "train": pytest.approx(12_000, abs=350),
        "study": pytest.approx(6_000, abs=330),
        "test": pytest.approx(2_000, abs=220),
        "none": 0,
    }


def test_only_the_ratios_of_triplets_matter():
    few = split_scenes(StableHash(), scene_ids(500), {"train": 10, "study": 2}, seed=0)

    assert few == split_scenes(StableHash(), scene_ids(500), {"study": 2000, "train": 10_000}, seed=0)
    assert few != split_scenes(StableHash(), scene_ids(500), {"train": 10, "study": 2}, seed=1)


def test_a_collection_that_no_hash_falls_to_is_an_error_with_ways_out():
    with pytest.raises(PlanError) as error:
        split_scenes(StableHash(), scene_ids(3), {"train": 1_000_000, "study": 1}, seed=0)

    assert "'study' is to have 1 triplets and has no scene: none of 3 scenes has a hash" in str(error.value)
    assert "random_by_relative_sample_size" in str(error.value)


# --- all of them ---


@pytest.mark.parametrize(
    "split",
    [AT_RANDOM, ByTimeBlock(DAY, HOUR), ByIntervals({"train": (february(1, 3),)}), StableHash()],
)
@pytest.mark.parametrize(("count", "n_triplets"), [(0, {"train": 1}), (5, {"train": 0})])
def test_no_scenes_or_no_triplets_are_an_error_for_every_way_of_splitting(split, count, n_triplets):
    with pytest.raises(PlanError):
        split_scenes(split, scene_ids(count), n_triplets, seed=0)


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(0), "0 min"),
        (timedelta(minutes=10), "10 min"),
        (timedelta(minutes=90), "1.5 h"),
        (DAY, "24 h"),
        (timedelta(days=3.5), "3.5 d"),
        (timedelta(days=1234), "1234 d"),
    ],
)
def test_durations_in_words(duration, words):
    assert in_words(duration) == words
