"""The ``convml-data`` command: what ``convml_data`` offers by itself, and the stages through Dagster.

Each stage command materializes the assets that the UI shows, in the same instance, so that what
one did the other knows. Dagster is imported once a command needs it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convml_data import cli
from convml_data.errors import ConvmlError
from convml_data.simulate.command import add_simulate_command

if TYPE_CHECKING:
    import dagster as dg

    from convml_data.meta.dataset import Dataset
    from convml_data.store.dataset import DatasetStore
    from convml_data.tiles.tile import TileStage

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status."""
    parser, commands = cli.build_parser()
    _add_stage_commands(commands)
    add_simulate_command(commands)
    return cli.run(parser, argv)


def script() -> None:
    """The installed command."""
    status = main()
    if status == cli.INTERRUPTED:
        # Threads of the interrupted run still work. What they write appears whole or not at all, so
        # nothing is lost by not waiting for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _add_stage_commands(commands: Any) -> None:
    scene_ids = commands.add_parser("scene-ids", help="list the archive and make the scene ledger")
    scene_ids.set_defaults(command=_scene_ids)
    stages = {
        "crop": ("crop every scene to the domain, on the satellite's grid", ["cropped"]),
        "regrid": ("put every scene on the dataset's grid", ["cropped", "regridded"]),
        "tiles": ("plan and cut tiles", []),
    }
    per_scene = []
    for name, (text, assets) in stages.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=_stage, assets=assets)
        per_scene.append(command)
    for command in per_scene:
        command.add_argument(
            "--workers", type=_count, metavar="N", help="scenes at a time (default: one for each processor)"
        )
        command.add_argument(
            "--processes", action="store_true", help="work in processes instead of threads, each with its own memory"
        )
        command.add_argument("--dask-scheduler", metavar="ADDRESS", help="work on a running Dask cluster")
    per_scene[-1].add_argument(
        "--tiles-kind",
        choices=TILES_KINDS,
        metavar="KIND",
        help=f"{', '.join(TILES_KINDS)} (default: the first that the meta.yaml asks for)",
    )
    plots = commands.add_parser("plots", help="plot an auxiliary product below the scenes that it goes with")
    plots.set_defaults(command=_plots)
    plots.add_argument("--aux-name", metavar="NAME", required=True, help="of an auxiliary product of the meta.yaml")
    statistics = commands.add_parser("statistics", help="mean, deviation and histogram of the tiles of a collection")
    statistics.set_defaults(command=_statistics)
    statistics.add_argument("--collection", metavar="NAME", default="train", help="whose tiles (default: train)")
    statistics.add_argument("--aux-name", metavar="NAME", help="of an auxiliary product of the meta.yaml")
    export = commands.add_parser("export", help="write an index of all tiles (GeoParquet) and a card of the dataset")
    export.set_defaults(command=_export)
    export.add_argument("--output", type=Path, metavar="FOLDER", help="where to (default: export beside meta.yaml)")
    export.add_argument("--aux-name", metavar="NAME", help="of an auxiliary product of the meta.yaml")
    ui = commands.add_parser("ui", help="open Dagster's UI on the dataset")
    ui.add_argument("--port", type=_count, default=3000)
    ui.set_defaults(command=_ui)
    for command in (scene_ids, *per_scene, plots, statistics, export, ui):
        cli.add_data_path(command)
    for command in (scene_ids, *per_scene):
        command.add_argument("--aux-name", metavar="NAME", help="of an auxiliary product of the meta.yaml")


#: Kinds of tiles as the command names them.
TILES_KINDS: Mapping[str, TileStage] = {
    "triplets": "triplet_tiles",
    "trajectories": "trajectory_tiles",
    "sliding-window": "sliding_window_tiles",
    "rect-slidingwindow": "sliding_window_tiles",
}


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


class _Session:
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


def _scene_ids(arguments: argparse.Namespace) -> int:
    session = _Session(arguments.data_path, arguments.aux_name)
    if session.aux_name is not None:
        _current_scene_ids(session)
        _make_matches(session)
        return 0
    session.materialize("scene_ids")
    _print_ledger(session.store)
    return 0


def _print_ledger(store: DatasetStore) -> None:
    from convml_data.sources import notices_of

    for notice in notices_of(store.dataset):
        print(f"notice: {notice}")
    ledger = store.read_ledger()
    print(f"{len(ledger.scenes)} of {len(ledger.rows)} scans seen in {ledger.archive} are scenes")
    for reason, count in ledger.drops().items():
        print(f"  {count} dropped: {reason}")
    problems = [row for row in ledger.scenes if row.problem is not None]
    for row in problems:
        print(f"  {row.scene_id} could not be read: {row.problem}")
    print(f"scene ledger: {store.files.url(store.layout.ledger)}")


def _current_scene_ids(session: _Session) -> tuple[str, ...]:
    """Scenes of the ledger, which is made where it is missing, empty or of another meta.yaml or archive."""
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data_dagster.partitions import register_scenes

    store = session.store
    if not ledger_is_current(store) or not store.read_ledger().scenes:
        session.materialize("scene_ids")
        store = session.store
        _print_ledger(store)
    else:
        print(f"{store.files.url(store.layout.ledger)} is used; `convml-data scene-ids` lists the archive again")
    scene_ids = store.read_ledger().scene_ids
    # The ledger is the truth; a fresh instance may not know its scenes yet.
    register_scenes(session.instance, session.dataset.name, scene_ids)
    return scene_ids


def _make_matches(session: _Session) -> None:
    """Match the auxiliary product's images to the scenes, and say what came of it."""
    session.materialize(f"aux/{session.aux_name}/matches")
    store = session.product_store
    ledger = store.read_ledger()
    print(f"{len(ledger.scenes)} of {len(ledger.rows)} scenes have an image of {session.aux_name} in {ledger.archive}")
    for row in ledger.rows:
        if row.reason is not None:
            print(f"  {row.scene_id}: {row.reason}")
    print(f"matches: {store.files.url(store.layout.ledger)}")


def _stage(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data_dagster.resources import WorkersResource

    session = _Session(
        arguments.data_path,
        arguments.aux_name,
        WorkersResource(
            count=arguments.workers,
            kind="processes" if arguments.processes else None,
            address=arguments.dask_scheduler,
        ),
    )
    scene_ids = _current_scene_ids(session)
    if session.aux_name is not None and not ledger_is_current(session.product_store):
        _make_matches(session)
    stages = arguments.assets
    if not stages:
        kind = _tile_stage(session, arguments.tiles_kind)
        stages = [kind]
        scene_ids = _crop_to_know_the_scenes(session, scene_ids)
        _make_plan(session, kind)
    session.materialize(*(_asset(session, stage) for stage in stages), scene_ids=scene_ids)
    for stage in stages:
        print(f"{_asset(session, stage)}: {_place(session.product_store, stage)}")
    return 0


def _plots(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.discovery import current_ledger

    session = _Session(arguments.data_path, arguments.aux_name)
    store = session.product_store
    scene_ids = _current_scene_ids(session)
    unmatched = {row.scene_id for row in current_ledger(store).rows if row.reason is not None}
    session.materialize(f"aux/{session.aux_name}/plots", scene_ids=scene_ids)
    drawn = [name for scene_id in scene_ids if store.files.exists(name := store.layout.plot(scene_id))]
    print(f"{len(drawn)} plots; {len(unmatched)} scenes have no {session.aux_name}")
    print(f"plots: {store.files.url(store.layout.plot('').removesuffix('/.png'))}")
    return 0


def _statistics(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.statistics import kept_statistics, make_statistics

    session = _Session(arguments.data_path, arguments.aux_name)
    store = session.product_store
    if arguments.collection == "train":
        session.materialize(_asset(session, "statistics"))
    else:
        make_statistics(store, arguments.collection)
    found = kept_statistics(store, arguments.collection)
    assert found is not None  # they were just made
    print(f"{found.tiles} tiles of {arguments.collection}")
    for name, mean, std in zip(found.bands, found.mean, found.std, strict=True):
        print(f"  {name}: mean {mean:.6g}, standard deviation {std:.6g} {found.units[name] or ''}".rstrip())
    print(f"statistics: {store.files.url(store.layout.statistics(arguments.collection))}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.statistics import export

    session = _Session(arguments.data_path, arguments.aux_name)
    folder: Path = arguments.output or session.dataset.directory / "export" / (session.aux_name or "")
    exported = export(session.product_store, folder)
    print(f"{exported.tiles} tiles in {folder / 'index.parquet'}")
    if exported.missing:
        print(f"warning: {exported.missing} more tiles are planned and not there", file=sys.stderr)
    print(f"card: {folder / 'README.md'}")
    return 0


def _tile_stage(session: _Session, kind: str | None) -> TileStage:
    """The kind of tiles that the command names, or the first that ``meta.yaml`` asks for."""
    asked = session.dataset.tile_stages
    stage = TILES_KINDS[kind] if kind is not None else asked[0] if asked else "triplet_tiles"
    session.dataset.wanted_tiles(stage)  # without any there is no such asset
    return stage


def _make_plan(session: _Session, stage: TileStage) -> None:
    """Plan the tiles of a kind where they are not planned yet, and say what a user should know of the plan."""
    from convml_data.pipeline.tiles import tile_plan_is_current, trajectory_plan_is_current
    from convml_data.tiles.leakage import leakage

    if stage == "trajectory_tiles":
        if not trajectory_plan_is_current(session.store):
            session.materialize("trajectory_plan")
        around = session.store.read_trajectory_plan()
        for scene_id, reason in around.without.items():
            print(f"warning: no tile in {scene_id}: {reason}", file=sys.stderr)
        if around.trajectories_without:
            name, reason = next(iter(around.trajectories_without.items()))
            plan_url = session.store.files.url(session.store.layout.trajectory_plan)
            print(
                f"warning: {len(around.trajectories_without)} tiles are missing in scenes where other trajectories "
                f"have one; the first is {name}: {reason}. All are named in {plan_url}",
                file=sys.stderr,
            )
    if stage == "triplet_tiles":
        if not tile_plan_is_current(session.store):
            _regrid_to_know_what_tiles_show(session)
            session.materialize("tile_plan")
        plan = session.store.read_tile_plan()
        for warning in (*plan.warnings, *leakage(plan.scenes, None).warnings):
            print(f"warning: {warning}", file=sys.stderr)
        for reason, count in Counter(plan.left_over.values()).items():
            print(f"{count} scenes are left over: {reason}")


def _regrid_to_know_what_tiles_show(session: _Session) -> None:
    """Regrid what a plan looks at, where ``sampling.accept`` makes it look."""
    from convml_data.pipeline.acceptance import scenes_to_regrid_first, unreadable_scenes
    from convml_data.pipeline.discovery import ledger_is_current

    store = session.store
    accept = store.dataset.meta.sampling.accept
    if accept is None:
        return
    ledger = store.read_ledger()
    scene_ids = ledger.scene_ids
    unreadable = unreadable_scenes(store, ledger)
    if unreadable or scenes_to_regrid_first(store, ledger):
        try:
            session.materialize("cropped", "regridded", scene_ids=scene_ids)
        except ConvmlError as error:
            if not unreadable or scenes_to_regrid_first(store, store.read_ledger()):
                raise
            # Known since an earlier run, and not mended.
            print(f"warning: {error}", file=sys.stderr)
    mask = accept.cloud_mask
    if mask is None or mask not in store.dataset.meta.aux_products:
        return
    if not ledger_is_current(store.aux(mask)):
        session.materialize(f"aux/{mask}/matches")
    if scenes_to_regrid_first(store.aux(mask), store.aux(mask).read_ledger()):
        session.materialize(f"aux/{mask}/cropped", f"aux/{mask}/regridded", scene_ids=scene_ids)


def _crop_to_know_the_scenes(session: _Session, scene_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The scenes that tiles may come from, some of which only cropping may show to be none."""
    from convml_data.pipeline.tiles import scenes_to_crop_first

    if not scenes_to_crop_first(session.store, session.store.read_ledger()):
        return scene_ids
    session.materialize("cropped", scene_ids=scene_ids)
    return _current_scene_ids(session)


def _asset(session: _Session, stage: str) -> str:
    """What an asset is called below the dataset's name."""
    if session.aux_name is None:
        return stage
    return f"aux/{session.aux_name}/{'tiles' if stage == 'triplet_tiles' else stage}"


def _place(store: DatasetStore, stage: Any) -> str:
    place = store.scenes([stage]).place if stage in ("cropped", "regridded") else store.tiles_place(stage)
    return store.files.url(place)


def _ui(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import find_datasets
    from convml_data_dagster.instance import dagster_home, prepare_home

    directories = find_datasets([arguments.data_path])
    if not directories:
        raise ConvmlError(
            "there is no meta.yaml in this folder or in the folders in it",
            where=str(arguments.data_path),
            remedy="Name the dataset's folder with --data-path",
        )
    home = dagster_home(directories[0])
    prepare_home(home)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "CONVML_DATASETS": os.pathsep.join(str(directory.absolute()) for directory in directories),
    }
    command = ["dagster", "dev", "-m", "convml_data_dagster.definitions", "-p", str(arguments.port)]
    os.execv(sys.executable, [sys.executable, "-m", *command])


class TerminalProgress:
    """A progress bar over the scenes of a run."""

    def track(self, outcomes: Iterable[T], total: int) -> Iterator[T]:
        """Pass the outcomes on and show how many there were."""
        from tqdm import tqdm

        yield from tqdm(outcomes, total=total, unit="scene", file=sys.stderr)

    def warn(self, text: str) -> None:
        """Say what is not as one would expect."""
        print(f"warning: {text}", file=sys.stderr)


if __name__ == "__main__":
    script()
