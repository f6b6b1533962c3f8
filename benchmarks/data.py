"""Files and datasets that the benchmarks share, made where they are missing.

They lie in ``.bench`` beside the package: two full-disk scans of channels 1, 2, 3 and 13 of the size of real files, and
folders with a ``meta.yaml`` each. Many scans are the same two under many names.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import ROOT

COMMAND = Path(sys.executable).with_name("convml-data")
CACHE = ROOT / ".bench"
RESULTS = ROOT / "benchmarks" / "results"
ARCHIVE = CACHE / "archive"
#: As ``archive`` in ``meta.yaml``: on this disk and over the emulated link.
LOCAL, S3 = f"file://{ARCHIVE}/noaa-{{satellite}}", "s3://noaa-{satellite}"

CHANNELS = (1, 2, 3, 13)
FIRST = datetime(2020, 2, 2, 14)
CADENCE = timedelta(minutes=10)
CENTRE = (13.3, -57.72)


@dataclass(frozen=True)
class Domain:
    """A rectangle around ``CENTRE``, sides in km."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} km" if self.width == self.height else f"{self.width} × {self.height} km"


SMALL, MIDDLE, LARGE = Domain(200, 200), Domain(400, 400), Domain(3000, 1000)


def require_archive() -> None:
    """Make the two scans where they are not there yet, which takes a minute."""
    if len(granules("noaa-goes16")) == 2 * len(CHANNELS):
        return
    span = ("--t-start", FIRST.isoformat(), "--t-end", (FIRST + 2 * CADENCE - timedelta(minutes=1)).isoformat())
    # Around the domain of the simulation values have no noise and compress too well.
    place = ("--lat", "0", "--lon", "-75", "--extent", "10e3")
    channels = ("--channels", ",".join(map(str, CHANNELS)))
    command = [str(COMMAND), "simulate", str(ARCHIVE), "--satellite", "goes16"]
    subprocess.run([*command, "--allocate", "full", *channels, *span, *place], check=True, stdout=subprocess.DEVNULL)


def granules(bucket: str) -> list[Path]:
    """All files of a bucket, by name."""
    return sorted((ARCHIVE / bucket).rglob("*.nc"))


def first_scan(*channels: int) -> list[Path]:
    """The files of the first scan."""
    wanted = [f"C{channel:02d}_G16_s{FIRST:%Y%j%H%M}" for channel in channels]
    return [path for path in granules("noaa-goes16") if any(part in path.name for part in wanted)]


def require_many_scans(count: int) -> str:
    """An archive of so many scans, as for ``archive`` over the link; all are the same two files under other names."""
    from convml_data.sources.goes.names import AbiFileName

    name = f"many-{count}"
    if not (ARCHIVE / name).exists():
        originals = [(path, AbiFileName.parse(path.name)) for path in granules("noaa-goes16")]
        partial = ARCHIVE / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for number in range(count):
            for path, of in originals:
                if of.channel == CHANNELS[-1] or (of.start.minute // 10) % 2 != number % 2:
                    continue
                shift = (number - number % 2) * CADENCE
                times = {key: getattr(of, key) + shift for key in ("start", "end", "created")}
                target = partial / replace(of, **times).path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(path)
        partial.rename(ARCHIVE / name)
    return name


def dataset(
    name: str,
    domain: Domain,
    archive: str = LOCAL,
    scans: int = 2,
    product: str = "truecolor_rgb",
    sampling: dict[str, Any] | None = None,
) -> Path:
    """The folder of a dataset, with nothing in it but its ``meta.yaml``."""
    folder = CACHE / "datasets" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    meta = {
        "source": "goes16",
        "product": product,
        "archive": archive,
        "time": {"t_start": FIRST, "t_end": FIRST + scans * CADENCE - timedelta(minutes=1)},
        "domain": {
            "central_latitude": CENTRE[0],
            "central_longitude": CENTRE[1],
            "l_zonal": 1e3 * domain.width,
            "l_meridional": 1e3 * domain.height,
        },
        "sampling": {"resolution": 1000.0, **(sampling or {})},
    }
    if product == "truecolor_rgb":
        # Its tables come from the internet, so that neither side corrects.
        meta["product_options"] = {"rayleigh_correction": False}
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder


def clear(folder: Path) -> None:
    """Remove what was made of a dataset's scenes and is known of their files, as if they were new.

    Index maps and the ledger stay, which many scenes have in common.
    """
    for pattern in (
        "rect",
        "rect.zarr",
        "triplets",
        "source_data/goes16/*/cropped",
        "source_data/goes16/*/chunk_tables",
    ):
        for path in folder.glob(pattern):
            shutil.rmtree(path)
