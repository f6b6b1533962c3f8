"""How far the collections of triplets lie apart, kept as a report beside the dataset."""

from __future__ import annotations

import json

from convml_data.store.dataset import DatasetStore
from convml_data.tiles.leakage import LeakageReport, leakage
from convml_data.tiles.plan import TilePlan


def make_leakage_report(store: DatasetStore, plan: TilePlan) -> LeakageReport:
    """Measure the distances between a plan's collections, and keep them as JSON and as a table."""
    report = leakage(plan.scenes, plan.tiles)
    values = {"fingerprint": plan.fingerprint, "left_over": dict(plan.left_over), **report.to_dict()}
    store.files.write_bytes(store.layout.leakage_report, (json.dumps(values, indent=1) + "\n").encode())
    table = store.layout.leakage_report.replace(".json", ".md")
    store.files.write_bytes(table, f"# Leakage between collections\n\n{report.to_markdown()}\n".encode())
    return report
