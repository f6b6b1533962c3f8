"""Simulating an archive: all files of the scans that start in given spans."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from convml_data.geometry.local import LocalDomain
from convml_data.simulate.abi import Allocation, write_granule
from convml_data.simulate.sectors import satellite_of, scan_starts
from convml_data.sources.base import Interval


def bucket_of(directory: Path, satellite: str) -> Path:
    """The folder in a directory that stands for a satellite's bucket."""
    return directory / f"noaa-{satellite}"


def simulate_archive(
    directory: Path,
    *,
    satellite: str,
    sector: str,
    channels: Sequence[int],
    spans: Sequence[Interval],
    domain: LocalDomain,
    allocate: Allocation = "domain",
) -> list[Path]:
    """Write the files of some channels of all scans that start in the spans.

    The same arguments give the same bytes. Files that are there already are replaced.

    Parameters
    ----------
    directory
        Gets a folder ``noaa-<satellite>`` in the layout of the public bucket.
    satellite, sector, channels, domain, allocate
        As for :func:`~convml_data.simulate.abi.write_granule`.
    spans
        When scans start, UTC, ends included.

    Returns
    -------
    list of Path
        Files by scan and channel; empty where no scan starts in the spans.

    Raises
    ------
    ConvmlError
        As :func:`~convml_data.simulate.abi.write_granule`.
    """
    satellite_of(satellite)
    root = bucket_of(directory, satellite)
    granules = list(itertools.product(scan_starts(sector, spans), dict.fromkeys(channels)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            pool.map(
                lambda granule: write_granule(
                    root,
                    satellite=satellite,
                    sector=sector,
                    start=granule[0],
                    channel=granule[1],
                    domain=domain,
                    allocate=allocate,
                ),
                granules,
            )
        )
