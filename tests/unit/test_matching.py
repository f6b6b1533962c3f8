"""Which scene goes with which aux time: every tie, edge and reason, and what came later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import pytest

from convml_data.errors import PlanError
from convml_data.scenes.ids import scene_id_of
from convml_data.scenes.matching import Match, Strategy, match_scenes, time_between_aux
from convml_data.sources.base import Interval

ALL: Strategy = "all_scenes_within_dt_aux"
SINGLE: Strategy = "single_scene_per_aux_time"


def at(clock: str) -> datetime:
    """``HH:MM`` or ``HH:MM:SS`` on a day of February 2020, the 2nd where none is written before it (``16 HH:MM``)."""
    day, _, time = clock.rpartition(" ")
    return datetime.fromisoformat(f"2020-02-{day or '02'}T{time}")


def times(clocks: str) -> list[datetime]:
    return [at(clock.strip()) for clock in clocks.split(",") if clock.strip()]


def scene(clock: str, source: str = "goes16") -> str:
    return scene_id_of(source, at(clock))


def scenes(clocks: str) -> dict[str, datetime]:
    return {scene_id_of("goes16", time): time for time in times(clocks)}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def between(*spans: tuple[str, str]) -> list[Interval]:
    return [Interval(at(start), at(end)) for start, end in spans]


def taken(rows: Iterable[Match]) -> dict[str, datetime]:
    return {row.scene_id: row.aux_time for row in rows if row.aux_time is not None}


def expected(pairs: Mapping[str, str]) -> dict[str, datetime]:
    return {scene(clock): at(aux_clock) for clock, aux_clock in pairs.items()}


@pytest.mark.parametrize(
    ("strategy", "scene_clocks", "aux_clocks", "dt_aux", "pairs"),
    [
        pytest.param(ALL, "12:07", "12:00, 12:15", 30, {"12:07": "12:00"}, id="all: nearest"),
        pytest.param(ALL, "12:00", "12:15", 30, {"12:00": "12:15"}, id="at the limit, aux later"),
        pytest.param(ALL, "12:30", "12:15", 30, {"12:30": "12:15"}, id="at the limit, aux earlier"),
        pytest.param(ALL, "12:00", "12:15:01", 30, {}, id="all: one second beyond the limit"),
        pytest.param(ALL, "12:10", "12:00, 12:20", 30, {"12:10": "12:00"}, id="equally near: the earlier"),
        pytest.param(
            ALL, "12:00, 12:10, 12:20", "12:10", 20, dict.fromkeys(("12:00", "12:10", "12:20"), "12:10"), id="shared"
        ),
        pytest.param(ALL, "12:00", "12:00", 1, {"12:00": "12:00"}, id="same time"),
        pytest.param(ALL, "12:00", "11:00, 13:00", 30, {}, id="none near"),
        pytest.param(ALL, "", "12:00", 30, {}, id="all: no scene"),
        pytest.param(SINGLE, "12:00, 12:10, 12:20", "12:11", 30, {"12:10": "12:11"}, id="single: nearest"),
        pytest.param(SINGLE, "12:00, 12:10", "12:05", 30, {"12:00": "12:05"}, id="equally near scenes: the earlier"),
        pytest.param(SINGLE, "12:00", "12:15", 30, {"12:00": "12:15"}, id="at the limit"),
        pytest.param(SINGLE, "12:00", "12:15:01", 30, {}, id="single: one second beyond the limit"),
        # The older software let the last one win.
        pytest.param(
            SINGLE, "12:00", "11:58, 12:01, 12:05", 30, {"12:00": "12:01"}, id="several go to one scene: the nearest"
        ),
        pytest.param(SINGLE, "12:00", "11:59, 12:01", 30, {"12:00": "11:59"}, id="several equally near: the earlier"),
        pytest.param(
            SINGLE, "12:00, 12:30", "12:01, 12:02", 60, {"12:00": "12:01"}, id="an unused one goes to no other scene"
        ),
        pytest.param(
            SINGLE, "12:00, 12:10", "11:53, 12:06", 30, {"12:00": "11:53", "12:10": "12:06"}, id="not its nearest"
        ),
        pytest.param(SINGLE, "", "12:00", 30, {}, id="single: no scene"),
    ],
)
def test_every_scene_or_every_aux_time_goes_to_its_nearest(
    strategy: Strategy, scene_clocks: str, aux_clocks: str, dt_aux: float, pairs: dict[str, str]
) -> None:
    rows = match_scenes(scenes(scene_clocks), times(aux_clocks), strategy, minutes(dt_aux), None)
    assert [row.scene_id for row in rows] == list(scenes(scene_clocks))
    assert taken(rows) == expected(pairs)


def test_of_many_equally_near_aux_times_every_scene_takes_the_earlier() -> None:
    hours = {scene(f"{day:02} {hour:02}:00"): at(f"{day:02} {hour:02}:00") for day in (1, 2, 3) for hour in range(24)}
    earlier = {scene_id: time - minutes(1 + number % 7) for number, (scene_id, time) in enumerate(hours.items())}
    later = [hours[scene_id] + (hours[scene_id] - time) for scene_id, time in earlier.items()]
    rows = match_scenes(hours, [*later, *earlier.values()], SINGLE, minutes(30), None)
    assert taken(rows) == earlier


def test_of_scenes_at_the_same_time_the_first_by_id_takes_the_aux_time() -> None:
    both = {scene("12:00", "goes17"): at("12:00"), scene("12:00", "goes16"): at("12:00")}
    for aux_clock in ("11:59", "12:00", "12:01"):
        rows = match_scenes(both, times(aux_clock), SINGLE, minutes(30), None)
        assert [row.scene_id for row in rows] == [scene("12:00", "goes16"), scene("12:00", "goes17")]
        assert taken(rows) == {scene("12:00", "goes16"): at(aux_clock)}


def test_hourly_aux_times_give_one_scene_in_six_or_all() -> None:
    every_ten = scenes(", ".join(f"{hour}:{minute:02}" for hour in (12, 13) for minute in range(0, 60, 10)))
    hourly = times("12:00, 13:00")
    assert taken(match_scenes(every_ten, hourly, SINGLE, None, None)) == expected({"12:00": "12:00", "13:00": "13:00"})
    shared = taken(match_scenes(every_ten, hourly, ALL, None, None))
    # 12:30 is equally near to both, and 13:40 and 13:50 are beyond half an hour.
    first = dict.fromkeys(("12:00", "12:10", "12:20", "12:30"), "12:00")
    second = dict.fromkeys(("12:40", "12:50", "13:00", "13:10", "13:20", "13:30"), "13:00")
    assert shared == expected(first | second)


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_a_matched_row_says_how_far_and_by_which_rule(strategy: Strategy) -> None:
    (early, late) = match_scenes(scenes("12:00:17, 13:00"), times("11:58:30, 12:58:30"), strategy, None, None)
    assert early.nearest_offset == -timedelta(minutes=1, seconds=47)
    assert late.nearest_offset == -timedelta(minutes=1, seconds=30)
    assert (early.reason, late.reason) == (None, None)
    assert early.rule == late.rule == f"{strategy}, dt_aux 1:00:00 inferred, limit 0:30:00"
    (row,) = match_scenes(scenes("12:00"), times("12:07"), strategy, minutes(15), None)
    assert row.rule == f"{strategy}, dt_aux 0:15:00 given, limit 0:07:30"
    assert row.nearest_offset == minutes(7)


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_a_scene_without_an_aux_time_near_says_how_far_and_the_limit(strategy: Strategy) -> None:
    before, after = match_scenes(scenes("11:00, 12:40"), times("11:20, 12:20:30"), strategy, minutes(30), None)
    assert (before.aux_time, before.nearest_offset) == (None, minutes(20))
    assert before.reason == "the nearest aux time, 2020-02-02 11:20:00 (+0:20:00), is beyond the limit of 0:15:00"
    assert (after.aux_time, after.nearest_offset) == (None, -minutes(19.5))
    assert after.reason == "the nearest aux time, 2020-02-02 12:20:30 (-0:19:30), is beyond the limit of 0:15:00"


def test_a_scene_passed_over_names_the_scene_that_took_the_aux_time() -> None:
    _, passed_over = match_scenes(scenes("12:00, 12:10"), times("12:03"), SINGLE, minutes(30), None)
    assert (passed_over.aux_time, passed_over.nearest_offset) == (None, -minutes(7))
    assert passed_over.reason == f"the nearest aux time, 2020-02-02 12:03:00 (-0:07:00), is taken by {scene('12:00')}"


def test_a_scene_passed_over_at_the_limit_is_not_beyond_it() -> None:
    _, passed_over = match_scenes(scenes("12:00, 12:16"), times("12:01"), SINGLE, minutes(30), None)
    assert passed_over.nearest_offset == -minutes(15)
    assert passed_over.reason == f"the nearest aux time, 2020-02-02 12:01:00 (-0:15:00), is taken by {scene('12:00')}"


def test_a_scene_passed_over_for_an_unused_aux_time_names_the_scene_it_falls_to() -> None:
    _, passed_over = match_scenes(scenes("12:00, 12:10"), times("12:01, 12:04"), SINGLE, minutes(30), None)
    assert passed_over.nearest_offset == -minutes(6)
    assert passed_over.reason == (
        f"the nearest aux time, 2020-02-02 12:04:00 (-0:06:00), falls to {scene('12:00')}, "
        "which takes 2020-02-02 12:01:00"
    )


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_without_any_aux_time_no_scene_is_matched(strategy: Strategy) -> None:
    (row,) = match_scenes(scenes("12:00"), [], strategy, minutes(30), None)
    rule = f"{strategy}, dt_aux 0:30:00 given, limit 0:15:00"
    assert row == Match(scene("12:00"), None, None, "there is no aux time at all", rule)


@pytest.mark.parametrize(
    ("aux_clocks", "intervals", "spacing"),
    [
        pytest.param("12:00, 12:30, 13:30", None, 30, id="smallest"),
        pytest.param("13:30, 12:00, 12:30", None, 30, id="unsorted"),
        pytest.param("12:00, 12:00, 12:30, 12:30", None, 30, id="given twice"),
        pytest.param("12:00, 12:00:30", None, 0.5, id="seconds"),
        pytest.param("02 12:00, 16 12:00", None, 14 * 24 * 60, id="one interval however long"),
        pytest.param(
            "12:00, 13:00, 13:10, 14:10", [("12:00", "13:05"), ("13:06", "14:10")], 60, id="not across intervals"
        ),
        pytest.param(
            "02 12:00, 16 12:00, 16 13:00", [("16 12:00", "16 13:00"), ("02 12:00", "02 13:00")], 60, id="any order"
        ),
        pytest.param(
            "12:00, 13:00, 14:00, 15:00, 15:45",
            [("15:00", "16:00"), ("12:00", "12:00"), ("13:30", "14:30")],
            45,
            id="three in any order",
        ),
        pytest.param(
            "11:55, 12:00, 12:30, 12:35", [("12:00", "12:30"), ("18:00", "19:00")], 30, id="none beyond the ends"
        ),
        pytest.param(
            "12:00, 13:00, 13:15, 13:20", [("12:00", "13:00"), ("14:00", "15:00")], 60, id="none between intervals"
        ),
    ],
)
def test_the_time_between_aux_scenes_is_the_smallest_gap_in_an_interval(
    aux_clocks: str, intervals: list[tuple[str, str]] | None, spacing: float
) -> None:
    spans = None if intervals is None else between(*intervals)
    assert time_between_aux(times(aux_clocks), spans) == minutes(spacing)


@pytest.mark.parametrize(
    ("aux_clocks", "intervals", "count"),
    [
        ("", None, 0),
        ("12:00", None, 1),
        ("12:00, 12:00", None, 1),
        ("02 12:00, 16 12:00", [("02 12:00", "02 13:00"), ("16 12:00", "16 13:00")], 2),
        ("11:50, 12:00, 12:31", [("12:00", "12:30")], 3),
    ],
)
def test_one_aux_time_in_an_interval_needs_dt_aux(
    aux_clocks: str, intervals: list[tuple[str, str]] | None, count: int
) -> None:
    spans = None if intervals is None else between(*intervals)
    for strategy in (ALL, SINGLE):
        with pytest.raises(PlanError) as raised:
            match_scenes(scenes("12:00"), times(aux_clocks), strategy, None, spans)
        assert str(raised.value) == (
            "dt_aux: the time between aux scenes cannot be inferred: "
            f"no time interval holds two of them ({count} in all). Give it, for example `dt_aux: PT30M`."
        )


# Cases on which the older software fails.


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_a_given_dt_aux_is_used_and_not_what_the_times_suggest(strategy: Strategy) -> None:
    hourly = times("12:00, 13:00, 14:00")
    narrow = match_scenes(scenes("12:10, 13:11"), hourly, strategy, minutes(20), None)
    assert taken(narrow) == expected({"12:10": "12:00"})
    wide = match_scenes(scenes("15:30"), hourly, strategy, minutes(180), None)
    assert taken(wide) == expected({"15:30": "14:00"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_one_aux_time_alone_is_matched_by_a_given_dt_aux(strategy: Strategy) -> None:
    rows = match_scenes(scenes("11:40, 12:10, 12:20"), times("12:11"), strategy, minutes(10), None)
    assert taken(rows) == expected({"12:10": "12:11"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_aux_times_and_scenes_in_any_order_give_the_same_table(strategy: Strategy) -> None:
    clocks, aux_clocks = "12:00, 12:10, 12:20, 12:30, 12:40", "12:01, 12:29, 12:45"
    ordered = match_scenes(scenes(clocks), times(aux_clocks), strategy, None, None)
    shuffled = match_scenes(
        scenes("12:30, 12:00, 12:40, 12:20, 12:10"), times("12:45, 12:01, 12:29, 12:01"), strategy, None, None
    )
    assert shuffled == ordered
    assert taken(ordered) == expected({"12:00": "12:01", "12:30": "12:29", "12:40": "12:45"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_sparse_aux_times_do_not_match_scenes_days_away(strategy: Strategy) -> None:
    intervals = between(("02 12:00", "02 14:00"), ("16 12:00", "16 14:00"))
    far_and_near = scenes("02 12:10, 10 12:00, 16 13:00")
    two_each = times("02 12:00, 02 13:00, 16 12:00, 16 13:00")
    rows = match_scenes(far_and_near, two_each, strategy, None, intervals)
    assert taken(rows) == expected({"02 12:10": "02 12:00", "16 13:00": "16 13:00"})
    assert rows[1].nearest_offset == timedelta(days=6)

    one_each = times("02 12:00, 16 13:00")
    rows = match_scenes(far_and_near, one_each, strategy, minutes(60), intervals)
    assert taken(rows) == expected({"02 12:10": "02 12:00", "16 13:00": "16 13:00"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_all_intervals_count_and_not_the_last_alone(strategy: Strategy) -> None:
    intervals = between(("02 12:00", "02 14:00"), ("16 12:00", "16 14:00"))
    aux_times = times("02 12:00, 02 12:30, 16 12:00, 16 13:00")
    rows = match_scenes(scenes("02 12:10, 16 13:10, 16 13:20"), aux_times, strategy, None, intervals)
    assert taken(rows) == expected({"02 12:10": "02 12:00", "16 13:10": "16 13:00"})
    assert "dt_aux 0:30:00 inferred" in rows[0].rule


@pytest.mark.parametrize("source", ["goes18", "eurec4a_les", "ceres_geo"])
def test_scenes_of_any_source_are_matched(source: str) -> None:
    rows = match_scenes({scene("12:10", source): at("12:10")}, times("12:15"), SINGLE, minutes(30), None)
    assert taken(rows) == {scene("12:10", source): at("12:15")}


def test_half_hourly_times_after_the_half_hour_and_next_to_the_interval() -> None:
    # Listed from before the interval's start to after its end, as minutes 15 and 45.
    aux_times = times("11:45, 12:15, 12:45, 13:15")
    rows = match_scenes(scenes("12:00, 12:40, 13:00"), aux_times, ALL, None, between(("12:00", "13:00")))
    assert taken(rows) == expected({"12:00": "11:45", "12:40": "12:45", "13:00": "12:45"})


# Tables that are extended.


def kept(rows: Iterable[Match]) -> dict[str, Match]:
    return {row.scene_id: row for row in rows}


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_matched_rows_stay_when_nearer_scenes_and_aux_times_come(strategy: Strategy) -> None:
    first = match_scenes(scenes("12:00"), times("12:04"), strategy, minutes(30), None)
    later = match_scenes(scenes("12:00, 12:05"), times("12:01, 12:04"), strategy, minutes(30), None, kept(first))
    assert later[0] is first[0]
    assert later[0].aux_time == at("12:04")
    if strategy == ALL:
        assert later[1].aux_time == at("12:04")
    else:
        assert later[1].aux_time is None
        assert later[1].reason == f"the nearest aux time, 2020-02-02 12:04:00 (-0:01:00), is taken by {scene('12:00')}"


def test_matched_rows_keep_the_rule_they_were_made_by() -> None:
    first = match_scenes(scenes("12:00"), times("12:25, 13:25"), ALL, None, None)
    later = match_scenes(scenes("12:00, 12:30"), times("12:25, 12:45, 13:25"), ALL, None, None, kept(first))
    assert [row.rule for row in later] == [
        f"{ALL}, dt_aux 1:00:00 inferred, limit 0:30:00",
        f"{ALL}, dt_aux 0:20:00 inferred, limit 0:10:00",
    ]
    assert taken(later) == expected({"12:00": "12:25", "12:30": "12:25"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_unmatched_rows_are_decided_anew(strategy: Strategy) -> None:
    first = match_scenes(scenes("12:00, 14:00"), times("12:04"), strategy, minutes(30), None)
    assert taken(first) == expected({"12:00": "12:04"})
    later = match_scenes(scenes("12:00, 14:00"), times("12:04, 14:05"), strategy, minutes(30), None, kept(first))
    assert taken(later) == expected({"12:00": "12:04", "14:00": "14:05"})


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_a_row_whose_aux_time_is_gone_is_decided_anew(strategy: Strategy) -> None:
    first = match_scenes(scenes("12:00"), times("12:04"), strategy, minutes(30), None)
    (other,) = match_scenes(scenes("12:00"), times("12:10"), strategy, minutes(30), None, kept(first))
    assert (other.aux_time, other.nearest_offset, other.reason) == (at("12:10"), minutes(10), None)
    (none,) = match_scenes(scenes("12:00"), [], strategy, minutes(30), None, kept(first))
    assert (none.aux_time, none.nearest_offset) == (None, None)


def test_a_row_whose_scene_is_gone_frees_its_aux_time() -> None:
    first = match_scenes(scenes("12:00, 12:10"), times("12:04"), SINGLE, minutes(30), None)
    assert taken(first) == expected({"12:00": "12:04"})
    later = match_scenes(scenes("12:10"), times("12:04"), SINGLE, minutes(30), None, kept(first))
    assert [row.scene_id for row in later] == [scene("12:10")]
    assert taken(later) == expected({"12:10": "12:04"})


def test_a_row_whose_scene_starts_at_another_time_is_decided_anew() -> None:
    first = match_scenes({scene("12:00"): at("12:00:10")}, times("12:04"), SINGLE, minutes(30), None)
    (later,) = match_scenes({scene("12:00"): at("12:00:20")}, times("12:04"), SINGLE, minutes(30), None, kept(first))
    assert later.nearest_offset == timedelta(minutes=3, seconds=40)


@pytest.mark.parametrize("strategy", [ALL, SINGLE])
def test_a_year_of_scenes_against_as_many_aux_times_is_no_full_search(strategy: Strategy) -> None:
    # Every scene against every aux time would take hours.
    start = at("00:00")
    year = {scene_id_of("goes16", time): time for time in (start + minutes(10) * number for number in range(50_000))}
    aux_times = [start + timedelta(seconds=100) * number for number in reversed(range(300_000))]
    rows = match_scenes(year, aux_times, strategy, None, None)
    assert all(row.aux_time == year[row.scene_id] for row in rows)
    assert len(rows) == len(year)
