"""Ranges of scenes, and how scenes are shared out to runs."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convml_data.errors import PlanError
from convml_data.scenes.ids import scene_id_of
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan
from convml_data.scenes.selection import runs_of, scenes_between

FIRST = datetime(2020, 2, 2, 14, 0, 20)
IDS = [scene_id_of("goes16", FIRST + timedelta(minutes=10 * number)) for number in range(6)]


def ledger(scenes: int = 6, dropped: str | None = None) -> Ledger:
    rows = []
    for number in range(scenes):
        start = FIRST + timedelta(minutes=10 * number)
        reason = "no channel 3" if IDS[number] == dropped else None
        rows.append(LedgerRow(IDS[number], Scan(start, start + timedelta(minutes=9), "goes16", 6, {}, reason)))
    return Ledger("goes16", "truecolor_rgb", "archive", "f", tuple(rows))


def between(first: str | None, last: str | None) -> list[int]:
    return [IDS.index(scene_id) for scene_id in scenes_between(ledger(), first, last, "scene_ids.json")]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4, 5]),
        (IDS[1], IDS[3], [1, 2, 3]),
        (IDS[4], None, [4, 5]),
        ("2020-02-02T14:10", "2020-02-02T14:20", [1, 2]),
        ("2020-02-02T14:10:20", "2020-02-02 14:29", [2]),
        ("2020-02-02T15:10+01:00", IDS[1], [1]),
        ("2020-02-02", "2020-02-03", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_range_has_both_its_ends(first: str | None, last: str | None, expected: list[int]) -> None:
    assert between(first, last) == expected


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("goes16__202002021411", None, ["there is no scene goes16__202002021411", f"{IDS[1]} and {IDS[2]}"]),
        (None, "goes16__202002021300", ["there is no scene", f"The nearest are {IDS[0]};"]),
        ("yesterday", None, ["'yesterday' is neither", "2020-02-02T14:00", IDS[0]]),
        (IDS[3], IDS[1], ["no scene is in the range", IDS[3], IDS[1], "6 scenes"]),
        ("2021-01-01", None, ["no scene is in the range from 2021-01-01 to the last", IDS[5]]),
    ],
)
def test_what_is_no_range_is_named_with_a_remedy(first: str | None, last: str | None, words: list[str]) -> None:
    with pytest.raises(PlanError) as raised:
        between(first, last)
    for word in ("scene_ids.json", *words):
        assert word in str(raised.value)


def test_a_scan_that_is_no_scene_is_named_with_its_reason() -> None:
    with pytest.raises(PlanError, match="no channel 3"):
        scenes_between(ledger(dropped=IDS[2]), IDS[2], None, "scene_ids.json")
    assert scenes_between(ledger(dropped=IDS[2]), IDS[1], IDS[3], "scene_ids.json") == (IDS[1], IDS[3])


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7))
def test_runs_hold_each_chosen_scene_once_and_no_other_between(chosen: list[bool], size: int) -> None:
    scene_ids = [f"{number:03d}" for number in range(len(chosen))]
    wanted = {scene_id for scene_id, is_wanted in zip(scene_ids, chosen, strict=True) if is_wanted}
    runs = runs_of(scene_ids, wanted, size)
    assert [scene_id for run in runs for scene_id in run] == sorted(wanted)
    for run in runs:
        assert 1 <= len(run) <= size
        start = scene_ids.index(run[0])
        assert scene_ids[start : start + len(run)] == run


def test_no_more_runs_than_needed() -> None:
    assert [len(run) for run in runs_of(IDS, IDS, 4)] == [4, 2]
    assert runs_of(IDS, {IDS[0], IDS[1], IDS[3]}, 4) == [[IDS[0], IDS[1]], [IDS[3]]]
