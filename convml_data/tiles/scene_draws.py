"""Which scenes a collection owns, and which two of them a triplet takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from convml_data.draws import named_hash64
from convml_data.errors import PlanError
from convml_data.scenes.ids import parse_scene_id

UInt64Array = npt.NDArray[np.uint64]

_LARGEST = np.uint64(2**64 - 1)


def split_scenes(scene_ids: Collection[str], n_triplets: Mapping[str, int], seed: int) -> dict[str, tuple[str, ...]]:
    """Share the scenes out to the collections at random, in proportion to their triplets.

    The numbers of scenes follow from the method of largest remainders, with at least one scene for
    every collection that has triplets. The scenes stand in the order of their named hashes and the
    collections in the order of their names, so that neither the order of ``scene_ids`` nor that of
    ``n_triplets`` matters, and a scene more moves few others.

    Parameters
    ----------
    scene_ids
        All scenes of the dataset.
    n_triplets
        How many triplets each collection is to have.
    seed
        Of the dataset.

    Returns
    -------
    For each collection its scenes in time order. No scene is in two collections, and each is in one.

    Raises
    ------
    PlanError
        No triplets are asked for, or there are fewer scenes than collections with triplets.
    """
    scenes = set(scene_ids)
    shares = _shares(len(scenes), n_triplets)
    shuffled = sorted(scenes, key=lambda scene_id: (named_hash64(seed, "scene split", scene_id), scene_id))
    split = {}
    first = 0
    for collection, share in shares.items():
        split[collection] = tuple(sorted(shuffled[first : first + share], key=_time_order))
        first += share
    return split


def draw_scene_pairs(
    scene_ids: Sequence[str], collection: str, triplet_ids: Iterable[int], seed: int
) -> list[tuple[str, str]]:
    """For each triplet two different scenes, uniformly without replacement.

    Rendezvous hashing: every pair of triplet and scene has a hash, and a triplet takes the scenes
    with its two lowest. A scene or a triplet more therefore changes only the triplets that take
    the new scene, and no other.

    Parameters
    ----------
    scene_ids
        The collection's scenes, at least two.
    collection
        Its name.
    triplet_ids
        The triplets that draw.
    seed
        Of the dataset.

    Returns
    -------
    The scene of anchor and neighbor and the scene of the distant tile, for each triplet.
    """
    scenes = np.array([named_hash64(seed, "scene of triplets", name) for name in scene_ids], np.uint64)
    pairs = []
    for triplet_id in triplet_ids:
        triplet = np.uint64(named_hash64(seed, "scenes of triplet", collection, triplet_id))
        hashes = _mixed(scenes ^ triplet)
        lowest = int(hashes.argmin())
        hashes[lowest] = _LARGEST
        pairs.append((scene_ids[lowest], scene_ids[int(hashes.argmin())]))
    return pairs


def _shares(n_scenes: int, n_triplets: Mapping[str, int]) -> dict[str, int]:
    """Numbers of scenes by collection, which add up to ``n_scenes``."""
    total = sum(n_triplets.values())
    wanted = sorted(collection for collection, n in n_triplets.items() if n > 0)
    asked_for = ", ".join(f"{collection} {n_triplets[collection]}" for collection in wanted)
    if not wanted:
        raise PlanError(
            "no triplets are asked for",
            where="sampling.triplets.N_triplets",
            remedy="Give at least one collection a number above 0",
        )
    if n_scenes < len(wanted):
        raise PlanError(
            f"{len(wanted)} collections ({asked_for}) need a scene each, and there are {n_scenes} scenes",
            where="sampling.triplets.N_triplets",
            remedy="Ask for fewer collections, or for more scenes by a longer `time` or looser filters",
        )
    shares = {collection: n_triplets[collection] * n_scenes // total for collection in wanted}
    remainders = {collection: n_triplets[collection] * n_scenes % total for collection in wanted}
    by_remainder = sorted(wanted, key=lambda name: (-remainders[name], -n_triplets[name], name))
    for collection in by_remainder[: n_scenes - sum(shares.values())]:
        shares[collection] += 1
    for collection in wanted:
        if shares[collection] == 0:
            shares[max(wanted, key=lambda name: shares[name])] -= 1
            shares[collection] = 1
    return {collection: shares.get(collection, 0) for collection in sorted(n_triplets)}


def _time_order(scene_id: str) -> tuple[object, ...]:
    source, start = parse_scene_id(scene_id)
    return start, source


def _mixed(values: UInt64Array) -> UInt64Array:
    """Mix the bits of each value, in place.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195, with
    Stafford's constants, variant 13): a bijection in which every bit of the input changes every
    bit of the output with probability one half.
    """
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
