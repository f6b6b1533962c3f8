"""The card of a dataset: a README of Markdown with a head of YAML, as dataset hubs show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from convml_data.errors import StoreError
from convml_data.export.geoparquet import KINDS, planned_tiles, tiles_there
from convml_data.export.whole_files import writing
from convml_data.geometry.local import Domain, LocalDomain
from convml_data.markdown import markdown_table
from convml_data.meta.data import GOES_SOURCES
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import Splitting
from convml_data.report.statistics import Statistics
from convml_data.sources.base import OPEN_END
from convml_data.store.dataset import DatasetStore

#: Reasons for which scans were dropped that are listed one by one.
MOST_REASONS = 20

GOES_ARCHIVE = "https://registry.opendata.aws/noaa-goes/"

#: Of works of the United States government, in the words of dataset hubs.
GOES_LICENCE = {"license": "other", "license_name": "public-domain", "license_link": GOES_ARCHIVE}

#: Numbers of samples by which dataset hubs sort, each with the number that is too large for it.
SIZES = {
    "n<1K": 10**3,
    "1K<n<10K": 10**4,
    "10K<n<100K": 10**5,
    "100K<n<1M": 10**6,
    "1M<n<10M": 10**7,
    "10M<n<100M": 10**8,
    "100M<n<1B": 10**9,
}

SPLITTINGS: dict[Splitting, str] = {
    "random_by_relative_sample_size": "scenes one by one at random, in proportion to the triplets of each collection",
    "by_time_block": "whole blocks of time at random, with a guard between scenes of different collections",
    "by_intervals": "by the intervals of time that `meta.yaml` gives each collection",
    "stable_hash": "each scene by its own hash, whichever other scenes there are",
}


@dataclass(frozen=True)
class CardFacts:
    """What the card tells.

    Parameters
    ----------
    name
        Of the dataset, and of the auxiliary product where the card is of one.
    scenes_folder, triplets_folder
        Where scenes on the domain's grid and triplets lie, relative to the dataset's root.
    whole_triplets
        Whether all three tiles of each triplet are there, as of the dataset's own product.
    source, product
        Of the data.
    satellites
        That the scenes are from.
    aux_products
        Source and product of each auxiliary product, by name.
    spans
        The spans of time that were asked for, UTC, or else from the first to the last scene.
    domain
        The area, None where it is not found out yet.
    resolution
        Of a cell, metres.
    scenes
        How many there are.
    drops
        How many scans were dropped for each reason, most frequent first.
    unread
        How many scenes could not be read when that was last tried.
    tiles
        How many there are, by kind and collection (empty for kinds without).
    planned
        How many there are to be.
    splitting
        How scenes were shared out to collections, None where there are no triplets.
    statistics
        Of collections, as far as they were made.
    packed
        Whether tiles are in a Zarr store for each collection.
    meta
        The text of ``meta.yaml``.
    """

    name: str
    scenes_folder: str
    triplets_folder: str
    whole_triplets: bool
    source: str
    product: str
    satellites: tuple[str, ...]
    aux_products: Mapping[str, tuple[str, str]]
    spans: tuple[tuple[datetime, datetime], ...]
    domain: Domain | None
    resolution: float
    scenes: int
    drops: Mapping[str, int]
    unread: int
    tiles: Mapping[tuple[str, str], int]
    planned: Mapping[tuple[str, str], int]
    splitting: Splitting | None
    statistics: tuple[Statistics, ...]
    packed: bool
    meta: str


def write_card(store: DatasetStore, path: Path, statistics: Sequence[Statistics] = ()) -> None:
    """Write the card of a dataset; StoreError where there is no scene ledger or the file cannot be written."""
    text = card_text(card_facts(store, statistics))
    with writing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def card_facts(store: DatasetStore, statistics: Sequence[Statistics] = ()) -> CardFacts:
    """What a dataset's files tell about it; StoreError where there is no scene ledger."""
    dataset, meta = store.dataset, store.dataset.meta
    ledger = store.read_ledger()
    starts = [row.scan.start for row in ledger.scenes]
    spans = [(span.start, span.end) for span in meta.time.spans()] if meta.time is not None else []
    if not spans and starts:
        spans = [(min(starts), max(starts))]
    triplets = meta.sampling.triplets
    try:
        text = (dataset.directory / META_NAME).read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"this cannot be read ({error.strerror or error})", where=str(dataset.directory / META_NAME)
        ) from error
    return CardFacts(
        name=dataset.name if dataset.aux_name is None else f"{dataset.name}/{dataset.aux_name}",
        scenes_folder=store.layout.folder(["regridded"]),
        triplets_folder=store.tile_folder("triplet_tiles"),
        whole_triplets=store.shows_whole_triplets("triplet_tiles"),
        source=meta.source,
        product=meta.product,
        satellites=tuple(sorted({row.scan.satellite for row in ledger.scenes})),
        aux_products={name: (aux.source, aux.product) for name, aux in meta.aux_products.items()},
        spans=tuple(spans),
        domain=dataset.domain if dataset.is_located else None,
        resolution=meta.sampling.resolution,
        scenes=len(ledger.scenes),
        drops=ledger.drops(),
        unread=sum(row.problem is not None for row in ledger.scenes),
        tiles=Counter((KINDS[stage], tile.collection) for stage, tile, _ in tiles_there(store)),
        planned=Counter((KINDS[stage], tile.collection) for stage, tile in planned_tiles(store)),
        splitting=None if triplets is None else triplets.scene_collections_splitting,
        statistics=tuple(statistics),
        packed=store.packs,
        meta=text,
    )


def card_text(facts: CardFacts) -> str:
    """The card in Markdown."""
    parts = [
        f"---\n{yaml.safe_dump(_head(facts), sort_keys=False, allow_unicode=True)}---",
        f"# {facts.name}",
        markdown_table(["", ""], _overview(facts)),
        _licence(facts),
        "## Scenes",
        _scenes(facts),
        "## Tiles",
        _tiles(facts),
    ]
    for statistics in facts.statistics:
        of = statistics.collection or "all tiles"
        parts += [f"## Statistics of {of}", f"From {statistics.tiles} tiles.", _statistics(statistics)]
    parts += ["## How to load it", _loading(facts), "## How it was made", f"```yaml\n{facts.meta.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _head(facts: CardFacts) -> dict[str, Any]:
    count = sum(facts.tiles.values())
    size = next((name for name, limit in SIZES.items() if count < limit), "1B<n<10B")
    return {
        "pretty_name": facts.name,
        **(GOES_LICENCE if _others_than_goes(facts) == [] else {}),
        "size_categories": [size],
        "tags": ["earth observation", "meteorology", facts.source, facts.product],
    }


def _overview(facts: CardFacts) -> list[list[str]]:
    rows = [["source", facts.source], ["product", facts.product]]
    if facts.satellites:
        rows.append(["satellites", ", ".join(facts.satellites)])
    for name, (source, product) in facts.aux_products.items():
        rows.append([f"auxiliary product {name}", f"{product} from {source}"])
    for start, end in facts.spans:
        rows.append(["time, UTC", f"{start.isoformat()} to {'open' if end == OPEN_END else end.isoformat()}"])
    if facts.domain is not None:
        rows.append(["domain", _area(facts.domain)])
    return [*rows, ["resolution", f"{facts.resolution:g} m"]]


def _area(domain: Domain) -> str:
    size = f"{domain.l_zonal / 1000:g} km from west to east, {domain.l_meridional / 1000:g} km from south to north"
    if not isinstance(domain, LocalDomain):
        return f"{size}, on the plane of the model"
    north, east = domain.central_latitude, domain.central_longitude
    return (
        f"{size}, around {abs(north):g}° {'N' if north >= 0 else 'S'}, {abs(east):g}° {'E' if east >= 0 else 'W'}, "
        "on the Lambert azimuthal equal-area plane that touches the earth there (WGS84)"
    )


def _licence(facts: CardFacts) -> str:
    others = _others_than_goes(facts)
    sentences = [f"The licence of the data from {source} is not recorded in this dataset." for source in others]
    if facts.source in GOES_SOURCES:
        sentences.insert(
            0,
            "NOAA's GOES data are in the public domain as works of the United States government "
            f"([archive]({GOES_ARCHIVE})).",
        )
    return " ".join(sentences)


def _others_than_goes(facts: CardFacts) -> list[str]:
    sources = {facts.source, *(source for source, _ in facts.aux_products.values())}
    return sorted(sources.difference(GOES_SOURCES))


def _scenes(facts: CardFacts) -> str:
    text = f"There are {facts.scenes} scenes; {sum(facts.drops.values())} scans were dropped."
    if facts.unread:
        text += f" Of the scenes, {facts.unread} could not be read and have no data."
    if not facts.drops:
        return text
    listed = list(facts.drops.items())
    rows = [[reason, str(count)] for reason, count in listed[:MOST_REASONS]]
    others = listed[MOST_REASONS:]
    if others:
        rows.append([f"{len(others)} other reasons", str(sum(count for _, count in others))])
    return f"{text}\n\n{markdown_table(['dropped because', 'scans'], rows)}"


def _tiles(facts: CardFacts) -> str:
    if not facts.planned:
        return "There are none: the dataset is one of whole scenes."
    rows = [
        [kind, collection or "–", str(facts.tiles.get((kind, collection), 0)), str(planned)]
        for (kind, collection), planned in sorted(facts.planned.items())
    ]
    text = markdown_table(["kind", "collection", "tiles", "planned"], rows)
    if facts.splitting is None:
        return text
    return (
        f"{text}\n\nNo scene is in two collections. They were shared out by `{facts.splitting}`: "
        f"{SPLITTINGS[facts.splitting]}."
    )


def _statistics(statistics: Statistics) -> str:
    head = ["band", "units", "mean", "std", "min", "max", "values", "missing"]
    rows = [
        [
            name,
            statistics.units[name] or "–",
            *(f"{value:.6g}" for value in (band.mean, band.std, band.min, band.max)),
            str(band.count),
            str(band.missing),
        ]
        for name, band in statistics.bands.items()
    ]
    return markdown_table(head, rows)


def _loading(facts: CardFacts) -> str:
    triplets = {collection: count for (kind, collection), count in facts.tiles.items() if kind == "triplet"}
    collection = max(triplets, key=lambda name: triplets[name], default=None)
    if collection is None:
        return f"""Scenes on the domain's grid are `(…, y, x)` with y ascending to the north, as netCDF-4:

```python
import xarray as xr

scene = xr.open_dataset("{facts.scenes_folder}/<scene ID>.nc", engine="h5netcdf")
```

or, where `meta.yaml` asks for Zarr, in `{facts.scenes_folder}.zarr/`."""
    folder = f"{facts.triplets_folder}/{collection}"
    tiles = f"""Tiles are netCDF-4 files, `(…, y, x)` with y ascending to the north, and pictures with north at the top:

```python
import xarray as xr

tile = xr.open_dataset("{folder}/00000_anchor.nc", engine="h5netcdf")
```"""
    if facts.packed:
        tiles = f"""Tiles are in a Zarr store for each collection, `(…, y, x)` with y ascending to the north:

```python
from convml_data.store.files import Files
from convml_data.store.packed_tiles import PackedTiles

tile = PackedTiles(Files("."), "{folder}").open("00000_anchor")  # an xarray.Dataset
```"""
    return f"""{tiles}

As tensors `(bands, y, x)` with north at the top, with `pip install 'convml-data[torch]'`:

```python
{_as_tensors(facts.whole_triplets, collection, folder)}
```"""


def _as_tensors(whole_triplets: bool, collection: str, folder: str) -> str:
    if not whole_triplets:  # some scenes have no image
        return f"""from convml_data.torch import TileDataset

tile = TileDataset(".", "{folder}")[0]"""
    return f"""from convml_data.torch import TripletDataset

anchor, neighbor, distant = TripletDataset(".", "{collection}")[0]"""
