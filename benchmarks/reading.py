"""Bytes and requests of one truecolor scene."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import data, ours
from benchmarks.child import run
from benchmarks.link import emulated_link
from benchmarks.rows import Row, at_most

_GOALS = {
    data.SMALL: (at_most(2), at_most(35)),
    data.MIDDLE: (None, None),
    data.LARGE: (at_most(30), at_most(90)),
}


def measure() -> Iterator[Row]:
    """Counted by a server, so that nothing is left out; the listing, which the ledger made, is not part of it."""
    whole = sum(path.stat().st_size for path in data.first_scan(1, 2, 3)) / 1e6
    with emulated_link(data.ARCHIVE, latency_s=0, bytes_per_s=1e12) as link:
        for domain, (bytes_goal, requests_goal) in _GOALS.items():
            folder = str(data.dataset(f"reading-{domain.width}", domain, data.S3))
            run(ours.list_scenes, link.environment, folder=folder)
            link.counters()
            run(ours.scene, link.environment, folder=folder, times=1)
            counters = link.counters()
            case = f"reading a truecolor scene, {domain}"
            yield Row(case, "fetched", counters.sent / 1e6, "MB", bytes_goal)
            yield Row(case, "requests", counters.requests, "", requests_goal)
            yield Row(case, "fetched the original way", whole, "MB")
            yield Row(case, "bytes of the original way / ours", whole / (counters.sent / 1e6))
