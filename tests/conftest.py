"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: In the order in which files that have tests with them are begun.
FIRST = ("waits", "slow")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors, for those that wait for a server or for what they killed."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait, then with those that take long: what is left for the end is small."""
    ranks: dict[Path, int] = {}
    for item in items:
        rank = next((number for number, mark in enumerate(FIRST) if item.get_closest_marker(mark)), len(FIRST))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: (ranks[item.path], "integration" not in item.path.parts))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real granules and model output; tests that need them are skipped where they are absent."""
    folder = Path(os.environ.get("CONVML_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CONVML_SHARED_DATA to the folder that holds them")
    return folder.resolve()
