from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from convml_data.draws import named_hash64, named_uniforms


def test_values_are_those_of_every_platform_and_day():
    # sha256 of '[0, ["pair", "train", 3]]' and of '[0, ["pair", "train", 3], 0]', by sha256sum.
    assert named_hash64(0, "pair", "train", 3) == 0xBB30F91753572062
    assert named_uniforms(0, "pair", "train", 3, count=1) == ((0x873A056FBCD89C02 >> 11) / 2**53,)


def test_names_that_read_alike_are_different_names():
    names = [("a", "bc"), ("ab", "c"), ("abc",), (1,), ("1",), (1, 1), (11,), ('a", "bc',), (), ("",)]

    hashes = [named_hash64(0, *name) for name in names]
    draws = [named_uniforms(0, *name, count=2) for name in names]

    assert len(set(hashes)) == len(names)
    assert len(set(itertools.chain(*draws))) == 2 * len(names)


def test_seeds_give_different_draws():
    assert len({named_uniforms(seed, "a", count=1) for seed in range(100)}) == 100


def test_a_larger_count_keeps_the_first_draws():
    assert named_uniforms(7, "a", count=5)[:2] == named_uniforms(7, "a", count=2)


def test_draws_are_uniform_and_uncorrelated():
    draws = np.array([named_uniforms(1, "uniform", number, count=4) for number in range(5000)])

    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001
    correlation = np.corrcoef(np.hstack([draws[:-1], draws[1:]]).T)
    assert np.abs(correlation[~np.eye(8, dtype=bool)]).max() < 0.06
