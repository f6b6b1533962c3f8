from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convml_data.errors import PlanError
from convml_data.scenes.ids import parse_scene_id
from convml_data.sources.base import Interval
from convml_data.tiles.splits import (
    ByIntervals,
    ByTimeBlock,
    RandomByRelativeSampleSize,
    SceneSplit,
    Split,
    StableHash,
    split_scenes,
)

START = datetime(2019, 12, 31, 20)
COUNTS = st.dictionaries(st.sampled_from(["train", "study", "test", "a b"]), st.integers(0, 60), min_size=1)
SEEDS = st.integers(0, 2**40)
# Several scenes a day over three weeks, on both sides of the turn of the year.
SCENES = st.sets(st.integers(0, 21 * 144), min_size=1, max_size=60).map(
    lambda steps: [f"goes16__{START + timedelta(minutes=10 * step):%Y%m%d%H%M}" for step in sorted(steps)]
)
BLOCKS = st.builds(
    ByTimeBlock,
    block=st.integers(20, 4000).map(lambda minutes: timedelta(minutes=minutes)),
    guard=st.integers(0, 6000).map(lambda minutes: timedelta(minutes=minutes)),
)


def scene_ids(count: int) -> list[str]:
    return [f"goes16__{START + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(count)]


def split_or_skip(split: Split, scenes: list[str], n_triplets: dict[str, int], seed: int) -> SceneSplit:
    """The split where there is one."""
    try:
        return split_scenes(split, scenes, n_triplets, seed)
    except PlanError:
        assume(False)
        raise


def start_of(scene_id: str) -> datetime:
    return parse_scene_id(scene_id)[1]


@given(n_scenes=st.integers(1, 200), n_triplets=COUNTS, seed=SEEDS, data=st.data())
@settings(deadline=None, max_examples=100)
def test_every_scene_has_one_collection_and_every_collection_its_share(n_scenes, n_triplets, seed, data):
    wanted = [name for name, count in n_triplets.items() if count > 0]
    assume(0 < len(wanted) <= n_scenes)
    split = RandomByRelativeSampleSize()

    made = split_scenes(split, scene_ids(n_scenes), n_triplets, seed)

    assert made == split_scenes(split, data.draw(st.permutations(scene_ids(n_scenes))), n_triplets, seed)
    assert sorted(name for scenes in made.scenes.values() for name in scenes) == scene_ids(n_scenes)
    total = sum(n_triplets.values())
    for collection, count in n_triplets.items():
        share = len(made.scenes[collection])
        assert (share > 0) == (count > 0)
        assert share <= max(1, count * n_scenes / total + 1)
        # Others may have taken one each to have any.
        assert share > count * n_scenes / total - 1 - len(wanted)


@st.composite
def intervals(draw: st.DrawFn) -> ByIntervals:
    """Disjoint intervals, dealt to two collections in turn, with gaps between them."""
    hours = sorted(draw(st.sets(st.integers(0, 21 * 24), min_size=4, max_size=12)))
    spans = [
        Interval(START + timedelta(hours=first), START + timedelta(hours=last))
        for first, last in zip(hours[::2], hours[1::2], strict=False)
    ]
    return ByIntervals({"train": tuple(spans[::2]), "study": tuple(spans[1::2])})


@given(
    split=st.one_of(st.just(RandomByRelativeSampleSize()), BLOCKS, intervals(), st.just(StableHash())),
    scenes=SCENES,
    seed=SEEDS,
    data=st.data(),
)
@settings(deadline=None, max_examples=100)
def test_a_scene_is_in_one_collection_or_left_over_with_a_reason_in_whatever_order(split, scenes, seed, data):
    n_triplets = {"train": 5, "study": 3, "spare": 0}
    made = split_or_skip(split, scenes, n_triplets, seed)

    assert made == split_scenes(split, data.draw(st.permutations(scenes)), dict(reversed(n_triplets.items())), seed)
    placed = [scene for of_collection in made.scenes.values() for scene in of_collection]
    assert sorted([*placed, *made.left_over]) == scenes
    assert all(made.left_over.values())
    assert list(made.scenes) == sorted(n_triplets)
    assert made.scenes["train"]
    assert made.scenes["study"]
    assert all(list(of_collection) == sorted(of_collection) for of_collection in made.scenes.values())


@given(split=BLOCKS, scenes=SCENES, seed=SEEDS, n_triplets=COUNTS)
@settings(deadline=None, max_examples=300)
def test_scenes_of_different_collections_are_a_guard_apart_and_those_left_over_were_not(
    split, scenes, seed, n_triplets
):
    made = split_or_skip(split, scenes, n_triplets, seed)

    for one, other in combinations(made.scenes.values(), 2):
        for a in one:
            assert all(abs(start_of(a) - start_of(b)) >= split.guard for b in other)

    unguarded = split_scenes(ByTimeBlock(split.block, timedelta(0)), scenes, n_triplets, seed)
    assert unguarded.left_over == {}
    owners = {scene: name for name, of_name in unguarded.scenes.items() for scene in of_name}
    assert all(owners[scene] == name for name, of_name in made.scenes.items() for scene in of_name)
    for left_over in made.left_over:
        assert any(
            owners[scene] != owners[left_over] and abs(start_of(scene) - start_of(left_over)) < split.guard
            for scene in scenes
        )


@given(scenes=SCENES, seed=SEEDS, block=st.integers(20, 4000))
@settings(deadline=None, max_examples=50)
def test_scenes_of_one_block_stay_together(scenes, seed, block):
    length = timedelta(minutes=block)
    made = split_or_skip(ByTimeBlock(length, timedelta(0)), scenes, {"train": 5, "study": 3}, seed)

    blocks = {
        name: {(start_of(scene) - datetime(1970, 1, 1)) // length for scene in of_name}
        for name, of_name in made.scenes.items()
    }
    assert not blocks["train"] & blocks["study"]
    # Largest remainders of two collections: each is off by less than one, or has the one it must have.
    n_blocks = len(blocks["train"] | blocks["study"])
    assert abs(len(blocks["study"]) - n_blocks * 3 / 8) < 1


@given(scenes=SCENES, seed=SEEDS, n_triplets=COUNTS, data=st.data())
@settings(deadline=None, max_examples=200)
def test_by_stable_hash_a_scene_stays_where_it_is_whatever_comes_or_goes(scenes, seed, n_triplets, data):
    fewer = data.draw(st.lists(st.sampled_from(scenes), unique=True, min_size=1))
    all_of_them = split_or_skip(StableHash(), scenes, n_triplets, seed)
    some_of_them = split_or_skip(StableHash(), fewer, n_triplets, seed)

    for collection in n_triplets:
        assert set(some_of_them.scenes[collection]) == set(all_of_them.scenes[collection]) & set(fewer)
