"""``dagster dev`` as ``make ui`` starts it, on a free port, and its GraphQL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from convml_data_dagster.instance import prepare_home

WORKSPACE = Path(__file__).resolve().parents[2] / "workspace.yaml"
LOCATION = "convml-data"


class Server:
    """What a user can ask of the UI, through the GraphQL that the UI uses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy for the loopback interface

    def query(self, text: str, **variables: Any) -> Any:
        """The answer's data."""
        answer = self._session.post(f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=30)
        answer.raise_for_status()
        content = answer.json()
        assert "errors" not in content, content["errors"]
        return content["data"]

    def is_loaded(self) -> bool:
        """Whether the code location is there; AssertionError where it cannot be loaded."""
        try:
            data = self.query(
                """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
                __typename ... on PythonError { message } } } } } }"""
            )
        except requests.ConnectionError:
            return False
        entries = data["workspaceOrError"]["locationEntries"]
        assert [entry["name"] for entry in entries] == [LOCATION]
        loaded = entries[0]["locationOrLoadError"]
        assert loaded is None or loaded["__typename"] == "RepositoryLocation", loaded
        return loaded is not None and entries[0]["loadStatus"] == "LOADED"

    def materialize(self, *assets: Sequence[str]) -> str:
        """Launch one run that makes unpartitioned assets; gives its ID."""
        data = self.query(
            """mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) { __typename
            ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
            ... on InvalidSubsetError { message } ... on RunConfigValidationInvalid { errors { message } } } }""",
            params={
                "selector": {
                    "repositoryLocationName": LOCATION,
                    "repositoryName": "__repository__",
                    "pipelineName": "__ASSET_JOB",
                    "assetSelection": [{"path": list(asset)} for asset in assets],
                },
                "runConfigData": {},
            },
        )["launchPipelineExecution"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return str(data["run"]["runId"])

    def start_sensor(self, name: str) -> None:
        """Turn a sensor on."""
        data = self.query(
            """mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename
            ... on PythonError { message } } }""",
            selector={
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "sensorName": name,
            },
        )["startSensor"]
        assert data["__typename"] == "Sensor", data

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """Status, reason and run keys of a sensor's ticks, the latest first."""
        data = self.query(
            """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
            sensorState { ticks { status skipReason runKeys error { message } } } } } }""",
            selector={
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "sensorName": name,
            },
        )
        return list(data["sensorOrError"]["sensorState"]["ticks"])

    def run_status(self, run_id: str) -> str:
        """``SUCCESS``, ``FAILURE``, ``STARTED``, …"""
        data = self.query("query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
        return str(data["runOrError"]["status"])

    def backfill(self, assets: Sequence[Sequence[str]], partitions: Sequence[str]) -> str:
        """Launch a backfill of partitions of assets; gives its ID."""
        data = self.query(
            """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            params={"assetSelection": [{"path": list(asset)} for asset in assets], "partitionNames": list(partitions)},
        )["launchPartitionBackfill"]
        assert data["__typename"] == "LaunchBackfillSuccess", data
        return str(data["backfillId"])

    def runs_of_backfill(self, backfill_id: str) -> list[Mapping[str, str]]:
        """The tags of its runs."""
        data = self.query(
            """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
            status tags { key value } } } } }""",
            filter={"tags": [{"key": "dagster/backfill", "value": backfill_id}]},
        )
        return [{tag["key"]: tag["value"] for tag in run["tags"]} for run in data["runsOrError"]["results"]]

    def partitions(self, asset: Sequence[str]) -> dict[str, set[str]]:
        """Partitions of an asset by the status that the UI gives them."""
        data = self.query(
            """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions
            unmaterializedPartitions materializingPartitions } } } } }""",
            key={"path": list(asset)},
        )["assetNodeOrError"]
        found = {status: set(keys or ()) for status, keys in data["assetPartitionStatuses"].items()}
        return {status.removesuffix("Partitions"): keys for status, keys in found.items()}

    def partition_counts(self, asset: Sequence[str]) -> dict[str, int]:
        """The numbers in the asset graph."""
        data = self.query(
            """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            partitionStats { numMaterialized numFailed numMaterializing numPartitions } } } }""",
            key={"path": list(asset)},
        )
        return dict(data["assetNodeOrError"]["partitionStats"])

    def checks(self, asset: Sequence[str]) -> dict[str, str]:
        """What the checks of an asset came to when it was last materialized, ``SUCCEEDED`` or ``FAILED``, by name."""
        data = self.query(
            """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetChecksOrError { ... on AssetChecks { checks { name
            executionForLatestMaterialization { status } } } } } } }""",
            key={"path": list(asset)},
        )["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {check["name"]: (check["executionForLatestMaterialization"] or {}).get("status", "") for check in data}

    def stale_status(self, asset: Sequence[str], partition: str | None = None) -> str:
        """``FRESH``, ``STALE`` or ``MISSING``: whether the UI shows it as in sync with its code and inputs."""
        data = self.query(
            """query ($key: AssetKeyInput!, $partition: String) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { staleStatus(partition: $partition) } } }""",
            key={"path": list(asset)},
            partition=partition,
        )
        return str(data["assetNodeOrError"]["staleStatus"])

    def metadata(self, asset: Sequence[str], partition: str) -> dict[str, Any]:
        """Metadata of the latest materialization of a partition."""
        data = self.query(
            """query ($key: AssetKeyInput!, $partitions: [String!]) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { assetMaterializations(partitions: $partitions, limit: 1) { metadataEntries { label
            ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path } ... on TextMetadataEntry { text }
            ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
            ... on BoolMetadataEntry { boolValue } } } } } }""",
            key={"path": list(asset)},
            partitions=[partition],
        )
        (event,) = data["assetNodeOrError"]["assetMaterializations"]
        return {
            entry["label"]: next(value for name, value in entry.items() if name != "label")
            for entry in event["metadataEntries"]
        }


def wait_until(holds: Any, seconds: float, what: str) -> None:
    """Ask every half second until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)


@contextmanager
def dagster_dev(home: Path, datasets: Sequence[Path], workspace: Path = WORKSPACE) -> Iterator[Server]:
    """Webserver, daemon and code server on an instance's home, until the block ends."""
    prepare_home(home)
    port = _free_port()
    log = home / "server.log"
    environment = os.environ | {"DAGSTER_HOME": str(home), "CONVML_DATASETS": os.pathsep.join(map(str, datasets))}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output:
        # A group of its own, so that nothing that it starts outlives it.
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        server = Server(f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: process.poll() is not None or server.is_loaded(), 180, "the code location is loaded")
            assert process.poll() is None, log.read_text()
            yield server
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what is left of the group
    process.wait()
