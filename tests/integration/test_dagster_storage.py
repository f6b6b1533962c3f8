"""Dagster's record in SQLite that stays open: what is written is there for others at once, and in the usual place."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from convml_data_dagster.instance import open_instance
from convml_data_dagster.storage import OPEN_DATABASES, SqliteEventLog

KEY = dg.AssetKey(["islands", "cropped"])
DAGSTERS_OWN = "telemetry:\n  enabled: false\n"


@pytest.fixture(autouse=True)
def no_other_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")  # which opening an instance sets


def report(instance: dg.DagsterInstance, *partitions: str) -> None:
    for partition in partitions:
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=partition))


def reported(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_materialized_partitions(KEY))


@dg.asset
def numbers(context: dg.AssetExecutionContext) -> int:
    context.log.info("counting")
    return 1


def test_others_see_what_was_written_at_once(tmp_path: Path) -> None:
    with open_instance(tmp_path) as instance, open_instance(tmp_path) as other:
        assert isinstance(instance.event_log_storage, SqliteEventLog)
        for number in range(3):
            report(instance, f"a{number}")
            report(other, f"b{number}")
            seen = {f"{who}{so_far}" for who in "ab" for so_far in range(number + 1)}
            assert reported(instance) == reported(other) == seen


def test_many_threads(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(40)]
    with open_instance(tmp_path) as instance:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: report(instance, name), names))
        assert reported(instance) == set(names)


def test_a_home_may_change_to_dagsters_own_and_back(tmp_path: Path) -> None:
    expected: set[str] = set()
    for turn, settings in enumerate([None, DAGSTERS_OWN, None]):
        (tmp_path / "dagster.yaml").unlink(missing_ok=True)
        if settings is not None:
            (tmp_path / "dagster.yaml").write_text(settings)
        with open_instance(tmp_path) as instance:
            assert isinstance(instance.event_log_storage, SqliteEventLog) == (settings is None)
            report(instance, f"p{turn}")
            expected.add(f"p{turn}")
            assert reported(instance) == expected


def test_more_runs_than_databases_are_open_and_all_are_forgotten(tmp_path: Path) -> None:
    with open_instance(tmp_path) as instance:
        runs = [dg.materialize([numbers], instance=instance).run_id for _ in range(2 * OPEN_DATABASES)]
        for run_id in [*runs, *runs]:
            logged = [entry.user_message for entry in instance.all_logs(run_id)]
            assert "counting" in logged
        log = instance.event_log_storage
        assert isinstance(log, SqliteEventLog)
        assert len(log._open) == OPEN_DATABASES
        log.wipe()
        assert [list(instance.all_logs(run_id)) for run_id in runs] == [[]] * len(runs)
        report(instance, "after")
        assert reported(instance) == {"after"}


def test_who_watches_a_run_hears_of_it_while_its_database_is_open(tmp_path: Path) -> None:
    """As the web server does, in another process."""
    heard = threading.Event()
    with open_instance(tmp_path) as instance, open_instance(tmp_path) as server:
        run = instance.create_run_for_job(dg.Definitions([numbers]).resolve_implicit_global_asset_job_def())
        instance.report_engine_event("first", run)
        server.event_log_storage.watch(
            run.run_id, None, lambda entry, _: heard.set() if "second" in str(entry) else None
        )
        instance.report_engine_event("second", run)
        assert heard.wait(20)
