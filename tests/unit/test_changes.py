"""Why something is out of date, in the words of meta.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convml_data.meta import dataset as dataset_module
from convml_data.meta.changes import OTHER_CODE, Settings, what_changed
from convml_data.meta.dataset import Dataset
from convml_data.meta.models import Meta

BASE: dict[str, Any] = {
    "source": "goes16",
    "product": "truecolor_rgb",
    "time": {"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:30"},
    "domain": {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 2e5, "l_meridional": 2e5},
    "sampling": {"resolution": 1000.0, "triplets": {"N_triplets": {"train": 10}, "tile_N": 64}},
    "aux_products": {"top": {"source": "goes16", "product": "ACHA"}},
}


def dataset(**sections: Any) -> Dataset:
    return Dataset("islands", Path("/data/islands"), Meta.model_validate(BASE | sections))


def sampling(**keys: Any) -> dict[str, Any]:
    return {"sampling": BASE["sampling"] | keys}


def triplets(**keys: Any) -> dict[str, Any]:
    return sampling(triplets=BASE["sampling"]["triplets"] | keys)


@pytest.mark.parametrize(
    ("after", "stage", "expected"),
    [
        (sampling(resolution=2000.0), "regridded", ("sampling.resolution: 1000.0 → 2000.0",)),
        (sampling(method="nearest"), "regridded", ("sampling.method: not given → nearest",)),
        (triplets(tile_N=32), "tile_plan", ("sampling.triplets.tile_N: 64 → 32",)),
        (
            triplets(N_triplets={"train": 10, "study": 2}),
            "tile_plan",
            ("sampling.triplets.N_triplets.study: not given → 2",),
        ),
        (
            {"product_options": {"rayleigh_correction": False}},
            "cropped",
            ("product_options: not given → {'rayleigh_correction': false}",),
        ),
        ({"quality": "any"}, "cropped", ("quality: not given → {'flags': 'any'}",)),
        (
            {"domain": BASE["domain"] | {"l_zonal": 1e5}, **sampling(seed=3)},
            "regridded",
            ("domain.l_zonal: 200000.0 → 100000.0",),
        ),
        (
            {"source": "ceres", "product": "goes16n__broadband_shortwave_albedo", **sampling(resolution=2000.0)},
            "cropped",
            ("source: goes16 → ceres", "product: truecolor_rgb → goes16n__broadband_shortwave_albedo"),
        ),
        ({"sector": "C", "run": {"max_scenes": 5}}, "scene_ids", ("sector: not given → C",)),
    ],
)
def test_the_keys_that_matter_to_the_stage(after: dict[str, Any], stage: str, expected: tuple[str, ...]) -> None:
    before, now = dataset(), dataset(**after)
    assert before.fingerprint(stage) != now.fingerprint(stage)
    assert what_changed(Settings.of(before), now, stage) == expected
    assert Settings.from_json(Settings.of(before).to_json()) == Settings.of(before)
    assert Settings.of(before).dataset(now).fingerprint(stage) == before.fingerprint(stage)


def test_an_auxiliary_product_has_its_own_keys() -> None:
    before = dataset().aux("top")
    changed = {"aux_products": {"top": {"source": "goes16", "product": "ACHT"}}}
    now = dataset(**changed).aux("top")
    assert what_changed(Settings.of(before), now, "cropped") == ("aux_products.top.product: ACHA → ACHT",)


def test_files_beside_meta_yaml() -> None:
    meta = {"product": "user_function", "input": ["bt_13"]}
    before = replace(dataset(**meta), functions_hash="a")
    now = replace(before, functions_hash="b")
    assert what_changed(Settings.of(before), now, "cropped") == ("user_functions.py changed",)


def test_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.of(dataset())
    monkeypatch.setitem(dataset_module.CODE_VERSIONS, "regridded", 99)
    assert what_changed(before, dataset(), "regridded") == (OTHER_CODE,)
    assert what_changed(before, dataset(**sampling(resolution=500.0)), "regridded") == (
        "sampling.resolution: 1000.0 → 500.0",
    )
