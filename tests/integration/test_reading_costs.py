"""What reading a scene costs, in counts that no machine changes: bytes, requests and memory.

Bounds are for the files here, and about half above what is needed now. Whoever makes reading cheaper lowers them.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.link import Link, emulated_link
from convml_data.geometry.local import LocalDomain
from convml_data.simulate.abi import Allocation
from convml_data.simulate.archive import simulate_archive
from convml_data.sources.base import Interval
from convml_data.sources.goes.source import GoesSource

DOMAIN = LocalDomain(13.3, -57.72, 200e3, 200e3)
SPAN = Interval(datetime(2020, 2, 2, 14), datetime(2020, 2, 2, 14, 5))


class Costs(NamedTuple):
    """Of one scene: bytes and requests as the server counts them, and the most bytes allocated at a time."""

    sent: int
    requests: int
    allocated: int


class Case(NamedTuple):
    """A product, the files that it is read from, and what that may cost."""

    product: str
    channels: tuple[int, ...]
    allocate: Allocation
    simulated: LocalDomain
    bounds: Costs


CASES = [
    # A file of the size of a real one. Values in and around its own domain would lack noise.
    Case("singlechannel__bt_13", (13,), "full", LocalDomain(0, -75, 10e3, 10e3), Costs(500_000, 13, 6_000_000)),
    Case("truecolor_rgb", (1, 2, 3), "domain", DOMAIN, Costs(1_300_000, 17, 17_000_000)),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.product)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def link(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    folder: Path = tmp_path_factory.mktemp("archive")
    simulate_archive(
        folder,
        satellite="goes16",
        sector="F",
        channels=case.channels,
        spans=[SPAN],
        domain=case.simulated,
        allocate=case.allocate,
    )
    with emulated_link(folder, latency_s=0, bytes_per_s=1e12) as link:
        yield link


def test_a_scene_costs_no_more_than_it_must(
    case: Case, link: Link, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in link.environment.items():
        monkeypatch.setenv(name, value)
    source = GoesSource("goes16", case.product, "F", "s3://noaa-goes16", rayleigh_correction=False)
    (scan,) = source.find([SPAN])
    source.read(scan, DOMAIN)  # what is loaded once counts for no scene
    link.counters()
    tracemalloc.start()
    try:
        crop = source.read(scan, DOMAIN)
        _, allocated = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counters = link.counters()
    costs = Costs(counters.sent, counters.requests, allocated)
    assert costs.sent >= crop.attrs["bytes_read"] > 0
    for name, found, bound in zip(Costs._fields, costs, case.bounds, strict=True):
        assert found <= bound, name
