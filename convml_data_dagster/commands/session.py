"""A dataset, its assets and the instance that keeps the record, as every command opens them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convml_data.errors import ConvmlError

if TYPE_CHECKING:
    import dagster as dg

    from convml_data.meta.dataset import Dataset
    from convml_data.store.dataset import DatasetStore

T = TypeVar("T")


class Session:
    """A dataset, its Dagster definitions and the instance that keeps the record."""

    def __init__(self, data_path: Path, aux_name: str | None = None, workers: Any = None) -> None:
        from convml_data.meta.dataset import load_dataset
        from convml_data_dagster.definitions import build_definitions
        from convml_data_dagster.instance import dagster_home, open_instance

        self.dataset: Dataset = load_dataset(data_path)
        self.aux_name = aux_name
        if aux_name is not None:
            self.dataset.aux(aux_name)  # or an error
        overrides: dict[str, Any] = {"progress": TerminalProgress()} | ({"workers": workers} if workers else {})
        self.definitions = build_definitions([self.dataset.directory], overrides)
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

    def asset(self, stage: str) -> str:
        """What an asset of what the command is about is called below the dataset's name."""
        if self.aux_name is None:
            return stage
        return f"aux/{self.aux_name}/{'tiles' if stage == 'triplet_tiles' else stage}"

    def materialize(self, *assets: str, scene_ids: Sequence[str] = ()) -> None:
        """Materialize assets of the dataset in one run, for a range of scenes where there are any."""
        import dagster as dg
        from dagster._core.utils import make_new_run_id

        tags = {}
        if scene_ids:
            tags = {
                "dagster/asset_partition_range_start": scene_ids[0],
                "dagster/asset_partition_range_end": scene_ids[-1],
            }
        run_id = make_new_run_id()
        execute = partial(
            self.definitions.resolve_implicit_global_asset_job_def().execute_in_process,
            run_id=run_id,
            instance=self.instance,
            asset_selection=[dg.AssetKey([self.dataset.name, *asset.split("/")]) for asset in assets],
            tags=tags,
            # The terminal shows progress and one summary; the run's whole log is in the instance.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        try:
            result = _in_a_thread(execute)
        except KeyboardInterrupt:
            run = self.instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self.instance.report_run_canceled(run, message="interrupted at the terminal")
            raise
        if not result.success:
            raise ConvmlError(_cause(result))


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
    """A progress bar over the scenes of a run."""

    def track(self, outcomes: Iterable[T], total: int) -> Iterator[T]:
        """Pass the outcomes on and show how many there were."""
        from tqdm import tqdm

        yield from tqdm(outcomes, total=total, unit="scene", file=sys.stderr)

    def warn(self, text: str) -> None:
        """Say what is not as one would expect."""
        print(f"warning: {text}", file=sys.stderr)
