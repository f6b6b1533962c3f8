"""What is known of a file: bytes by place, and spans made one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convml_data.sources.goes.parts import Parts, Span, merged

FILE = bytes(range(256)) * 2

spans = st.tuples(st.integers(0, 511), st.integers(0, 80)).map(lambda pair: Span(pair[0], min(sum(pair), 512)))
files_parts = st.lists(spans, max_size=12)


def bytes_of(places: list[Span]) -> set[int]:
    return {byte for span in places for byte in range(*span)}


@given(files_parts)
def test_all_bytes_that_were_added_are_known_and_no_others(added: list[Span]) -> None:
    parts = Parts((span.start, FILE[slice(*span)]) for span in added)
    known = bytes_of(added)
    assert {start + i for start, content in parts for i in range(len(content))} == known
    assert all(content == FILE[start : start + len(content)] for start, content in parts)
    for start in range(0, 512, 7):
        span = Span(start, min(start + 9, 512))
        assert parts.get(span) == (FILE[slice(*span)] if set(range(*span)) <= known else None)


@given(files_parts)
def test_packing_is_undone_by_unpacking(added: list[Span]) -> None:
    parts = Parts((span.start, FILE[slice(*span)]) for span in added)
    assert list(Parts.unpacked(parts.packed())) == list(parts)


@pytest.mark.parametrize("damaged", [b"", b"no such thing", Parts([(3, b"abc")]).packed()[:-4]])
def test_damaged_parts_are_an_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="no parts of a file"):
        Parts.unpacked(damaged)


def test_what_comes_later_replaces() -> None:
    parts = Parts([(0, b"aaaa"), (6, b"cc"), (2, b"bbbbb")])
    assert list(parts) == [(0, b"aabbbbbc")]


@given(files_parts)
def test_only_some_spans(added: list[Span]) -> None:
    parts = Parts([(0, FILE)])
    assert bytes_of([Span(start, start + len(content)) for start, content in parts.only(added)]) == bytes_of(added)


def test_spans_that_are_not_known_are_an_error() -> None:
    with pytest.raises(KeyError):
        Parts([(0, b"abc")]).only([Span(1, 5)])


@given(files_parts, st.integers(0, 40), st.one_of(st.none(), st.integers(1, 100)))
def test_merged_spans_hold_the_spans_and_no_more_than_gaps(asked: list[Span], gap: int, longest: int | None) -> None:
    result = merged(asked, gap, longest)
    assert all(any(whole.start <= span.start and span.stop <= whole.stop for whole in result) for span in asked)
    assert all(before.stop <= after.start for before, after in itertools.pairwise(result))
    extra = len(bytes_of(result)) - len(bytes_of(asked))
    assert 0 <= extra <= gap * max(len(asked) - 1, 0)
    if longest is None:
        assert all(after.start - before.stop > gap for before, after in itertools.pairwise(result))


def test_a_range_is_no_longer_than_asked_but_never_cuts_a_span() -> None:
    chunks = [Span(10 * i, 10 * i + 10) for i in range(7)]
    assert merged(chunks, 0, 30) == [Span(0, 30), Span(30, 60), Span(60, 70)]
    assert merged([Span(0, 50)], 0, 30) == [Span(0, 50)]
