"""What is new in an archive since a position, and what to list for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from convml_data.scenes.arrivals import LOOK_BACK, STRIDE, Arrivals, next_position, next_window, what_is_new
from convml_data.scenes.discover import choose_scenes
from convml_data.scenes.filters import SceneFilter
from convml_data.scenes.ledger import LedgerRow, Scan, SourceFile
from convml_data.sources.base import CLOCK_SKEW, OPEN_END, Interval

START = datetime(2026, 3, 1)
ONGOING = [Interval(START, OPEN_END)]
WAIT = timedelta(hours=2)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def scan(minutes: float, reason: str | None = None) -> Scan:
    start = at(minutes)
    files = {"1": SourceFile(f"s3://archive/{start:%H%M%S}.nc", 9)}
    return Scan(start, start + timedelta(minutes=9), "goes16", 6, files, reason)


def choose(scans: Sequence[Scan], taken: Mapping[str, datetime]) -> tuple[LedgerRow, ...]:
    return choose_scenes(
        scans, source_name="goes16", spans=ONGOING, filters=SceneFilter(), nearest_times=None, taken=taken
    )


def added(earlier: Sequence[LedgerRow], scans: Sequence[Scan], now: datetime) -> Arrivals:
    return what_is_new(earlier, scans, choose=choose, now=now, wait=WAIT)


# What to list


def test_the_first_window_begins_with_the_span() -> None:
    window = next_window(ONGOING, None, at(60))
    assert window.spans == (Interval(START, at(60) + CLOCK_SKEW),)
    assert (window.until, window.is_last) == (at(60), True)


def test_the_next_window_looks_back() -> None:
    now = START + timedelta(days=2)
    window = next_window(ONGOING, now - timedelta(minutes=1), now)
    assert window.spans == (Interval(now - timedelta(minutes=1) - LOOK_BACK, now + CLOCK_SKEW),)


def test_gaps_between_spans_take_no_listing() -> None:
    ended = START + timedelta(days=30)
    spans = [Interval(START, ended), Interval(START + timedelta(days=900), OPEN_END)]
    window = next_window(spans, ended + timedelta(days=1), START + timedelta(days=2000))
    assert (window.until, window.is_last) == (spans[1].start + STRIDE, False)
    assert window.spans == (Interval(spans[1].start, window.until + CLOCK_SKEW),)


def test_a_span_that_has_ended_is_looked_back_into() -> None:
    end = START + timedelta(days=1)
    window = next_window([Interval(START, end)], end, START + timedelta(days=9))
    assert window == next_window([Interval(START, end)], next_position(window, end), START + timedelta(days=99))
    assert window.spans == (Interval(end - LOOK_BACK, end),)


def test_a_span_that_has_not_begun_takes_no_listing() -> None:
    assert next_window(ONGOING, None, START - timedelta(days=1)).spans == ()


@given(
    lengths=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=4),
    is_open=st.booleans(),
    steps=st.lists(st.integers(1, 700), min_size=1, max_size=8),
    data=st.data(),
)
def test_windows_leave_no_moment_out(
    lengths: list[tuple[int, int]], is_open: bool, steps: list[int], data: st.DataObject
) -> None:
    spans, begin = [], START
    for gap, length in lengths:
        spans.append(Interval(begin + timedelta(hours=gap), begin + timedelta(hours=gap + length)))
        begin = spans[-1].end
    if is_open:
        spans[-1] = Interval(spans[-1].start, OPEN_END)
    now, position = START, None
    listed: list[Interval] = []
    for step in steps:
        now += timedelta(hours=step)
        while True:
            window = next_window(spans, position, now)
            listed += window.spans
            position = next_position(window, data.draw(st.datetimes(START, now)))
            if window.is_last:
                break
    moments = [START + timedelta(hours=hour) for hour in range(sum(steps) + 1)]
    for moment in moments:
        assert any(moment in span for span in listed) or not any(moment in span for span in spans)


# What is new


def test_what_the_ledger_has_is_not_new() -> None:
    first = added((), [scan(0), scan(10)], at(30))
    assert first.new == ("goes16__202603010000", "goes16__202603010010")
    again = added(first.rows, [scan(0), scan(10), scan(20)], at(40))
    assert again.new == ("goes16__202603010020",)
    assert again.rows[:2] == first.rows


def test_an_incomplete_scan_is_waited_for_and_then_dropped() -> None:
    incomplete = scan(0, "missing channel 2")
    waiting = added((), [incomplete], at(9) + WAIT - timedelta(seconds=1))
    assert (waiting.rows, waiting.waiting) == ((), {START: "missing channel 2"})
    given_up = added((), [incomplete], at(9) + WAIT)
    assert [row.reason for row in given_up.rows] == ["missing channel 2"]
    assert (given_up.new, given_up.waiting) == ((), {})
    complete = added(given_up.rows, [scan(0)], at(200))
    assert [row.reason for row in complete.rows] == [None]
    assert complete.new == ("goes16__202603010000",)


@given(
    minutes=st.lists(st.integers(0, 300), unique=True, min_size=1, max_size=12),
    data=st.data(),
)
def test_the_order_of_arrival_does_not_matter(minutes: list[int], data: st.DataObject) -> None:
    scans = [scan(minute) for minute in minutes]
    rows: tuple[LedgerRow, ...] = ()
    new: list[str] = []
    for some in scans:
        # Those before it may or may not be listed again.
        shown = [some, *(other for other in scans[: scans.index(some)] if data.draw(st.booleans()))]
        arrivals = added(rows, shown, at(400))
        rows, new = arrivals.rows, [*new, *arrivals.new]
    at_once = added((), scans, at(400))
    assert rows == at_once.rows
    assert sorted(new) == list(at_once.new)
