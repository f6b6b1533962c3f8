"""Sets of embeddings on disk, made up, of a dataset whose scenes are shared out to collections."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import yaml

from convml_data.meta.dataset import load_dataset
from convml_data.pipeline.tiles import make_tile_plan
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan
from convml_data.sources import source_of
from convml_data.store.arrays import write_zarr
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.own_netcdf import write_netcdf

FIRST = datetime(2020, 2, 2, 14)
N_SCENES = 6
EMB_DIM = 12
NY, NX = 4, 5
#: Window (scene, y, x) whose embedding is missing.
MISSING = (1, 2, 3)
WINDOWS = "net.rect-slidingwindow.step_size__10"
TRIPLETS = "net.triplets"
META: dict[str, Any] = {
    "source": "goes16",
    "type": "singlechannel__bt_13",
    "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=10 * N_SCENES - 1)},
    "domain": {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 120e3, "l_meridional": 120e3},
    "sampling": {
        "resolution": 2000.0,
        "triplets": {"N_triplets": {"train": 8, "study": 4}, "tile_N": 16},
    },
}


def scene_ids() -> list[str]:
    return [f"goes16__{FIRST + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(N_SCENES)]


def made_dataset(folder: Path, meta: Mapping[str, Any] = META) -> DatasetStore:
    """A dataset with a ledger and, where it has triplets, a plan of them; nothing is cropped."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(dict(meta), sort_keys=False))
    store = DatasetStore.of(load_dataset(folder))
    starts = [FIRST + timedelta(minutes=10 * number) for number in range(N_SCENES)]
    scans = [Scan(start, start + timedelta(minutes=9), "goes16", 6, {}, None) for start in starts]
    rows = tuple(LedgerRow(scene_id, scan) for scene_id, scan in zip(scene_ids(), scans, strict=True))
    archive, settings = source_of(store.dataset).archive, store.dataset.fingerprint("scene_ids")
    store.write_ledger(Ledger(store.dataset.meta.source, store.dataset.meta.product, archive, settings, rows))
    if store.dataset.meta.sampling.triplets is not None:
        make_tile_plan(store)
    return store


def points(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Embeddings in three groups that lie far apart, shape (count, EMB_DIM)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 10, (3, EMB_DIM)) if seed == 0 else np.random.default_rng(0).normal(0, 10, (3, EMB_DIM))
    return (centres[np.arange(count) % 3] + rng.normal(0, 0.5, (count, EMB_DIM))).astype(np.float32)


def attributes(sha256: str = "a" * 64) -> dict[str, Any]:
    return {
        "model": "net",
        "model_sha256": sha256,
        "normalisation": "mean 0, 0, 0 std 1, 1, 1",
        "model_format": "onnx",
        "step_size": 10,
        "tile_nx": 16,
        "tile_ny": 16,
        "lx_tile": 32e3,
        "ly_tile": 32e3,
        "tiles_kind": "rect-slidingwindow",
        "dataset": "made",
        "fingerprint": "0" * 12,
    }


def windows(seed: int = 0, **changes: Any) -> xr.Dataset:
    """Windows of all scenes, (scene_id, emb_dim, y, x), one of which is missing."""
    emb = points(N_SCENES * NY * NX, seed).reshape(N_SCENES, NY, NX, EMB_DIM).copy()
    emb[MISSING] = np.nan
    x, y = (np.arange(count) * 20e3 - 40e3 for count in (NX, NY))
    times = np.array([FIRST + timedelta(minutes=10 * number) for number in range(N_SCENES)], "datetime64[ns]")
    coords = {
        "scene_id": scene_ids(),
        "scene_time": ("scene_id", times),
        "x": ("x", x, {"units": "m"}),
        "y": ("y", y, {"units": "m"}),
        "lat": (("y", "x"), np.add.outer(y, 0 * x) / 111e3 + 13.3),
        "lon": (("y", "x"), np.add.outer(0 * y, x) / 108e3 - 57.72),
        "i0": ("x", np.arange(NX) * 10),
        "j0": ("y", np.arange(NY) * 10),
    }
    emb = np.moveaxis(emb, -1, 1)
    return xr.Dataset({"emb": (("scene_id", "emb_dim", "y", "x"), emb)}, coords, attributes() | changes)


def triplets(store: DatasetStore, seed: int = 0) -> xr.Dataset:
    """Tiles of all triplets of the plan, (tile_id, emb_dim)."""
    tiles = store.read_tile_plan().tiles
    of = {
        name: ("tile_id", [getattr(tile, attribute) for tile in tiles])
        for name, attribute in (
            ("collection", "collection"),
            ("triplet_id", "triplet_id"),
            ("tile_type", "tile_type"),
            ("scene_id", "scene_id"),
            ("x", "x_c"),
            ("y", "y_c"),
        )
    }
    ids = [f"{tile.collection}/{tile.name}" for tile in tiles]
    return xr.Dataset(
        {"emb": (("tile_id", "emb_dim"), points(len(tiles), seed))},
        {"tile_id": ids, **of},
        attributes() | {"tiles_kind": "triplets"},
    )


def keep(store: DatasetStore, set_name: str, data: xr.Dataset, *, netcdf: bool = False) -> EmbeddingStore:
    """Write the embeddings of all scenes of a set."""
    embeddings = EmbeddingStore(store.files, set_name)
    with store.files.writing(embeddings.all_name("netcdf" if netcdf else "zarr")) as path:
        (write_netcdf if netcdf else write_zarr)(path, data)
    return embeddings
