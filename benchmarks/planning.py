"""The ledger and the plan of tiles of very many scenes, once the archive has been listed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks import data
from benchmarks.child import repeated, run
from benchmarks.rows import Row, at_most
from convml_data.scenes.ledger import Scan, SourceFile

SCENES = 50_000
_TIMES = 2


def measure() -> Iterator[Row]:
    """Six triplets for every hundred scenes."""
    sampling = {"triplets": {"N_triplets": {"train": SCENES // 20, "study": SCENES // 100}, "tile_N": 64}}
    folder = data.dataset("planning", data.SMALL, scans=SCENES, sampling=sampling)
    measured = run(ledger_and_plan, folder=str(folder))
    case = f"ledger and plan of {SCENES:,} scenes, listing at hand"
    yield Row(case, f"ledger, best of {_TIMES}", measured.result["ledger"]["best_s"], "s")
    yield Row(case, f"plan, best of {_TIMES}", measured.result["plan"]["best_s"], "s")
    yield Row(case, "both", sum(part["best_s"] for part in measured.result.values()), "s", at_most(5))
    yield Row(case, "peak memory", measured.peak_mb, "MB")


def ledger_and_plan(folder: str) -> dict[str, Any]:
    """Make both for scans that no archive has."""
    from convml_data.meta.dataset import load_dataset
    from convml_data.pipeline.discovery import make_ledger
    from convml_data.pipeline.tiles import make_tile_plan
    from convml_data.sources.goes.source import GoesSource
    from convml_data.store.dataset import DatasetStore

    scans = [_scan(number) for number in range(SCENES)]
    store = DatasetStore.of(load_dataset(Path(folder)))
    with patch.object(GoesSource, "find", return_value=scans):
        ledger = repeated(lambda: make_ledger(store), _TIMES)
    return {"ledger": ledger, "plan": repeated(lambda: make_tile_plan(DatasetStore.of(store.dataset)), _TIMES)}


def _scan(number: int) -> Scan:
    start = data.FIRST + number * data.CADENCE + timedelta(seconds=20)
    folder = f"s3://noaa-goes16/ABI-L1b-RadF/{start:%Y/%j/%H}"
    names = {channel: f"OR_ABI-L1b-RadF-M6C{channel:02d}_G16_s{start:%Y%j%H%M%S}0.nc" for channel in (1, 2, 3)}
    files = {str(channel): SourceFile(f"{folder}/{name}", 100_000_000) for channel, name in names.items()}
    return Scan(start, start + timedelta(seconds=570), "goes16", 6, files)
