"""``python -m benchmarks [NAME …]``: measure all, or what is named, and print and keep one table."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks import data, machine
from benchmarks.child import ROOT
from benchmarks.rows import Row, as_text

#: Modules of this package, each with a function ``measure``.
BENCHMARKS = (
    "importing",
    "reading",
    "scene",
    "latency",
    "pipelined",
    "agreement",
    "regridding",
    "tiles",
    "overhead",
    "planning",
    "growth",
    "embeddings",
)


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
        measured: Iterator[Row] = importlib.import_module(f"benchmarks.{name}").measure()
        rows += [row.to_json(name) for row in measured]
        seconds[name] = round(time.perf_counter() - clock, 1)
    print(as_text(rows))
    if not names:
        path = data.RESULTS / f"{started:%Y-%m-%d}-{about['machine']}.json"
        report = {"started": started.isoformat(timespec="seconds"), **about, "seconds": seconds, "rows": rows}
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        print(f"\nkept in {path.relative_to(ROOT)}; for docs/performance.md: python -m benchmarks.page {path.name}")


def _say(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
