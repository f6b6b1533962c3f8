"""How long it takes until anything can begin."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.data import COMMAND
from benchmarks.rows import Row, at_most

_TIMES = 7


def measure() -> Iterator[Row]:
    """The least of some processes, less that of a Python that does nothing for the import."""
    nothing = _least(sys.executable, "-c", "")
    imported = _least(sys.executable, "-c", "import convml_data")
    yield Row("import convml_data", f"time, best of {_TIMES}", imported - nothing, "s", at_most(0.3))
    yield Row("convml-data --help", f"time, best of {_TIMES}", _least(str(COMMAND), "--help"), "s", at_most(0.6))


def _least(*command: str) -> float:
    seconds = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
