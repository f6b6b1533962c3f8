"""A team's installation as `deploy/` has it, all on this machine: workers and runs are killed in backfills.

Postgres keeps Dagster's record, an S3 server has the archive and the datasets, and a Dask cluster works. It is run by
`make test-cluster`.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import h5netcdf
import pytest
import yaml
from botocore.config import Config
from dagster_server import Server, wait_until
from dask_cluster import DaskCluster, dask_cluster
from postgres_server import DATABASE, USER, postgres_server
from s3_server import s3_server

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval

pytestmark = pytest.mark.cluster

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BUCKET = "team"
FIRST = datetime(2020, 2, 2, 12)
N_SCENES = 40
SCENES = [f"goes16__{FIRST + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(N_SCENES)]
DOMAIN = LocalDomain(13.3, -57.72, 120e3, 120e3)
STAGES = ("cropped", "regridded")
DATASETS = ("worker_dies", "run_dies")


@dataclass(frozen=True)
class Team:
    """What the members of a team share."""

    server: Server
    code_server: subprocess.Popen[bytes]
    dask: DaskCluster
    s3: Any

    def versions(self, dataset: str, folder: str) -> Counter[str]:
        """How often the data of each scene, by their key, were written into a folder of a dataset."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{dataset}/")
        return Counter(
            version["Key"]
            for page in pages
            for version in page.get("Versions", ())
            if version["Key"].endswith(".nc") and Path(version["Key"]).parent.name == folder
        )

    def assert_each_scene_is_there_once_and_whole(self, dataset: str) -> None:
        for folder in ("cropped", "rect"):
            written = self.versions(dataset, folder)
            assert {Path(key).stem: times for key, times in written.items()} == dict.fromkeys(SCENES, 1)
            for key in written:
                content = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                with h5netcdf.File(io.BytesIO(content), "r") as file:
                    assert file.attrs["scene_id"] == Path(key).stem
                    assert file["bt_13"][...].size >= 60 * 60

    def start(self, dataset: str) -> str:
        """Make the scene IDs, launch a backfill of all scenes and give its ID once some are done."""
        run = self.server.materialize([dataset, "scene_ids"])
        wait_until(lambda: self.server.run_status(run) in ("SUCCESS", "FAILURE"), 120, "there are scene IDs")
        assert self.server.run_status(run) == "SUCCESS"
        backfill = self.server.backfill([[dataset, stage] for stage in STAGES], SCENES)
        wait_until(lambda: len(self.versions(dataset, "rect")) >= 5, 180, "some scenes are done")
        return backfill

    def runs(self, backfill: str) -> list[tuple[str, bool]]:
        """Status of each run of a backfill, the oldest first, and whether it does again what another did not end."""
        data = self.server.query(
            """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
            status creationTime tags { key value } } } } }""",
            filter={"tags": [{"key": "dagster/backfill", "value": backfill}]},
        )
        runs = sorted(data["runsOrError"]["results"], key=lambda run: run["creationTime"])
        return [(run["status"], any(tag["key"] == "dagster/retry_number" for tag in run["tags"])) for run in runs]

    def wait_for_all(self, dataset: str) -> None:
        for stage in STAGES:
            wait_until(
                lambda stage=stage: self.server.partitions([dataset, stage])["materialized"] == set(SCENES),
                240,
                f"all scenes of {dataset} are {stage}",
            )


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    archive = folder / "archive"
    simulate_archive(
        archive,
        satellite="goes16",
        sector="F",
        channels=(13,),
        spans=[Interval(FIRST, FIRST + timedelta(minutes=10 * N_SCENES - 1))],
        domain=DOMAIN,
    )
    for name in DATASETS:
        write_dataset(folder / "datasets" / name)
    (folder / "empty").mkdir()
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        endpoint = stack.enter_context(s3_server({"noaa-goes16": archive / "noaa-goes16", BUCKET: folder / "empty"}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CONVML_", "DASK_"))}
        s3 = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            config=Config(proxies={}),
        )
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        cluster = stack.enter_context(dask_cluster(folder / "dask", workers=2, environment=s3))
        home = folder / "home"
        home.mkdir()
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(DEPLOY / name, home)
        code_port, web_port = free_port(), free_port()
        environment = kept | s3 | {
            "DAGSTER_HOME": str(home),
            "CONVML_DATASETS": str(folder / "datasets"),
            "CONVML_CODE_SERVER_HOST": "127.0.0.1",
            "CONVML_CODE_SERVER_PORT": str(code_port),
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(postgres),
            "DAGSTER_PG_USERNAME": USER,
            "DAGSTER_PG_PASSWORD": "trusted",
            "DAGSTER_PG_DB": DATABASE,
            "DASK_SCHEDULER_ADDRESS": cluster.address,
        }  # fmt: skip
        # With the arguments of deploy/compose.yaml, but for hosts and ports.
        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        ports = {"0.0.0.0": "127.0.0.1", "4000": str(code_port), "3000": str(web_port)}
        processes = {}
        for name in ("code", "webserver", "daemon"):
            command = [ports.get(word, word) for word in services[name]["command"]]
            processes[name] = stack.enter_context(
                service(command, home, services_environment(services, name, environment))
            )
            if name == "code":
                wait_until(lambda: listens(code_port), 90, "the code server listens")
        server = Server(f"http://127.0.0.1:{web_port}")
        wait_until(server.is_loaded, 90, "the code location is loaded")
        yield Team(server, processes["code"], cluster, client)


def services_environment(services: Mapping[str, Any], name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of a service: those of the file that the test does not set itself, as far as they are no templates."""
    of_file = {key: value for key, value in services[name]["environment"].items() if "$" not in value}
    return of_file | dict(environment)


def write_dataset(folder: Path) -> None:
    folder.mkdir(parents=True)
    meta = {
        "source": "goes16",
        "product": "singlechannel__bt_13",
        "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=10 * N_SCENES - 1)},
        "domain": DOMAIN.to_dict(),
        "sampling": {"resolution": 2000.0},
        "storage": {"root": f"s3://{BUCKET}/{folder.name}"},
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))


@contextmanager
def service(command: list[str], home: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the installation and all that it starts, until the block ends; its log is in the home."""
    program = Path(sys.executable).with_name(command[0])
    with (home / f"{command[0]}-{command[1]}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *command[1:]], cwd=home, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def run_processes(code_server: subprocess.Popen[bytes]) -> list[int]:
    """The processes of runs, which the code server has started."""
    children = Path(f"/proc/{code_server.pid}/task").glob("*/children")
    pids = [int(pid) for listed in children for pid in listed.read_text().split()]
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_run_is_killed(team: Team) -> None:
    """Its death is seen, it is failed, and a retry does what is left."""
    backfill = team.start("run_dies")
    (process,) = run_processes(team.code_server)
    os.kill(process, signal.SIGKILL)
    assert len(team.versions("run_dies", "rect")) < N_SCENES
    team.wait_for_all("run_dies")
    wait_until(lambda: team.runs(backfill)[-1][0] == "SUCCESS", 60, "the retry ends")
    assert team.runs(backfill) == [("FAILURE", False), ("SUCCESS", True)]
    team.assert_each_scene_is_there_once_and_whole("run_dies")


def test_a_worker_is_killed(team: Team) -> None:
    """The other one does its scenes, and the run succeeds."""
    backfill = team.start("worker_dies")
    team.dask.workers[0].kill()
    assert len(team.versions("worker_dies", "rect")) < N_SCENES
    team.wait_for_all("worker_dies")
    wait_until(lambda: team.runs(backfill)[-1][0] != "STARTED", 60, "the run ends")
    assert team.runs(backfill) == [("SUCCESS", False)]
    team.assert_each_scene_is_there_once_and_whole("worker_dies")
