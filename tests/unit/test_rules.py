"""The rules on finished data: what each finds, and what it leaves alone."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

from convml_data.errors import ArchiveUnreachableError
from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.completeness import completeness
from convml_data.pipeline.contents import values_digest
from convml_data.rules import Asked, Content, Form, Rule, Rules, TileState, rules_of
from convml_data.scenes.ids import scene_id_of
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan
from convml_data.scenes.matching import limit_of, match_scenes
from convml_data.sources.base import Interval
from convml_data.sources.outages import archive_error

NOON = datetime(2020, 2, 2, 12)
GRID = {"central_latitude": 13.0, "central_longitude": -57.0, "resolution": 1000.0}
FORM = Form(("bands", "y", "x"), (4, 6), 3, ("%",), True, GRID, (13.0, -57.0))
ASKED = Asked(3, ("%",), (4, 6), GRID, (13.0, -57.0))
GOOD = Content("goes16__202002021200", NOON, form=FORM, asked=ASKED)

META: dict[str, Any] = {
    "source": "goes16",
    "product": "truecolor_rgb",
    "time": {"t_start": NOON, "t_end": NOON + timedelta(hours=2)},
    "domain": {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 120e3, "l_meridional": 120e3},
    "sampling": {"resolution": 2000.0, "triplets": {"N_triplets": {"train": 8, "study": 2}, "tile_N": 16}},
    "quality": {"min_valid_share": 0.5},
    "aux_products": {"heights": {"source": "goes16", "product": "ACHA"}},
}


def rules(folder: Path, aux: str | None = None, **sections: Any) -> Rules:
    folder.mkdir(exist_ok=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(META | sections))
    dataset = load_dataset(folder)
    return rules_of(dataset if aux is None else dataset.aux(aux))


def named(found: Rules, name: str) -> Rule[Any]:
    (rule,) = [rule for rule in found.all if rule.name == name]
    return rule


def test_which_rules_apply(tmp_path: Path) -> None:
    own, of_aux = rules(tmp_path / "a"), rules(tmp_path / "a", "heights")
    everywhere = {"file_opens", "as_specified", "not_frozen", "no_tile_twice", "tiles_complete"}
    assert {rule.name for rule in own.all} == everywhere | {"enough_values", "collections_apart"}
    assert {rule.name for rule in of_aux.all} == everywhere | {"offset_within_limit", "same_units"}
    plain = rules(tmp_path / "b", quality={}, sampling={"resolution": 2000.0})
    assert {rule.name for rule in plain.all} == {"file_opens", "as_specified", "not_frozen"}
    triplets = META["sampling"]["triplets"] | {"scene_collections_splitting": "by_time_block", "guard": "PT2H"}
    blocks = rules(tmp_path / "c", sampling={"resolution": 2000.0, "triplets": triplets})
    guard = named(blocks, "guard_held")
    assert guard.blocking
    assert "2 h apart" in guard.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": ("K",)}, "units are 'K', not '%'"),
        ({"dims": ("y", "x", "bands")}, "dims are (y, x, bands), not (bands, y, x)"),
        ({"shape": (6, 4)}, "y and x are (6, 4) long, not (4, 6)"),
        ({"bands": None, "dims": ("y", "x")}, "there are no bands, not 3 bands"),
        ({"grid": GRID | {"resolution": 500.0}}, "the grid is"),
        ({"y_ascending": False}, "y does not ascend"),
        ({"centre": (0.0, -57.0)}, "the projection's origin is"),
        ({"centre": None}, "the projection's origin is"),
    ],
)
def test_a_form_that_is_not_the_one_asked_for(change: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "as_specified").judge
    assert judge(GOOD) == {}
    broken = judge(replace(GOOD, form=replace(FORM, **change)))
    assert list(broken) == [GOOD.name]
    assert broken[GOOD.name].startswith(said)


def test_digits_that_a_projection_loses_break_nothing(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "as_specified").judge
    assert judge(replace(GOOD, form=replace(FORM, centre=(13.000000000000002, -57.0)))) == {}


def scenes(*digests: str, same_image: bool = False) -> list[Content]:
    times = [NOON + (0 if same_image else number) * timedelta(minutes=10) for number in range(len(digests))]
    return [
        Content(f"scene{number}", time, digest=digest)
        for number, (time, digest) in enumerate(zip(times, digests, strict=True))
    ]


def test_frozen_frames(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "not_frozen").judge
    assert judge(scenes("a", "b", "a")) == {}
    assert judge(scenes("a", "b", "b", "b")) == {
        "scene2": "the same values as scene1",
        "scene3": "the same values as scene2",
    }
    assert judge(scenes("", "", "")) == {}, "fields without structure tell nothing"
    assert judge(scenes("a", "a", same_image=True)) == {}, "one image that several scenes share is no frozen one"


def test_what_may_be_still_without_being_broken_does_not_stop(tmp_path: Path) -> None:
    assert named(rules(tmp_path / "a"), "not_frozen").consequence == "stops"
    codes = rules(tmp_path / "b", product="ACM", aux_products={})
    assert named(codes, "not_frozen").consequence == "fails"


def test_tiles_that_are_the_same(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "no_tile_twice").judge
    of_aux = named(rules(tmp_path / "a", "heights"), "no_tile_twice").judge
    one, other = (Content(f"train/0000{n}_anchor", NOON, (0.0, 0.0), digest="d") for n in (0, 1))
    assert judge([one, replace(other, digest="e")]) == {}
    assert judge([one, other]) == {other.name: f"the same values as {one.name}"}
    assert of_aux([one, other]) == {}, "one image at one place, for two scenes"
    assert of_aux([one, replace(other, place=(1.0, 0.0))]) != {}


def test_incomplete_triplets(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "tiles_complete").judge

    def triplet(*states: Any) -> list[TileState]:
        return [TileState(f"train/{n}", state, "train/0") for n, state in enumerate(states)]

    assert judge(triplet("shown", "shown", "shown")) == {}
    assert judge(triplet("waiting", "waiting", "to_come")) == {}
    assert judge(triplet("waiting", "missing", "waiting")) == {"train/1": "is not there"}
    assert set(judge(triplet("shown", "shown", "waiting"))) == {"train/2"}


@pytest.mark.parametrize("offset", [-901.0, 900.5])
def test_offsets_beyond_the_limit(offset: float, tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a", "heights"), "offset_within_limit").judge
    assert judge(replace(GOOD, offset_s=900.0, limit_s=900.0)) == {}
    assert set(judge(replace(GOOD, offset_s=offset, limit_s=900.0))) == {GOOD.name}


@given(st.timedeltas(min_value=timedelta(microseconds=2), max_value=timedelta(days=400)))
def test_a_noted_limit_is_read_back(dt_aux: timedelta) -> None:
    (match,) = match_scenes({"a": NOON}, [NOON], "single_scene_per_aux_time", dt_aux, None)
    assert abs(limit_of(match.rule) - dt_aux / 2) <= timedelta(microseconds=1)


def test_too_few_values(tmp_path: Path) -> None:
    rule = named(rules(tmp_path / "a"), "enough_values")
    assert rule.consequence == "drops"
    assert rule.judge(replace(GOOD, valid_share=0.5)) == {}
    assert "0.499" in rule.judge(replace(GOOD, valid_share=0.499))[GOOD.name]


def test_scenes_of_two_collections_that_are_too_near(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a"), "collections_apart").judge

    def at(*minutes: int) -> list[str]:
        return [scene_id_of("goes16", NOON + timedelta(minutes=minute)) for minute in minutes]

    assert judge({"train": at(0, 10), "study": at(70, 80)}) == {}
    broken = judge({"train": at(0, 10), "study": at(69, 200)})
    assert broken == {at(69)[0]: f"59 min after {at(10)[0]}; one is of study, the other of train"}


def test_other_units_than_the_first(tmp_path: Path) -> None:
    judge = named(rules(tmp_path / "a", "heights"), "same_units").judge
    metres, feet = (replace(GOOD, name=unit, form=replace(FORM, units=(unit,))) for unit in ("m", "ft"))
    assert judge([metres, metres]) == {}
    assert judge([metres, feet]) == {"ft": "units are 'ft', and 'm' in m"}


def test_digests() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)

    def digest(values: Any) -> str:
        return values_digest(xr.DataArray(values, dims=("y", "x"), name="field").to_dataset())

    assert digest(values) == digest(values.copy(order="F")) != digest(values + 1)
    assert digest(np.where(values > 3, values, np.nan))
    assert digest(np.full((3, 4), np.nan, np.float32)) == digest(np.zeros((3, 4), np.float32)) == ""
    large = np.zeros((700, 900), np.float32)
    assert digest(large) == ""
    digests = set()
    for row in range(0, 700, 50):
        large[row, 7] = 1e-30 * (row + 1)
        digests.add(digest(large))
    assert len(digests - {""}) == 14


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EBUSY, "SlowDown"), True),
        (type("EndpointConnectionError", (type("ConnectionError", (Exception,), {}),), {})(), True),
        (PermissionError(errno.EACCES, "AccessDenied"), False),
        (OSError(errno.EINVAL, "InvalidRange"), False),
        (ValueError("no"), False),
    ],
)
def test_which_errors_of_an_archive_pass(error: Exception, passes: bool) -> None:
    assert issubclass(archive_error(error), ArchiveUnreachableError) is passes


def row(minute: int, reason: str | None = None, problem: str | None = None) -> LedgerRow:
    start = NOON + timedelta(minutes=minute)
    return LedgerRow(scene_id_of("goes16", start), Scan(start, start, "goes16", 6, {}, reason), problem=problem)


def test_scans_are_expected_in_gaps_within_the_spans() -> None:
    minutes = (0, 10, 20, 60, 70, 600, 610)
    rows = tuple(row(minute, "missing channel 2" if minute == 10 else None) for minute in minutes)
    ledger = Ledger("goes16", "truecolor_rgb", "a", "f", (*rows, row(24 * 60, problem="broken")))
    span = Interval(NOON, NOON + timedelta(minutes=75))
    done = {"cropped": {rows[0].scene_id, rows[1].scene_id}}
    (day,) = completeness(ledger, done, [span]).days
    assert (day.expected, day.seen, day.scenes) == (8, 5, 4)
    assert day.dropped == {"missing channel 2": 1}
    assert day.done == {"cropped": 1}
    first, second = completeness(ledger, done, None).days
    assert (first.seen, second.seen) == (7, 1)
    assert first.expected > 60
    assert (second.unreadable, second.done) == (1, {"cropped": 0})


def test_completeness_of_nothing() -> None:
    report = completeness(Ledger("goes16", "truecolor_rgb", "a", "f", ()), {}, None)
    assert report.days == ()
    assert "expected" in report.to_markdown()
