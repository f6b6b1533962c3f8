"""The scene ledger and its written form."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from convml_data.errors import StoreError
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan, SourceFile


def row(minute: int, reason: str | None = None, mode: int | None = 6) -> LedgerRow:
    start = datetime(2020, 2, 2, 14, minute, 16, 500_000)
    files = {"1": SourceFile(f"s3://noaa-goes16/ABI-L1b-RadF/{minute}.nc", 12_345)}
    scan = Scan(start, start + timedelta(seconds=570), "goes16", mode, files, reason)
    return LedgerRow(f"goes16__2020020214{minute:02d}", scan)


LEDGER = Ledger(
    source="goes16",
    product="truecolor_rgb",
    archive="s3://noaa-goes16",
    fingerprint="0123",
    rows=(
        row(0),
        row(10, "missing channel 2"),
        row(20, mode=None),
        row(30, "x"),
        row(40, "missing channel 2"),
    ),
)


@pytest.mark.parametrize("rows", [LEDGER.rows, LEDGER.rows[:1], ()])
def test_the_written_form_holds_everything(rows: tuple[LedgerRow, ...]) -> None:
    ledger = Ledger("goes16", 'a "quoted" product', "file:///é", "0123", rows)
    text = ledger.to_json()
    assert Ledger.from_json(text, "scene_ids.json") == ledger
    assert Ledger.from_json(text, "scene_ids.json").to_json() == text


def test_the_written_form_is_json_with_one_row_a_line() -> None:
    text = LEDGER.to_json()
    assert [entry["reason"] for entry in json.loads(text)["rows"]] == [row.reason for row in LEDGER.rows]
    assert sum('"scene_id"' in line for line in text.splitlines()) == len(LEDGER.rows)


def test_scenes_are_the_rows_without_a_reason() -> None:
    assert LEDGER.scene_ids == ("goes16__202002021400", "goes16__202002021420")
    assert [scene.scene_id for scene in LEDGER.scenes] == list(LEDGER.scene_ids)


def test_drops_are_counted_by_reason() -> None:
    assert list(LEDGER.drops().items()) == [("missing channel 2", 2), ("x", 1)]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3", '"text"', LEDGER.to_json()[:-30]])
def test_what_is_no_ledger_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match=r"some/scene_ids\.json: this is no scene ledger.*scene-ids"):
        Ledger.from_json(text, "some/scene_ids.json")


def test_a_ledger_of_another_version_is_refused() -> None:
    text = LEDGER.to_json().replace('"format_version": 1', '"format_version": 99')
    with pytest.raises(StoreError, match="format version 99"):
        Ledger.from_json(text, "scene_ids.json")
