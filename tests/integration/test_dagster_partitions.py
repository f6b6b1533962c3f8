"""Scenes as partitions: always those of the ledger, always in its order, and nothing is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data_dagster import partitions
from convml_data_dagster.partitions import register_scenes, scene_partitions

DATASET = "tropics"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def scenes(*minutes: int) -> list[str]:
    return [f"goes16__{202002020000 + minute:012d}" for minute in minutes]


def registered(instance: dg.DagsterInstance) -> list[str]:
    """In the order that ranges follow, as Dagster's own definition tells it."""
    return list(scene_partitions(DATASET).get_partition_keys(dynamic_partitions_store=instance))


@pytest.mark.parametrize(
    ("first", "second", "new", "gone"),
    [
        ([], [1, 2], 2, 0),
        ([1, 2, 3], [1, 2, 3], 0, 0),
        ([1, 2], [1, 2, 3, 4], 2, 0),
        ([2, 4], [1, 2, 3, 4, 5], 3, 0),
        ([1, 2, 3], [1, 3], 0, 1),
        ([1, 2, 3], [4, 5], 2, 3),
        ([1, 2, 3], [], 0, 3),
    ],
    ids=["first time", "no change", "later", "earlier and between", "one gone", "all others", "none left"],
)
def test_partitions_become_the_scenes_in_their_order(
    first: list[int], second: list[int], new: int, gone: int, instance: dg.DagsterInstance
) -> None:
    assert register_scenes(instance, DATASET, scenes(*first)) == (len(first), 0)
    assert register_scenes(instance, DATASET, scenes(*second)) == (new, gone)
    assert registered(instance) == scenes(*second)


def test_no_write_where_nothing_changed(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    register_scenes(instance, DATASET, scenes(1, 2, 3))

    def refuse(*_: object) -> None:
        pytest.fail("partitions were written")

    monkeypatch.setattr(instance, "add_dynamic_partitions", refuse)
    monkeypatch.setattr(partitions, "_replace", refuse)
    assert register_scenes(instance, DATASET, scenes(1, 2, 3)) == (0, 0)


def test_whoever_looks_meanwhile_misses_no_scene(tmp_path: Path) -> None:
    """A backfill that is launched while earlier scenes are put in."""
    few, all_ = scenes(*range(500, 1000)), scenes(*range(1000))
    seen: list[list[str]] = []
    done = threading.Event()

    def look() -> None:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as other:
            while not done.is_set():
                seen.append(list(other.get_dynamic_partitions(f"{DATASET}_scenes")))

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        register_scenes(instance, DATASET, few)
        looking = threading.Thread(target=look)
        looking.start()
        try:
            for _ in range(10):
                register_scenes(instance, DATASET, all_)
                register_scenes(instance, DATASET, few)
        finally:
            done.set()
            looking.join(30)
    assert len(seen) > 1
    assert [keys for keys in seen if keys not in (few, all_)] == []


def test_datasets_do_not_share_scenes(instance: dg.DagsterInstance) -> None:
    register_scenes(instance, DATASET, scenes(1, 2))
    register_scenes(instance, "subtropics", scenes(3))
    assert registered(instance) == scenes(1, 2)


def test_what_was_materialized_is_remembered_when_partitions_are_put_in_order(
    instance: dg.DagsterInstance,
) -> None:
    key = dg.AssetKey([DATASET, "cropped"])
    register_scenes(instance, DATASET, scenes(2, 4))
    for scene_id in scenes(2, 4):
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=scene_id))

    register_scenes(instance, DATASET, scenes(1, 2, 3, 4))
    assert instance.get_materialized_partitions(key) >= set(scenes(2, 4))
    status = instance.get_status_by_partition(key, registered(instance), scene_partitions(DATASET))
    assert status is not None
    assert [value.value if value else None for value in status.values()] == [None, "MATERIALIZED"] * 2

    register_scenes(instance, DATASET, scenes(1))  # meta.yaml was narrowed by mistake …
    register_scenes(instance, DATASET, scenes(1, 2, 3, 4))  # … and put right
    assert instance.get_materialized_partitions(key) >= set(scenes(2, 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 40)), min_size=1, max_size=4))
def test_any_sequence_of_ledgers_leaves_the_last_one_in_order(ledgers: list[set[int]]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        before: set[int] = set()
        for ledger in ledgers:
            new, gone = register_scenes(instance, DATASET, scenes(*sorted(ledger)))
            assert (new, gone) == (len(ledger - before), len(before - ledger))
            assert registered(instance) == scenes(*sorted(ledger))
            before = ledger
