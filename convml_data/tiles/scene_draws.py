"""Which two scenes of a collection a triplet takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from convml_data.draws import named_hash64

UInt64Array = npt.NDArray[np.uint64]

_LARGEST = np.uint64(2**64 - 1)


def draw_scene_pairs(
    scene_ids: Sequence[str], collection: str, triplet_ids: Iterable[int], seed: int, attempt: int = 0
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
    attempt
        How often they have drawn before.

    Returns
    -------
    The scene of anchor and neighbor and the scene of the distant tile, for each triplet.
    """
    scenes = np.array([named_hash64(seed, "scene of triplets", name) for name in scene_ids], np.uint64)
    again = () if attempt == 0 else (attempt,)
    pairs = []
    for triplet_id in triplet_ids:
        triplet = np.uint64(named_hash64(seed, "scenes of triplet", collection, triplet_id, *again))
        hashes = _mixed(scenes ^ triplet)
        lowest = int(hashes.argmin())
        hashes[lowest] = _LARGEST
        pairs.append((scene_ids[lowest], scene_ids[int(hashes.argmin())]))
    return pairs


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
