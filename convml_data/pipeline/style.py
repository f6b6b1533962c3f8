"""How a dataset's pictures are drawn: the same for all of its scenes and tiles, worked out once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from convml_data.images.style import GREY, Band, CompositeStyle, FieldStyle, Style, TruecolorStyle, UserStyle
from convml_data.meta.dataset import Dataset
from convml_data.meta.products import Channels, Composite, Truecolor, band_names
from convml_data.pipeline.made_from import scene_fingerprint
from convml_data.sources import source_of
from convml_data.store.dataset import DatasetStore

#: How many scenes, equally spaced in time, the limits come from.
SAMPLE = 5

#: Values beyond these percentiles of the sample are shown as black or white.
PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True)
class _Limits:
    """A band's name and the ends of its scale."""

    name: str
    low: float
    high: float


def dataset_style(store: DatasetStore) -> Style:
    """How ``meta.yaml`` asks for pictures, with limits from a sample of scenes where it gives none.

    Limits are kept on disk, and a longer time span keeps them, so that new pictures can be compared
    with those that are there. Scenes of the sample that cannot be read are passed over: they fail on
    their own. Where none can, nothing is kept.
    """
    return _style(store, lambda: _limits(store))


def known_style(store: DatasetStore) -> Style:
    """As :func:`dataset_style`, but None where limits would have to be taken from scenes first."""
    return _style(store, lambda: _kept_limits(store))


def _style(store: DatasetStore, limits: Callable[[], Sequence[_Limits] | None]) -> Style:
    dataset = store.dataset
    function = dataset.meta.image_function
    if function is None:
        return None
    if function != "default":
        return UserStyle(dataset.functions_file, function, dataset.functions_hash or "")
    match dataset.product:
        case Truecolor():
            return TruecolorStyle()
        case Composite(name=name):
            from convml_data.sources.goes.composites import has_fixed_enhancement

            if has_fixed_enhancement(name):
                return CompositeStyle(name)
    names = band_names(dataset.product)
    image = dataset.meta.image
    if names is not None and image.vmin is not None and image.vmax is not None:
        return _field_style(dataset, [_Limits(name, 0.0, 1.0) for name in names])
    found = limits()
    return None if found is None else _field_style(dataset, found)


def _field_style(dataset: Dataset, limits: Sequence[_Limits]) -> FieldStyle:
    image = dataset.meta.image
    inverted = _bright_when_low(dataset, len(limits)) if image.invert is None else [image.invert] * len(limits)
    bands = []
    for index, (found, invert) in enumerate(zip(limits, inverted, strict=True)):
        low = found.low if image.vmin is None else image.vmin[index % len(image.vmin)]
        high = found.high if image.vmax is None else image.vmax[index % len(image.vmax)]
        high = high if high > low else low + 1.0  # a field without structure is all dark
        bands.append(Band(found.name, high, low) if invert else Band(found.name, low, high))
    return FieldStyle(tuple(bands), image.cmap or GREY)


def _bright_when_low(dataset: Dataset, n_bands: int) -> list[bool]:
    product = dataset.product
    return [field.bright_when_low for field in product.fields] if isinstance(product, Channels) else [False] * n_bands


def _kept_limits(store: DatasetStore) -> Sequence[_Limits] | None:
    name = store.layout.picture_style
    if not store.files.exists(name):
        return None
    return _from_json(store.files.read_bytes(name).decode(), store.dataset.fingerprint("cropped"))


def _limits(store: DatasetStore) -> Sequence[_Limits]:
    kept = _kept_limits(store)
    if kept is not None:
        return kept
    name, fingerprint = store.layout.picture_style, store.dataset.fingerprint("cropped")
    sample = _sample(store)
    limits = [
        _Limits(band, *(float(limit) for limit in np.percentile(values, PERCENTILES)))
        for band, values in sample.items()
        if values.size
    ]
    if not limits or len(limits) < len(sample):
        names = list(sample) or band_names(store.dataset.product) or ["field"]
        return [_Limits(name, 0.0, 1.0) for name in names]
    text = json.dumps({"fingerprint": fingerprint, "bands": [asdict(band) for band in limits]}, indent=1)
    store.files.write_bytes(name, f"{text}\n".encode())
    return limits


def _sample(store: DatasetStore) -> dict[str, npt.NDArray[np.float32]]:
    """Finite values of each band, by its name, over some scenes."""
    rows = store.read_ledger().scenes
    chosen = sorted({round(at) for at in np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows)))})
    source, arrays = source_of(store.dataset), store.scenes(["cropped"])
    found: dict[str, list[npt.NDArray[np.float32]]] = {}
    for number in chosen:
        row = rows[number]
        try:
            if (arrays.attributes(row.scene_id) or {}).get("fingerprint") == scene_fingerprint(
                store.dataset, "cropped", row
            ):
                with arrays.open(row.scene_id) as stored:
                    scene = stored.load()
            else:
                scene = source.read(row.scan, store.dataset.domain)
        except Exception:  # which the scene will meet itself, and report
            continue
        (field,) = scene.data_vars.values()
        names = [str(field.name)] if "bands" not in field.dims else [str(name) for name in field["bands"].values]
        for name, values in zip(names, field.values.reshape(len(names), -1), strict=True):
            found.setdefault(name, []).append(values[np.isfinite(values)])
    return {name: np.concatenate(values) for name, values in found.items()}


def _from_json(text: str, fingerprint: str) -> list[_Limits] | None:
    """Limits that were kept, None unless they are of these settings and readable."""
    try:
        values = json.loads(text)
        if values["fingerprint"] != fingerprint:
            return None
        return [_Limits(str(row["name"]), float(row["low"]), float(row["high"])) for row in values["bands"]]
    except (ValueError, KeyError, TypeError):
        return None
