"""Work in a Python of its own: what it takes includes nothing of what ran before.

``run(function, …)`` calls a function of a module there. Its arguments and what it returns are what JSON can hold.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Measured:
    """What a function returned, and what the process took: seconds, seconds of CPU, peak of resident memory in MB."""

    result: Any
    seconds: float
    cpu_s: float
    peak_mb: float


def run(function: Callable[..., Any], environment: Mapping[str, str] | None = None, **arguments: Any) -> Measured:
    """Call a function in a new process; RuntimeError with what it printed where that fails."""
    name = f"{function.__module__}:{function.__qualname__}"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", __name__, name, json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")
    return Measured(seconds=seconds, **json.loads(done.stdout.splitlines()[-1]))


def repeated(work: Callable[[], Any], times: int, before: Callable[[], Any] = lambda: None) -> dict[str, float]:
    """Seconds of the first time that work is done in this process, and the least of all; ``before`` is free."""
    seconds, cpu = [], []
    for _ in range(times):
        before()
        started, cpu_started = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    return {"first_s": seconds[0], "best_s": min(seconds), "best_cpu_s": min(cpu), "times": times}


def _peak_mb() -> float:
    # Not `getrusage`, whose peak begins with that of the parent.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _main() -> None:
    name, arguments = sys.argv[1:]
    module, _, function = name.partition(":")
    result = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    report = {"result": result, "cpu_s": sum(os.times()[:4]), "peak_mb": _peak_mb()}
    sys.stdout.write(f"\n{json.dumps(report)}\n")


if __name__ == "__main__":
    _main()
