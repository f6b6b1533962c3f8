"""``python -m benchmarks.page NAME.json``: put the table of a results file into docs/performance.md."""

from __future__ import annotations

import argparse
import json

from benchmarks.child import ROOT
from benchmarks.data import RESULTS
from benchmarks.rows import as_markdown

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- table: made by `python -m benchmarks.page` -->", "<!-- end of the table -->"


def main() -> None:
    """Replace what lies between the two marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("name", metavar="NAME.json", help="a file in benchmarks/results")
    report = json.loads((RESULTS / parser.parse_args().name).read_text())
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    about = (
        f"{report['started'][:10]}, commit {report['commit']}: {report['cores']} cores ({report['processor']}), "
        f"{report['memory_gb']:g} GB, Python {report['python']}."
    )
    table = "\n".join(as_markdown(report["rows"]))
    PAGE.write_text(f"{before}{BEGIN}\n\n{about}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    main()
