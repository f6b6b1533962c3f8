"""Matching of scenes and aux times against a full search in plain words, and tables that grow."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from convml_data.errors import PlanError
from convml_data.scenes.matching import Match, Strategy, match_scenes, time_between_aux
from convml_data.sources.base import Interval

START = datetime(2020, 2, 2)
STRATEGIES: tuple[Strategy, ...] = ("all_scenes_within_dt_aux", "single_scene_per_aux_time")

# Few different times, so that ties and full coincidence are common, and some to the microsecond.
moments = st.one_of(
    st.integers(0, 25).map(lambda count: START + timedelta(minutes=count)),
    st.integers(0, 8).map(lambda count: START + timedelta(microseconds=count)),
)
scenes = st.dictionaries(st.integers(0, 99).map(lambda number: f"goes16__{number:012}"), moments, max_size=8)
aux_times = st.one_of(st.lists(moments, max_size=3), st.lists(moments, min_size=4, max_size=15))
spacings = st.one_of(
    st.integers(1, 40).map(lambda count: timedelta(minutes=count)),
    st.integers(1, 9).map(lambda count: timedelta(microseconds=count)),
)
strategies = st.sampled_from(STRATEGIES)


@st.composite
def spans(draw: st.DrawFn) -> list[Interval]:
    """Intervals apart from each other, in any order, over the times and beyond."""
    ends = sorted(draw(st.lists(st.integers(-3, 28), min_size=2, max_size=8, unique=True)))
    pairs = zip(ends[::2], ends[1::2], strict=False)
    at = [Interval(START + timedelta(minutes=first), START + timedelta(minutes=last)) for first, last in pairs]
    return draw(st.permutations(at))


def full_search(
    scene_times: dict[str, datetime],
    times: list[datetime],
    strategy: Strategy,
    dt_aux: timedelta,
    kept: dict[str, Match],
) -> dict[str, datetime]:
    """The aux time of each matched scene."""
    found = {
        scene_id: row.aux_time
        for scene_id, row in kept.items()
        if scene_id in scene_times and row.aux_time is not None and row.aux_time in times
    }
    if strategy == "all_scenes_within_dt_aux":
        for scene_id, scene_time in scene_times.items():
            within = [time for time in times if 2 * abs(time - scene_time) <= dt_aux]
            if within and scene_id not in found:
                found[scene_id] = min(within, key=lambda time: (abs(time - scene_time), time))
        return found
    before, used = dict(found), set(found.values())
    for time in sorted(set(times)):
        _, _, scene_id = min((abs(time - scene_times[name]), scene_times[name], name) for name in scene_times)
        distance = abs(time - scene_times[scene_id])
        if time in used or scene_id in before or 2 * distance > dt_aux:
            continue
        if scene_id not in found or distance < abs(found[scene_id] - scene_times[scene_id]):
            found[scene_id] = time
    return found


def check_rows(rows: tuple[Match, ...], scene_times: dict[str, datetime], times: list[datetime]) -> None:
    assert [row.scene_id for row in rows] == sorted(scene_times, key=lambda name: (scene_times[name], name))
    for row in rows:
        scene_time = scene_times[row.scene_id]
        if row.aux_time is not None:
            assert row.aux_time in times
            assert row.nearest_offset == row.aux_time - scene_time
            assert row.reason is None
        elif times:
            nearest = min(sorted(times), key=lambda time: abs(time - scene_time))
            assert row.nearest_offset == nearest - scene_time
            assert str(nearest) in row.reason
        else:
            assert row.nearest_offset is None
            assert row.reason is not None


@settings(deadline=None)  # other work on the machine must not fail a test
@given(scenes, aux_times, strategies, spacings)
def test_the_table_is_that_of_a_full_search(
    scene_times: dict[str, datetime], times: list[datetime], strategy: Strategy, dt_aux: timedelta
) -> None:
    rows = match_scenes(scene_times, times, strategy, dt_aux, None)
    check_rows(rows, scene_times, times)
    found = full_search(scene_times, times, strategy, dt_aux, {}) if scene_times else {}
    assert {row.scene_id: row.aux_time for row in rows if row.aux_time is not None} == found


@settings(deadline=None)  # other work on the machine must not fail a test
@given(scenes, aux_times, strategies, spacings)
def test_the_reason_is_true(
    scene_times: dict[str, datetime], times: list[datetime], strategy: Strategy, dt_aux: timedelta
) -> None:
    rows = {row.scene_id: row for row in match_scenes(scene_times, times, strategy, dt_aux, None)}
    for row in rows.values():
        if row.reason is None or row.nearest_offset is None:
            continue
        nearest = scene_times[row.scene_id] + row.nearest_offset
        if 2 * abs(row.nearest_offset) > dt_aux:
            event("beyond the limit")
            assert row.reason.endswith(f"is beyond the limit of {dt_aux / 2}")
            continue
        assert strategy == "single_scene_per_aux_time"
        holders = [other.scene_id for other in rows.values() if other.aux_time == nearest]
        if holders:
            event("taken")
            assert row.reason.endswith(f"is taken by {holders[0]}")
        else:
            event("unused")
            _, _, owner = min((abs(nearest - time), time, name) for name, time in scene_times.items())
            assert row.reason.endswith(f"falls to {owner}, which takes {rows[owner].aux_time}")


@settings(deadline=None)  # other work on the machine must not fail a test
@given(scenes, aux_times, spacings)
def test_no_aux_time_has_two_scenes(scene_times: dict[str, datetime], times: list[datetime], dt_aux: timedelta) -> None:
    rows = match_scenes(scene_times, times, "single_scene_per_aux_time", dt_aux, None)
    used = [row.aux_time for row in rows if row.aux_time is not None]
    assert len(set(used)) == len(used)


@settings(deadline=None)  # other work on the machine must not fail a test
@given(scenes, aux_times, strategies, spacings, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(
    scene_times: dict[str, datetime], times: list[datetime], strategy: Strategy, dt_aux: timedelta, random
) -> None:
    shuffled = random.sample(list(scene_times.items()), len(scene_times))
    again = random.sample(times * 2, len(times) * 2)
    assert match_scenes(dict(shuffled), again, strategy, dt_aux, None) == match_scenes(
        scene_times, times, strategy, dt_aux, None
    )


@settings(deadline=None)  # other work on the machine must not fail a test
@given(st.lists(st.tuples(scenes, aux_times), min_size=2, max_size=4), strategies, spacings)
def test_what_comes_later_never_changes_a_matched_row(
    arrivals: list[tuple[dict[str, datetime], list[datetime]]], strategy: Strategy, dt_aux: timedelta
) -> None:
    scene_times: dict[str, datetime] = {}
    times: list[datetime] = []
    table: dict[str, Match] = {}
    for more_scenes, more_times in arrivals:
        scene_times = more_scenes | scene_times
        times = times + more_times
        rows = match_scenes(scene_times, times, strategy, dt_aux, None, table)
        check_rows(rows, scene_times, times)
        found = full_search(scene_times, times, strategy, dt_aux, table) if scene_times else {}
        later = {row.scene_id: row for row in rows}
        assert {name: row.aux_time for name, row in later.items() if row.aux_time is not None} == found
        for scene_id, row in table.items():
            if row.aux_time is not None:
                assert later[scene_id] == row
        assert match_scenes(scene_times, times, strategy, dt_aux, None, later) == rows
        table = later


@settings(deadline=None)  # other work on the machine must not fail a test
@given(aux_times, st.one_of(st.none(), spans()))
def test_the_time_between_aux_is_that_of_a_full_search(times: list[datetime], intervals: list[Interval] | None) -> None:
    together = intervals or [Interval(START, START + timedelta(days=1))]
    pairs = combinations(sorted(set(times)), 2)
    gaps = [later - earlier for earlier, later in pairs if any(earlier in span and later in span for span in together)]
    if gaps:
        assert time_between_aux(times, intervals) == min(gaps)
    else:
        with pytest.raises(PlanError, match="dt_aux"):
            time_between_aux(times, intervals)


@settings(deadline=None)  # other work on the machine must not fail a test
@given(scenes, aux_times.filter(lambda times: len(set(times)) > 1), strategies)
def test_an_inferred_dt_aux_gives_the_table_of_the_same_one_given(
    scene_times: dict[str, datetime], times: list[datetime], strategy: Strategy
) -> None:
    inferred = match_scenes(scene_times, times, strategy, None, None)
    given_ = match_scenes(scene_times, times, strategy, time_between_aux(times, None), None)
    assert [(row.scene_id, row.aux_time, row.reason) for row in inferred] == [
        (row.scene_id, row.aux_time, row.reason) for row in given_
    ]
    assert all(" inferred, " in row.rule for row in inferred)
