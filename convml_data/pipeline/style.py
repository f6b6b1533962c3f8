"""How a dataset's pictures are drawn: the same for all of its scenes and tiles, worked out once."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from convml_data.errors import ConvmlError, StoreError
from convml_data.images.picture import Band, Style
from convml_data.meta.products import Channels, parse_product
from convml_data.sources import source_of
from convml_data.store.dataset import DatasetStore

#: How many scenes, equally spaced in time, the limits come from.
SAMPLE = 5

#: Values beyond these percentiles of the sample are shown as black or white.
PERCENTILES = (1.0, 99.0)


def dataset_style(store: DatasetStore) -> Style:
    """The style on disk, worked out from a sample of scenes and kept where there is none of these settings.

    A longer time span keeps it, so that new pictures can be compared with those that are there.
    Scenes of the sample that cannot be read are passed over: they fail on their own. Where none can,
    nothing is kept.
    """
    product = parse_product(store.dataset.meta.product)
    if not isinstance(product, Channels):
        return None
    name, fingerprint = store.layout.picture_style, store.dataset.fingerprint("cropped")
    if store.files.exists(name):
        made_from, kept = _from_json(store.files.read_bytes(name).decode(), store.files.url(name))
        if made_from == fingerprint:
            return kept
    sample = _sample(store, len(product.fields))
    if not all(values.size for values in sample):
        return tuple(Band(field.name, 0.0, 1.0) for field in product.fields)
    bands = []
    for field, values in zip(product.fields, sample, strict=True):
        low, high = (float(limit) for limit in np.percentile(values, PERCENTILES))
        high = high if high > low else low + 1.0  # a field without structure is all dark
        bands.append(Band(field.name, high, low) if field.bright_when_low else Band(field.name, low, high))
    store.files.write_bytes(name, _to_json(fingerprint, tuple(bands)).encode())
    return tuple(bands)


def _sample(store: DatasetStore, n_bands: int) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Finite values of each band over some scenes."""
    rows = store.read_ledger().scenes
    chosen = sorted({round(at) for at in np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows)))})
    source = source_of(store.dataset)
    found: list[list[np.ndarray[tuple[int], np.dtype[np.float32]]]] = [[] for _ in range(n_bands)]
    for number in chosen:
        try:
            scene = source.read(rows[number].scan, store.dataset.domain)
        except ConvmlError:
            continue
        (field,) = scene.data_vars.values()
        for band, values in zip(found, field.values.reshape(n_bands, -1), strict=True):
            band.append(values[np.isfinite(values)])
    return [np.concatenate(band) if band else np.empty(0, np.float32) for band in found]


def _to_json(fingerprint: str, bands: tuple[Band, ...]) -> str:
    return json.dumps({"fingerprint": fingerprint, "bands": [asdict(band) for band in bands]}, indent=1) + "\n"


def _from_json(text: str, where: str) -> tuple[str, tuple[Band, ...]]:
    try:
        values = json.loads(text)
        return values["fingerprint"], tuple(
            Band(str(row["name"]), float(row["dark"]), float(row["bright"])) for row in values["bands"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"this does not say how pictures are drawn ({error})",
            where=where,
            remedy="Delete it to have it made anew",
        ) from error
