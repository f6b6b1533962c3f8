"""Who works on scenes: this thread, threads or processes of this machine, or a Dask cluster.

One Dask task takes one scene through its stages. What it gets and gives is small (the largest are the pictures
of its records), and only so many tasks are with the scheduler at a time: the memory that many scenes need
does not grow with their number, and whoever records outcomes slows down those who make them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from convml_data.errors import ConvmlError
from convml_data.meta.dataset import Dataset
from convml_data.pipeline.scene import SceneOutcome, SceneTask, first_of, process_scene

#: Scenes that are with the scheduler at a time, for each thread of the cluster and at least: enough that no worker
#: waits for the next, and that a cluster which starts workers as they are needed sees that they are.
IN_FLIGHT_PER_THREAD = 2
LEAST_IN_FLIGHT = 32

#: For how long a cluster may be without any worker, seconds.
PATIENCE_S = 600.0

#: What to do about a scene at which workers died.
_AFTER_DEATHS = (
    "Most often the machine had too little memory: give workers more of it or fewer threads, or make the domain smaller"
)


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    count
        How many scenes are worked on at a time, None for one per processor.
    kind
        ``threads`` of this process, which None means too, or ``processes`` of this machine.
    address
        Of a running Dask scheduler, instead of both.

    Raises
    ------
    ConvmlError
        A scheduler is named and workers of this machine too.
    """

    count: int | None = None
    kind: Literal["threads", "processes"] | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.address is not None and (self.count is not None or self.kind is not None):
            raise ConvmlError(
                "a Dask cluster has its own workers, so that their number or kind cannot be chosen too",
                where=self.address,
                remedy="Leave out the address to work on this machine, or the others to work on the cluster",
            )


def workers_for(dataset: Dataset, given: Workers) -> Workers:
    """Who works on a dataset's scenes, where ``given`` is what was chosen for this run.

    What it leaves open says ``dask`` in ``meta.yaml``; where that says nothing either, the environment may name a
    scheduler. Who chooses a number or kind of workers for a run means this machine.
    """
    asked = dataset.meta.dask
    if given.address is not None:
        return given
    if given == Workers() and asked.cluster is not None:
        return Workers(address=asked.cluster)
    return Workers(given.count or asked.count, given.kind or asked.kind)


def outcomes_of(tasks: Sequence[SceneTask], workers: Workers) -> Iterator[SceneOutcome]:
    """The outcome of each scene once it is done.

    A worker that dies takes with it whatever it was at, which others then do again. A scene that has seen too many
    workers die is tried once more when all others are done, alone, by which one that kills workers is told from
    those that were beside it; it fails if they die again.

    Raises
    ------
    ConvmlError
        The cluster cannot be reached, is lost, has no worker or none that can do it.
    """
    count = min(workers.count or os.cpu_count() or 1, len(tasks))
    if workers.address is None and workers.kind != "processes" and count <= 1:
        yield from map(process_scene, tasks)  # a scheduler would only add its start-up
        return
    with _client(workers, count) as client:
        suspects = []
        for task, outcome in _done(client, tasks):
            if outcome is None:
                suspects.append(task)
            else:
                yield outcome
        for suspect in suspects:
            for task, outcome in _done(client, [suspect]):
                why = f"workers died at this scene, also when it was the only one. {_AFTER_DEATHS}."
                yield outcome or SceneOutcome(task.row.scene_id, (), first_of(task.stages), why)


def _done(client: Any, tasks: Sequence[SceneTask]) -> Iterator[tuple[SceneTask, SceneOutcome | None]]:
    """Tasks as they are done, with None for those at which as many workers died as the scheduler allows."""
    from distributed import KilledWorker, wait

    waiting = iter(tasks)
    in_flight: dict[Any, SceneTask] = {}
    while True:
        threads = sum(client.nthreads().values())
        room = max(LEAST_IN_FLIGHT, IN_FLIGHT_PER_THREAD * threads) - len(in_flight)
        in_flight |= {client.submit(process_scene, task, pure=False): task for task in islice(waiting, max(room, 0))}
        if not in_flight:
            return
        try:
            with client.as_current():
                done = wait(list(in_flight), timeout=PATIENCE_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        if not done and not client.nthreads():
            raise ConvmlError(
                f"this Dask cluster has had no worker for {PATIENCE_S / 60:g} minutes",
                where=client.scheduler.address,
                remedy="Start workers with `dask worker`, then run again: what is done is kept",
            )
        while done:
            future = done.pop()
            task = in_flight.pop(future)
            try:
                outcome = future.result()
            except KilledWorker:
                outcome = None
            except CancelledError:  # the scheduler was lost
                raise
            except Exception as error:  # what is wrong with a scene is in its outcome
                raise ConvmlError(
                    f"the workers of this Dask cluster cannot work on scenes ({type(error).__name__}: {error})",
                    where=client.scheduler.address,
                    remedy="Give them the versions of Python and of all packages that this program has",
                ) from error
            del future  # with it the scheduler and the worker forget the outcome
            yield task, outcome


@contextmanager
def _client(workers: Workers, count: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    if workers.address is not None:
        try:
            client = Client(workers.address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:  # a ValueError where it is no address
            raise ConvmlError(
                f"no Dask scheduler answers ({error})",
                where=workers.address,
                remedy="Start one with `dask scheduler`, which says its address, or leave the address out to work here",
            ) from error
        try:
            with client:
                yield client
        except (OSError, CancelledError) as error:
            raise ConvmlError(
                "this Dask scheduler was lost in the middle of the work",
                where=workers.address,
                remedy="Start it again, and run again: what is done is kept",
            ) from error
    else:
        in_threads = workers.kind != "processes"
        with (
            # The profiler holds on to the frames that it sees and so to what is open in them, for a moment;
            # when something is closed decides where HDF5 puts the next, and files would differ by chance.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                n_workers=1 if in_threads else count,
                threads_per_worker=count if in_threads else 1,
                processes=not in_threads,
                # Not open to the network, on any free port: the default one may be another cluster's.
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            ) as cluster,
            # Not for all that this process computes, of which some may go on after it.
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
