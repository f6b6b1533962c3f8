"""Which collection each scene belongs to.

What a network is tested on must be unknown to it, and scenes close in time are nearly the same scene.
Each way of splitting is a value; :func:`split_scenes` gives every scene to one collection or says
why it is left over. Draws are named hashes: neither the order of the scenes nor that of the
collections matters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, combinations, groupby, pairwise
from typing import assert_never

from convml_data.draws import named_hash64
from convml_data.errors import PlanError
from convml_data.scenes.ids import parse_scene_id
from convml_data.sources.base import Interval

#: Where blocks of time begin to be counted, UTC.
EPOCH = datetime(1970, 1, 1)

#: Scenes of two collections that are nearer than this deserve a warning.
TOO_NEAR = timedelta(hours=1)

_COUNTS = "sampling.triplets.N_triplets"
_TRIPLETS = "sampling.triplets"
_SPLITTING = f"{_TRIPLETS}.scene_collections_splitting"


@dataclass(frozen=True)
class RandomByRelativeSampleSize:
    """Scenes one by one at random, in proportion to the triplets: scenes minutes apart part company."""


@dataclass(frozen=True)
class ByTimeBlock:
    """Whole blocks of time at random, in proportion to the triplets.

    Parameters
    ----------
    block
        Length of a block. Blocks are counted from 1970-01-01T00:00 UTC: those of one day are UTC days.
    guard
        Scenes of different collections are at least this far apart in time.

    Raises
    ------
    PlanError
        The block has no length, or the guard is negative.
    """

    block: timedelta
    guard: timedelta

    def __post_init__(self) -> None:
        if self.block <= timedelta(0):
            raise PlanError(
                f"time blocks of {in_words(self.block)} hold nothing",
                where=f"{_TRIPLETS}.block",
                remedy="Give a length above 0, such as P1D",
            )
        if self.guard < timedelta(0):
            raise PlanError(
                f"a guard of {in_words(self.guard)} is negative",
                where=f"{_TRIPLETS}.guard",
                remedy="Give 0 or a length above it, such as PT6H",
            )


@dataclass(frozen=True)
class ByIntervals:
    """By the intervals in which scenes start.

    Parameters
    ----------
    intervals
        Of each collection. Both ends belong to an interval; scenes start at the minute of their IDs.
    """

    intervals: Mapping[str, tuple[Interval, ...]]


@dataclass(frozen=True)
class StableHash:
    """Each scene by its own hash, whichever other scenes there are; shares hold on average only."""


Split = RandomByRelativeSampleSize | ByTimeBlock | ByIntervals | StableHash


@dataclass(frozen=True)
class SceneSplit:
    """The outcome of a split: each scene is in one collection or left over.

    Parameters
    ----------
    scenes
        The scenes of each collection in time order, collections by name.
    left_over
        Why a scene is in no collection, in time order.
    """

    scenes: Mapping[str, tuple[str, ...]]
    left_over: Mapping[str, str]


def split_scenes(split: Split, scene_ids: Collection[str], n_triplets: Mapping[str, int], seed: int) -> SceneSplit:
    """Share the scenes out to the collections.

    Parameters
    ----------
    split
        How.
    scene_ids
        All scenes of the dataset.
    n_triplets
        How many triplets each collection is to have.
    seed
        Of the dataset.

    Raises
    ------
    PlanError
        No triplets are asked for, a collection with triplets gets no scene, or intervals overlap or
        belong to a collection that ``n_triplets`` does not name.
    """
    if not any(n_triplets.values()):
        raise PlanError(
            "no triplets are asked for", where=_COUNTS, remedy="Give at least one collection a number above 0"
        )
    starts = {scene_id: parse_scene_id(scene_id)[1] for scene_id in sorted(set(scene_ids), key=_time_order)}
    left_over: dict[str, str] = {}
    match split:
        case RandomByRelativeSampleSize():
            owners = _share_out(starts, "scene", "a longer `time` or looser filters", n_triplets, seed)
        case ByTimeBlock():
            owners, left_over = _by_time_block(split, starts, n_triplets, seed)
        case ByIntervals():
            owners, left_over = _by_intervals(split, starts, n_triplets)
        case StableHash():
            owners = _by_stable_hash(starts, n_triplets, seed)
        case _:
            assert_never(split)
    scenes = {
        collection: tuple(scene_id for scene_id in starts if owners.get(scene_id) == collection)
        for collection in sorted(n_triplets)
    }
    _check_all_have_scenes(split, scenes, n_triplets)
    return SceneSplit(scenes, left_over)


def in_words(duration: timedelta) -> str:
    """``10 min``, ``6 h`` or ``3.5 d``: rounded, in the unit that suits."""
    if abs(duration) < timedelta(hours=1):
        return f"{duration / timedelta(minutes=1):.3g} min"
    if abs(duration) <= timedelta(hours=48):
        return f"{duration / timedelta(hours=1):.3g} h"
    return f"{duration / timedelta(days=1):.1f}".removesuffix(".0") + " d"


def _by_time_block(
    split: ByTimeBlock, starts: Mapping[str, datetime], n_triplets: Mapping[str, int], seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    """The collections of the scenes outside of guards, and why the others are left over.

    The time line is cut where it passes from one collection to another: at the common end of two
    blocks, in the middle of those between that hold no scenes. A scene is in the guard where it is
    nearer than half the guard to a cut, and nearer than the guard to a scene beyond the cut. Of two
    scenes of different collections that are nearer than the guard, one at least is therefore left
    over, since not both can be half the guard away from the cuts between them.
    """
    blocks = {scene_id: (start - EPOCH) // split.block for scene_id, start in starts.items()}
    more_by = "a longer `time`, looser filters or shorter blocks"
    owner_of_block = _share_out({str(block) for block in blocks.values()}, "time block", more_by, n_triplets, seed)
    owners = {scene_id: owner_of_block[str(block)] for scene_id, block in blocks.items()}
    left_over = {}
    runs = [(owner, list(of_run)) for owner, of_run in groupby(starts, key=owners.__getitem__)]
    for (earlier_owner, earlier), (later_owner, later) in pairwise(runs):
        last, first = earlier[-1], later[0]
        end = EPOCH + (blocks[last] + 1) * split.block
        cut = end + (blocks[first] - blocks[last] - 1) * split.block / 2
        between = " and ".join(sorted((earlier_owner, later_owner)))
        for scenes, nearest_beyond in ((earlier, starts[first]), (later, starts[last])):
            for scene_id in scenes:
                from_cut, from_scene = abs(starts[scene_id] - cut), abs(starts[scene_id] - nearest_beyond)
                if 2 * from_cut < split.guard and from_scene < split.guard:
                    left_over[scene_id] = f"in the guard of {in_words(split.guard)} between {between}"
    kept = {scene_id: owner for scene_id, owner in owners.items() if scene_id not in left_over}
    return kept, {scene_id: left_over[scene_id] for scene_id in starts if scene_id in left_over}


def _by_intervals(
    split: ByIntervals, starts: Mapping[str, datetime], n_triplets: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, str]]:
    for collection in split.intervals:
        if collection not in n_triplets:
            raise PlanError(
                f"there are intervals for the collection {collection!r}, and triplets only for "
                f"{', '.join(sorted(n_triplets))}",
                where=f"{_TRIPLETS}.intervals",
                remedy=f"Give {collection} a number in N_triplets (0 for scenes without triplets), or mend its name",
            )
    owned = [(interval, name) for name in sorted(split.intervals) for interval in split.intervals[name]]
    for (one, of_one), (other, of_other) in combinations(owned, 2):
        if of_one != of_other and max(one.start, other.start) <= min(one.end, other.end):
            raise PlanError(
                f"the interval {_from_to(one)} of {of_one} overlaps with {_from_to(other)} of {of_other}; "
                f"both ends belong to an interval",
                where=f"{_TRIPLETS}.intervals",
                remedy="Let one end before the other begins, a minute or more",
            )
    owners = {
        scene_id: collection
        for scene_id, start in starts.items()
        for interval, collection in owned
        if start in interval
    }
    reason = "in none of the intervals of by_intervals"
    return owners, {scene_id: reason for scene_id in starts if scene_id not in owners}


def _by_stable_hash(starts: Mapping[str, datetime], n_triplets: Mapping[str, int], seed: int) -> dict[str, str]:
    collections = sorted(n_triplets)
    upper_ends = list(accumulate(n_triplets[collection] for collection in collections))
    # Whole numbers throughout, so that only the ratios of the triplets matter, to the last bit.
    positions = {scene_id: named_hash64(seed, "stable split", scene_id) * upper_ends[-1] >> 64 for scene_id in starts}
    return {scene_id: collections[bisect_right(upper_ends, position)] for scene_id, position in positions.items()}


def _share_out(
    names: Collection[str], what: str, more_by: str, n_triplets: Mapping[str, int], seed: int
) -> dict[str, str]:
    """The collection of each name, in proportion to the triplets by the method of largest remainders.

    The names stand in the order of their hashes and the collections in the order of their names, so
    that a name more moves few others. Each collection with triplets gets one at least. Errors say
    ``what`` the names stand for and what there would be ``more_by``.
    """
    shares = _shares(len(names), what, more_by, n_triplets)
    shuffled = sorted(names, key=lambda name: (named_hash64(seed, f"{what} split", name), name))
    owners = [collection for collection, share in shares.items() for _ in range(share)]
    return dict(zip(shuffled, owners, strict=True))


def _shares(n_things: int, what: str, more_by: str, n_triplets: Mapping[str, int]) -> dict[str, int]:
    """Numbers of things by collection, which add up to ``n_things``."""
    total = sum(n_triplets.values())
    wanted = sorted(collection for collection, n in n_triplets.items() if n > 0)
    if n_things < len(wanted):
        asked_for = ", ".join(f"{collection} {n_triplets[collection]}" for collection in wanted)
        raise PlanError(
            f"{len(wanted)} collections ({asked_for}) need a {what} each, and there are {n_things} {what}s",
            where=_COUNTS,
            remedy=f"Ask for fewer collections, or for more {what}s by {more_by}",
        )
    shares = {collection: n_triplets[collection] * n_things // total for collection in wanted}
    remainders = {collection: n_triplets[collection] * n_things % total for collection in wanted}
    by_remainder = sorted(wanted, key=lambda name: (-remainders[name], -n_triplets[name], name))
    for collection in by_remainder[: n_things - sum(shares.values())]:
        shares[collection] += 1
    for collection in wanted:
        if shares[collection] == 0:
            shares[max(wanted, key=lambda name: shares[name])] -= 1
            shares[collection] = 1
    return {collection: shares.get(collection, 0) for collection in sorted(n_triplets)}


def _check_all_have_scenes(split: Split, scenes: Mapping[str, tuple[str, ...]], n_triplets: Mapping[str, int]) -> None:
    empty = [collection for collection, of_collection in scenes.items() if n_triplets[collection] and not of_collection]
    if not empty:
        return
    match split:
        case ByTimeBlock():
            why = f"all of its scenes are in the guard of {in_words(split.guard)}"
            remedy = f"Give a shorter guard, or blocks longer than {in_words(split.block)}"
        case ByIntervals():
            why = "no scene starts in its intervals"
            remedy = "Mend its intervals, let `time` and the filters reach them, or ask for no triplets of it"
        case _:
            why = f"none of {sum(map(len, scenes.values()))} scenes has a hash that falls to it"
            remedy = "Give another seed, more triplets of it, more scenes, or take random_by_relative_sample_size"
    collection = empty[0]
    raise PlanError(
        f"the collection {collection!r} is to have {n_triplets[collection]} triplets and has no scene: {why}",
        where=_SPLITTING,
        remedy=remedy,
    )


def _from_to(interval: Interval) -> str:
    return f"{interval.start.isoformat()} to {interval.end.isoformat()}"


def _time_order(scene_id: str) -> tuple[object, ...]:
    source, start = parse_scene_id(scene_id)
    return start, source
