"""A Dask cluster whose workers are jobs of Slurm: ``python deploy/slurm/dask_cluster.py`` on a login node.

It needs ``convml-data[slurm]``, on nodes that share the folders of the environment and of the datasets. Jobs
are queued when scenes wait and given back when none do; the cluster ends with this program.
"""

from __future__ import annotations

import argparse
import signal
from contextlib import suppress

from dask_jobqueue import SLURMCluster

#: What one job asks for; change it to what your queue gives. Half an hour before the end of a job its workers take
#: no more scenes, so that none is lost.
JOB = {
    "queue": "compute",
    "account": None,
    "cores": 8,
    "processes": 4,
    "memory": "32GB",
    "walltime": "04:00:00",
    "job_script_prologue": ["export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False"],
    "worker_extra_args": ["--lifetime", "210m", "--lifetime-stagger", "10m"],
}


def main() -> None:
    """Start the scheduler, say where it is and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10, help="at most (default: 10)")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt), SLURMCluster(**JOB) as cluster:
        cluster.adapt(minimum_jobs=0, maximum_jobs=arguments.jobs)
        print(f"export DASK_SCHEDULER_ADDRESS={cluster.scheduler_address}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
