"""The files of `deploy/`: what they name is there, they agree with each other, and Dagster and Dask take them."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
CHART = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
DASK = yaml.safe_load((DEPLOY / "kubernetes" / "dask.yaml").read_text())
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

#: What can be set in the values of Dagster's chart, of what these files set.
CHART_KEYS = {
    "additionalInstanceConfig",
    "computeLogManager",
    "dagster-user-deployments",
    "dagsterDaemon",
    "dagsterWebserver",
    "generatePostgresqlPasswordSecret",
    "global",
    "postgresql",
    "runLauncher",
    "telemetry",
}


def taken_from_environment(settings: Any) -> Iterator[str]:
    """Names of the variables that Dagster's settings ask for."""
    if isinstance(settings, dict):
        if set(settings) == {"env"}:
            yield settings["env"]
        for value in settings.values():
            yield from taken_from_environment(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from taken_from_environment(value)


def test_dagster_takes_the_settings(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((DEPLOY / "dagster.yaml").read_bytes())
    settings, _ = dagster_instance_config(str(tmp_path))
    assert settings["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(CHART["additionalInstanceConfig"]))
    of_chart, _ = dagster_instance_config(str(tmp_path))
    assert of_chart["run_retries"] == settings["run_retries"]
    assert of_chart["concurrency"] == settings["concurrency"]


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_the_variables_of_the_settings_are_set(name: str) -> None:
    asked = set(taken_from_environment(yaml.safe_load((DEPLOY / name).read_text())))
    assert len(asked) >= 2
    for service in ("code", "webserver", "daemon"):
        assert asked <= COMPOSE["services"][service]["environment"].keys()


def test_the_variables_of_the_services_are_explained() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    explained = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.M))
    assert asked == explained


def test_the_services_start_what_is_there() -> None:
    commands = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    commands += [spec["spec"]["containers"][0]["args"] for spec in (DASK["spec"]["scheduler"], DASK["spec"]["worker"])]
    commands += [["dagster", *each["dagsterApiGrpcArgs"]] for each in CHART["dagster-user-deployments"]["deployments"]]
    assert len(commands) == 8
    for command in commands:
        assert Path(sys.executable).with_name(command[0]).exists()
        for option, value in pairwise(command):
            if option == "--module-name":
                assert importlib.util.find_spec(value) is not None
            if option == "--workspace":
                assert re.search(rf"COPY .*deploy/{value} .*/opt/dagster/home/\n", DOCKERFILE)


def test_the_image_copies_what_is_there_and_installs_known_extras() -> None:
    copied = [word for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M) for word in line.split()[:-1]]
    paths = [word for word in copied if not word.startswith("--")]
    assert {"pyproject.toml", "constraints.txt", "convml_data", "convml_data_dagster"} <= set(paths)
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    extras = re.search(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.M)
    assert extras is not None
    assert set(extras[1].split(",")) <= PROJECT["optional-dependencies"].keys()
    assert re.search(r"^USER 1000", DOCKERFILE, re.M)
    minimum = PROJECT["requires-python"].removeprefix(">=")
    (python,) = re.findall(r"^FROM python:(\S+)-slim$", DOCKERFILE, re.M)
    assert [int(part) for part in python.split(".")] >= [int(part) for part in minimum.split(".")]


def test_the_packages_of_dagster_are_of_one_release() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (REPOSITORY / "constraints.txt").read_text(), re.M))
    assert (
        pins["dagster-postgres"] == pins["dagster-k8s"] == pins["dagster"].replace("1.", "0.", 1).replace(".13", ".29")
    )
    assert f"--version {pins['dagster']} " in (DEPLOY / "kubernetes" / "values.yaml").read_text()


def test_the_cluster_on_kubernetes_and_the_chart_agree() -> None:
    assert CHART.keys() == CHART_KEYS
    (code,) = CHART["dagster-user-deployments"]["deployments"]
    worker = DASK["spec"]["worker"]["spec"]
    (container,) = worker["containers"]
    assert container["image"] == f"{code['image']['repository']}:{code['image']['tag']}"
    assert DASK["spec"]["scheduler"]["spec"]["containers"][0]["image"] == container["image"]
    assert worker["volumes"] == code["volumes"]
    assert container["volumeMounts"] == code["volumeMounts"]
    assert [source["secretRef"] for source in container["envFrom"]] == code["envSecrets"]
    (port,) = [port["port"] for port in DASK["spec"]["scheduler"]["service"]["ports"] if port["name"] == "tcp-comm"]
    assert code["env"]["DASK_SCHEDULER_ADDRESS"] == f"tcp://{DASK['metadata']['name']}-scheduler:{port}"
    assert CHART["runLauncher"]["type"] == "K8sRunLauncher"


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_for_slurm_asks_for_jobs() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    job = load_module(DEPLOY / "slurm" / "dask_cluster.py").JOB
    with jobqueue.SLURMCluster(**job, scheduler_options={"dashboard_address": "127.0.0.1:0"}) as cluster:
        script = cluster.job_script()
    assert "#SBATCH -p compute" in script
    assert "#SBATCH -t 04:00:00" in script
    assert "--lifetime 210m" in script
