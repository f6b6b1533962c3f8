from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convml_data.geometry.local import LocalDomain
from convml_data.tiles.placement import centre_box
from convml_data.tiles.plan import plan_triplets


def scene_ids(count: int) -> list[str]:
    start = datetime(2019, 12, 31, 20)
    return [f"goes16__{start + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(count)]


@given(
    latitude=st.floats(-70, 70),
    longitude=st.floats(-180, 180),
    l_zonal=st.floats(100e3, 3000e3),
    l_meridional=st.floats(100e3, 2000e3),
    tile_share=st.floats(0.05, 0.95),
    tile_n=st.sampled_from([32, 101, 256]),
    reach=st.floats(0.01, 1.0),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=25)
def test_tiles_lie_inside_the_domain_and_neighbors_at_their_distance(
    latitude, longitude, l_zonal, l_meridional, tile_share, tile_n, reach, seed
):
    domain = LocalDomain(latitude, longitude, l_zonal, l_meridional)
    resolution = min(l_zonal, l_meridional) * tile_share / tile_n
    box = centre_box(domain, tile_n * resolution)
    assume(box.width > 0 and box.height > 0)
    distance = reach * box.diagonal

    made = plan_triplets(
        domain,
        resolution,
        tile_n,
        {"train": 4, "study": 2},
        distance / (tile_n * resolution),
        seed,
        scene_ids(7),
        "abc",
    )

    assert made.warnings == ()
    for tile in made.tiles:
        assert tile.grid.shape == (tile_n, tile_n)
        x, y = domain.from_lonlat(*tile.grid.domain.to_lonlat(*tile.grid.domain.outline(256)))
        assert np.abs(x).max() <= l_zonal / 2 + 1
        assert np.abs(y).max() <= l_meridional / 2 + 1
    for anchor, neighbor, distant in zip(made.tiles[::3], made.tiles[1::3], made.tiles[2::3], strict=True):
        apart = math.hypot(neighbor.x_c - anchor.x_c, neighbor.y_c - anchor.y_c)
        assert math.isclose(apart, distance, rel_tol=1e-9)
        assert anchor.scene_id == neighbor.scene_id != distant.scene_id
        assert anchor.triplet_id == neighbor.triplet_id == distant.triplet_id


@given(
    first=st.integers(1, 15),
    more=st.integers(1, 15),
    seed=st.integers(0, 10**6),
    n_scenes=st.integers(1, 12),
)
@settings(deadline=None, max_examples=25)
def test_more_triplets_keep_the_first_ones(first, more, seed, n_scenes):
    domain = LocalDomain(14.0, -48.0, 1500e3, 1000e3)
    few, many = (
        plan_triplets(domain, 1000.0, 256, {"train": count}, 1.0, seed, scene_ids(n_scenes), "abc")
        for count in (first, first + more)
    )

    assert many.tiles[: len(few.tiles)] == few.tiles
