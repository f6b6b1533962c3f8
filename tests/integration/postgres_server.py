"""A real Postgres server on the loopback interface, of Debian's package or any other on the path."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER, DATABASE = "dagster", "dagster"


def postgres_programs() -> Path:
    """The folder of ``initdb`` and ``postgres``; the test is skipped where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("POSTGRES IS NOT INSTALLED: nothing of a team's installation is tested; apt-get install postgresql")
    return folders[-1]


@contextmanager
def postgres_server() -> Iterator[int]:
    """A server with an empty database that trusts whoever comes; gives its port."""
    import psycopg2

    programs = postgres_programs()
    # It refuses to be root, and others may not look into the folders of pytest.
    somebody: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="convml-postgres-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        somebody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = folder / "data"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    subprocess.run(
        [programs / "initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync"],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        **somebody,
    )
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
            cwd=folder,
            stdout=log,
            stderr=log,
            **somebody,
        )
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    connection = psycopg2.connect(host="127.0.0.1", port=port, user=USER, dbname="postgres")
                    break
                except psycopg2.OperationalError:
                    assert time.monotonic() < deadline, (folder / "postgres.log").read_text()
                    time.sleep(0.1)
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
            connection.close()
            yield port
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            shutil.rmtree(folder)
