"""Statistics of parts, merged in any order, are those of the whole."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce

import numpy as np
import numpy.typing as npt
from hypothesis import example, given
from hypothesis import strategies as st

from convml_data.report.statistics import FINEST, MAX_BINS, PRECISION, BandStatistics, fingerprint_of_tiles

VALUES = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(180, 330),
    st.floats(-1, 1),
    st.integers(-3, 3).map(float),
    st.just(math.nan),
)
PARTS = st.lists(st.lists(VALUES, max_size=12), min_size=1, max_size=6)


def present(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]


def merged(parts: list[list[float]]) -> BandStatistics:
    return reduce(BandStatistics.merged, [BandStatistics.of(part) for part in parts])


def assert_same(found: BandStatistics, expected: BandStatistics) -> None:
    """Exactly, but for the rounding of mean and deviation."""
    exact = ("count", "missing", "histogram")
    assert [getattr(found, name) for name in exact] == [getattr(expected, name) for name in exact]
    np.testing.assert_array_equal([found.min, found.max], [expected.min, expected.max])
    # A deviation much smaller than the values themselves is known to the precision of the values only.
    rounding = 1e-14 * max(abs(expected.min), abs(expected.max)) if expected.count else 0
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=rounding)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-9, atol=rounding)


@given(PARTS)
@example([[0.0], [1e-30]])
@example([[1e-5], [2e-5], [math.nan]])
@example([[math.nan], [], [5.0]])
@example([[-0.0], [0.0], [-1e-40]])
@example([[0.0, 255.0], [256.0]])
@example([[17523466567680.0], [-2.2250738585e-313]])
def test_merged_parts_are_the_whole(parts: list[list[float]]) -> None:
    assert_same(merged(parts), BandStatistics.of(np.concatenate(parts)))


@given(PARTS, st.randoms(use_true_random=False))
def test_the_order_of_parts_does_not_matter(parts: list[list[float]], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert_same(merged(shuffled), merged(parts))


@given(PARTS, st.integers(0, 5))
def test_how_parts_are_grouped_does_not_matter(parts: list[list[float]], cut: int) -> None:
    groups = [group for group in (parts[:cut], parts[cut:]) if group]
    assert_same(reduce(BandStatistics.merged, [merged(group) for group in groups]), merged(parts))


@given(st.lists(VALUES, max_size=60))
def test_statistics_are_those_of_numpy(values: list[float]) -> None:
    found, there = BandStatistics.of(values), present(values)
    assert (found.count, found.missing) == (there.size, len(values) - there.size)
    if there.size:
        assert (found.min, found.max) == (there.min(), there.max())
        np.testing.assert_allclose(found.mean, math.fsum(there) / there.size, rtol=1e-12, atol=1e-15 * abs(there).max())
        np.testing.assert_allclose(found.std, there.std(), rtol=1e-12, atol=1e-15 * abs(there).max())
        assert found.min <= found.mean <= found.max


@given(PARTS)
def test_the_histogram_is_that_of_numpy_on_its_edges(parts: list[list[float]]) -> None:
    histogram, there = merged(parts).histogram, present(np.concatenate(parts))
    if not there.size:
        assert histogram.counts == ()
        return
    counts, _ = np.histogram(there, histogram.edges)
    assert histogram.counts == tuple(counts)
    assert sum(counts) == there.size
    assert counts[0] > 0
    assert counts[-1] > 0


@given(st.lists(VALUES.filter(lambda value: value == value), min_size=1, max_size=20))
def test_bins_are_as_narrow_as_they_may_be(values: list[float]) -> None:
    histogram = BandStatistics.of(values).histogram
    assert len(histogram.counts) <= MAX_BINS
    narrower = histogram.exponent - 1
    bins = [math.floor(Fraction(value) / Fraction(2) ** narrower) for value in values]
    largest = max(map(abs, values))
    assert (
        max(bins) - min(bins) >= MAX_BINS
        or math.ldexp(1.0, narrower) < FINEST
        or math.ldexp(1.0, narrower) < largest / PRECISION
    )


@given(PARTS)
def test_what_is_written_is_read(parts: list[list[float]]) -> None:
    statistics = merged(parts)
    again = BandStatistics.from_dict(statistics.to_dict())
    assert again.to_dict() == statistics.to_dict()
    assert again.histogram == statistics.histogram
    written = statistics.to_dict()["histogram"]
    edges = written["first_edge"] + written["bin_width"] * np.arange(len(written["counts"]) + 1)
    np.testing.assert_array_equal(edges, statistics.histogram.edges)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=5), st.randoms(use_true_random=False))
def test_the_fingerprint_is_of_the_tiles_and_not_of_their_order(tiles: list[tuple[str, str]], random: object) -> None:
    shuffled = list(tiles)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = fingerprint_of_tiles(tiles)
    assert fingerprint_of_tiles(shuffled) == found
    assert len(found) == 12
    assert fingerprint_of_tiles([*tiles, ("00000_anchor", "123456789abc")]) != found
