"""A dataset, its assets and the instance that keeps the record, as every command opens them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convml_data.errors import ConvmlError
from convml_data_dagster.summaries import Outcome, Summary

if TYPE_CHECKING:
    import dagster as dg
    from tqdm import tqdm

    from convml_data.meta.dataset import Dataset
    from convml_data.meta.embeddings import Embeddings
    from convml_data.store.dataset import DatasetStore

T = TypeVar("T")
AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)

#: Warnings of runs that the terminal shows; a backfill may have hundreds of runs.
NOTES_SHOWN = 10


class Session:
    """A dataset, its Dagster definitions and the instance that keeps the record."""

    def __init__(
        self, data_path: Path, aux_name: str | None = None, workers: Any = None, embeddings: Sequence[Embeddings] = ()
    ) -> None:
        from convml_data.meta.dataset import load_dataset
        from convml_data_dagster.definitions import build_definitions
        from convml_data_dagster.instance import dagster_home, open_instance

        self.dataset: Dataset = load_dataset(data_path)
        self.aux_name = aux_name
        if aux_name is not None:
            self.dataset.aux(aux_name)  # or an error
        self.progress = TerminalProgress()
        overrides: dict[str, Any] = {"progress": self.progress} | ({"workers": workers} if workers else {})
        self.definitions = build_definitions([self.dataset.directory], overrides, embeddings)
        self.instance: dg.DagsterInstance = open_instance(dagster_home(self.dataset.directory))

    @property
    def store(self) -> DatasetStore:
        """The dataset's files; anew each time, since making the scene IDs may find its domain out."""
        from convml_data.store.dataset import DatasetStore

        return DatasetStore.of(self.dataset)

    @property
    def product_store(self) -> DatasetStore:
        """The files of what the command is about: the dataset's own, or those of its auxiliary product."""
        return self.store if self.aux_name is None else self.store.aux(self.aux_name)

    def asset_of(self, key: dg.AssetKey) -> str:
        """What an asset is called below the dataset's name."""
        return "/".join(key.path[1:])

    def asset(self, stage: str) -> str:
        """What an asset of what the command is about is called below the dataset's name."""
        if self.aux_name is None:
            return stage
        return f"aux/{self.aux_name}/{'tiles' if stage == 'triplet_tiles' else stage}"

    def materialize(self, *assets: str, config: Mapping[str, Any] | None = None) -> None:
        """Materialize unpartitioned assets of the dataset in one run; ConvmlError where that fails.

        Parameters
        ----------
        assets
            Names below the dataset's.
        config
            What each of their steps is told, where it can be.
        """
        cause = self._run(assets, {}, config)
        if cause is not None:
            raise ConvmlError(cause)

    def materialize_scenes(self, *assets: str, runs: Sequence[Sequence[str]]) -> None:
        """Materialize per-scene assets, one run after the other; what fails in one does not keep the next back.

        Parameters
        ----------
        assets
            Names below the dataset's.
        runs
            The scenes of each run, which follow each other in the ledger.

        Raises
        ------
        ConvmlError
            Scenes failed or runs did: one summary of all.
        """
        from convml_data_dagster.partitions import range_tags

        causes: dict[str, None] = {}
        with self.progress.over(sum(map(len, runs))) as summary:
            for scene_ids in runs:
                of_run = self.progress.new_run()
                cause = self._run(assets, range_tags(scene_ids))
                # What the run says of its scenes is in the summary of all.
                rest = (cause or "").removeprefix((of_run.failure() or "").rstrip(".")).strip(".\n")
                if rest:
                    causes[rest] = None
        notes = self.progress.notes
        if len(notes) > NOTES_SHOWN:
            more = f"{len(notes) - NOTES_SHOWN} more such warnings are in the logs of the runs"
            notes = [*notes[:NOTES_SHOWN], more]
        for warning in (*summary.warnings(self.aux_name), *notes):
            print(f"warning: {warning}", file=sys.stderr)
        failures = [cause for cause in (summary.failure(), *causes) if cause is not None]
        if failures:
            raise ConvmlError("\n".join(failures).rstrip("."))

    def slices(self, scene_ids: Sequence[str]) -> list[Sequence[str]]:
        """Scenes that follow each other in the ledger as runs of ``run.max_scenes``."""
        size = self.dataset.meta.run.max_scenes
        return [scene_ids[start : start + size] for start in range(0, len(scene_ids), size)]

    def _run(self, assets: Sequence[str], tags: dict[str, str], config: Mapping[str, Any] | None = None) -> str | None:
        """Materialize assets in one run; what failed, None where nothing did."""
        import dagster as dg
        from dagster._core.utils import make_new_run_id

        run_id = make_new_run_id()
        steps = ["__".join([self.dataset.name, *asset.split("/")]) for asset in assets] if config else []
        execute = partial(
            self.definitions.resolve_implicit_global_asset_job_def().execute_in_process,
            run_id=run_id,
            instance=self.instance,
            asset_selection=[dg.AssetKey([self.dataset.name, *asset.split("/")]) for asset in assets],
            tags=tags,
            # The terminal shows progress and one summary; the run's whole log is in the instance.
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {step: {"config": dict(config or {})} for step in steps},
            },
            raise_on_error=False,
        )
        try:
            result = _in_a_thread(execute)
        except KeyboardInterrupt:
            run = self.instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self.instance.report_run_canceled(run, message="interrupted at the terminal")
            raise
        return None if result.success else _cause(result)


def _in_a_thread(work: Callable[[], T]) -> T:
    """Do work in a thread of its own, so that this one answers Ctrl-C at once.

    In the main thread Dagster would take the signal over, and keep or lose it depending on what it
    is just doing.
    """
    future: Future[T] = Future()

    def run() -> None:
        # Processes that are started here inherit it: they would all answer Ctrl-C with a traceback.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result()


def _cause(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data is not None and failure.user_failure_data.description:
                return str(failure.user_failure_data.description).rstrip(".")
            if failure.error is not None:
                return failure.error.to_string()
    return f"run {result.run_id} failed before it began; its log is in the Dagster instance"


class TerminalProgress:
    """A progress bar over the scenes of all runs of a command, and what came of them.

    Who waits is told at once where an archive does not answer.
    """

    archive_retries = 0
    first_wait_s = 0.0

    def __init__(self) -> None:
        self._total = 0
        self.notes: list[str] = []
        self._bar: tqdm[Any] | None = None
        self._summary = self._of_run = Summary()

    @contextmanager
    def over(self, total: int) -> Iterator[Summary]:
        """Show one bar for so many scenes within the block; what comes of them."""
        self._total, self._summary, self.notes = total, Summary(), []
        try:
            yield self._summary
        finally:
            if self._bar is not None:
                self._bar.close()
            self._bar = None

    def new_run(self) -> Summary:
        """What comes of the scenes of the next run."""
        self._of_run = Summary()
        return self._of_run

    def track(self, outcomes: Iterable[AnyOutcome], total: int) -> Iterator[AnyOutcome]:
        """Pass the outcomes of a run on and count them."""
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=self._total, unit="scene", file=sys.stderr)
        for outcome in outcomes:
            self._summary.add(outcome)
            self._of_run.add(outcome)
            self._bar.update()
            yield outcome

    def note(self, warnings: Iterable[str]) -> None:
        """Keep what is amiss with the scenes of a run for the end."""
        self.notes += warnings
