"""Who works on something keeps others from it, and nobody who is gone does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from convml_data.errors import StoreError
from convml_data.store.claims import claimed
from convml_data.store.files import Files

HOLD = """
import sys, time
from convml_data.store.claims import claimed
from convml_data.store.files import Files
with claimed(Files(sys.argv[1]), "rect/scene"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_of_many_at_once_one_works_and_nothing_is_left(tmp_path: Path) -> None:
    files, inside, most = Files(str(tmp_path)), [], 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        for _ in range(20):
            with claimed(files, "rect/scene"):
                with lock:
                    inside.append(1)
                    most = max(most, len(inside))
                time.sleep(0.0005)
                with lock:
                    inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_other_names_do_not_wait(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    with claimed(files, "rect/one"), claimed(files, "rect/other"):
        pass


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    entered = threading.Event()

    def wait() -> None:
        with claimed(Files(str(tmp_path)), "rect/scene"):
            entered.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert not entered.wait(0.3)
    process.kill()
    process.wait()
    assert entered.wait(10)


def test_what_cannot_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / ".partial").write_text("no folder")
    with pytest.raises(StoreError, match="cannot be locked"), claimed(Files(str(tmp_path)), "rect/scene"):
        pass


def test_a_root_that_is_no_folder_has_no_claims() -> None:
    files = Files("memory://claims")
    with claimed(files, "scene"), claimed(files, "scene"):
        assert files.names("**") == []
