"""Where compiled code is kept, and what happens where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMPUTE = """
import numpy as np
from convml_data.kernels.counts import look_up
values = np.empty(3, np.float32)
look_up(np.array([2, 0, 1], np.uint16), np.array([10, 20, 30], np.float32), values)
print(values.tolist(), bool(look_up.stats.cache_hits))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    # And nowhere else, such as beside the module.
    only = {"NUMBA_CACHE_DIR": str(cache), "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    return subprocess.Popen(
        [sys.executable, "-c", COMPUTE],
        env=os.environ | only,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def test_code_is_compiled_once_for_all_processes(tmp_path: Path) -> None:
    at_once = [start(tmp_path) for _ in range(3)]
    assert {result(process).split("]")[0] for process in at_once} == {"[30.0, 10.0, 20.0"}
    assert result(start(tmp_path)) == "[30.0, 10.0, 20.0] True"


def test_code_that_cannot_be_kept_is_compiled_again(tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("")
    assert result(start(no_folder / "cache")) == "[30.0, 10.0, 20.0] False"


def test_damaged_code_is_compiled_again(tmp_path: Path) -> None:
    result(start(tmp_path))
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    assert result(start(tmp_path)).startswith("[30.0, 10.0, 20.0]")
