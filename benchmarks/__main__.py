"""``python -m benchmarks [NAME …]``: measure all, or what is named, and print and keep one table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks import (
    agreement,
    data,
    growth,
    importing,
    latency,
    machine,
    overhead,
    pipelined,
    planning,
    reading,
    regridding,
    scene,
    tiles,
)
from benchmarks.child import ROOT
from benchmarks.rows import Row, as_text

BENCHMARKS: dict[str, Callable[[], Iterator[Row]]] = {
    "importing": importing.measure,
    "reading": reading.measure,
    "scene": scene.measure,
    "latency": latency.measure,
    "pipelined": pipelined.measure,
    "agreement": agreement.measure,
    "regridding": regridding.measure,
    "tiles": tiles.measure,
    "overhead": overhead.measure,
    "planning": planning.measure,
    "growth": growth.measure,
}
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Run the benchmarks that are named, all without a name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; use {', '.join(BENCHMARKS)}")

    about = machine.describe()
    started = datetime.now(UTC)
    _say("files")
    data.require_archive()
    rows: list[dict[str, Any]] = []
    seconds = {}
    for name in names or BENCHMARKS:
        _say(name)
        clock = time.perf_counter()
        rows += [row.to_json(name) for row in BENCHMARKS[name]()]
        seconds[name] = round(time.perf_counter() - clock, 1)
    print(as_text(rows))
    if not names:
        path = RESULTS / f"{started:%Y-%m-%d}-{about['machine']}.json"
        report = {"started": started.isoformat(timespec="seconds"), **about, "seconds": seconds, "rows": rows}
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        print(f"\nkept in {path.relative_to(ROOT)}; for docs/performance.md: python -m benchmarks.page {path.name}")


def _say(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
