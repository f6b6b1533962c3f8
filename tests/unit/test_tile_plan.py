from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from convml_data.errors import PlanError, StoreError
from convml_data.geometry.local import LocalDomain
from convml_data.tiles.placement import CentreBox, PairPlacement, centre_box
from convml_data.tiles.plan import TilePlan, TileSpec, plan_triplets
from convml_data.tiles.scene_draws import draw_scene_pairs

BARBADOS = LocalDomain(13.3, -57.72, 200e3, 200e3)
WIDE = LocalDomain(14.0, -48.0, 3000e3, 1000e3)


def scene_ids(count: int) -> list[str]:
    start = datetime(2020, 2, 2, 14)
    return [f"goes16__{start + timedelta(minutes=10 * number):%Y%m%d%H%M}" for number in range(count)]


def plan(domain: LocalDomain = WIDE, **changes: object) -> TilePlan:
    arguments = {
        "resolution": 1000.0,
        "tile_n": 256,
        "n_triplets": {"train": 10, "study": 2},
        "neigh_dist_scaling": 1.0,
        "seed": 0,
        "scene_ids": scene_ids(24),
        "fingerprint": "abc",
    }
    return plan_triplets(domain, **(arguments | changes))  # type: ignore[arg-type]


# --- two scenes for a triplet ---


def test_every_ordered_pair_of_scenes_is_equally_likely():
    pairs = draw_scene_pairs(scene_ids(5), "train", range(20_000), seed=3)

    counts = Counter(pairs)
    assert all(near != far for near, far in pairs)
    assert len(counts) == 20
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_a_scene_more_changes_only_the_triplets_that_take_it():
    before = draw_scene_pairs(scene_ids(50), "train", range(500), seed=0)
    after = draw_scene_pairs(scene_ids(51), "train", range(500), seed=0)

    new = scene_ids(51)[-1]
    changed = [(old, now) for old, now in zip(before, after, strict=True) if old != now]
    assert 0 < len(changed) < 60
    assert all(new in now for _, now in changed)


def test_collections_draw_apart_from_each_other():
    train = draw_scene_pairs(scene_ids(50), "train", range(50), seed=0)

    assert train != draw_scene_pairs(scene_ids(50), "study", range(50), seed=0)


# --- places ---


@pytest.mark.parametrize(
    ("width", "height", "distance"),
    [(300.0, 200.0, 50.0), (300.0, 200.0, 250.0), (100.0, 100.0, 130.0), (40.0, 500.0, 60.0)],
)
def test_pairs_are_distributed_as_if_misfits_were_drawn_again(width, height, distance):
    rng = np.random.default_rng(5)
    pairs = PairPlacement(CentreBox(width, height, 0, 0), distance)
    direct = np.array([np.concatenate(pairs.points(*rng.random(4))) for _ in range(6000)])

    n = 4_000_000
    anchor = (rng.random((n, 2)) - 0.5) * [width, height]
    angle = 2 * math.pi * rng.random(n)
    neighbor = anchor + distance * np.column_stack([np.cos(angle), np.sin(angle)])
    fits = (np.abs(neighbor) <= np.array([width, height]) / 2).all(axis=1)
    rejection = np.column_stack([anchor, neighbor])[fits][:60_000]

    def quantities(points: np.ndarray) -> dict[str, np.ndarray]:
        dx, dy = points[:, 2] - points[:, 0], points[:, 3] - points[:, 1]
        return {
            "anchor x": points[:, 0],
            "anchor y": points[:, 1],
            "neighbor x": points[:, 2],
            "neighbor y": points[:, 3],
            "direction": np.arctan2(dy, dx),
            "anchor along direction": points[:, 0] * dx + points[:, 1] * dy,
            "anchor across": points[:, 0] * points[:, 1],
        }

    expected = quantities(rejection)
    for name, values in quantities(direct).items():
        assert stats.ks_2samp(values, expected[name]).pvalue > 0.001, name


@pytest.mark.parametrize(
    ("width", "height", "distance"),
    [(0.0, 10.0, 10.0), (10.0, 0.0, 4.0), (3.0, 4.0, 5.0), (1e-6, 10.0, 9.0)],
)
def test_pairs_in_boxes_that_leave_hardly_any_direction(width, height, distance):
    pairs = PairPlacement(CentreBox(width, height, 0, 0), distance)

    drawn = [pairs.points(*np.random.default_rng(number).random(4)) for number in range(50)]

    for anchor, neighbor in drawn:
        assert math.dist(anchor, neighbor) == pytest.approx(distance, rel=1e-12)
        for x, y in (anchor, neighbor):
            assert abs(x) <= width / 2 + 1e-9
            assert abs(y) <= height / 2 + 1e-9
    assert len({(anchor < neighbor) for anchor, neighbor in drawn}) == 2


def test_a_tile_as_large_as_its_domain_can_only_be_centred():
    box = centre_box(BARBADOS, 200e3)

    assert (box.width, box.height) == (0, 0)
    # PROJ's projection and its inverse agree to millimetres.
    assert box.overlap_zonal < 0.01
    assert box.overlap_meridional < 0.01


def test_the_box_is_hardly_smaller_than_that_of_undistorted_tiles():
    box = centre_box(LocalDomain(13.3, -57.72, 400e3, 400e3), 100e3)

    assert 298e3 < box.width < 300e3
    assert 298e3 < box.height < 300e3


def test_along_a_short_side_centres_lie_anywhere_inside():
    box = centre_box(LocalDomain(13.3, -57.72, 1000e3, 200e3), 256e3)

    assert 735e3 < box.width < 744e3
    assert box.overlap_zonal == 0
    assert box.height == 200e3
    assert box.overlap_meridional == pytest.approx(128e3, rel=0.02)


# --- the plan ---


def test_tiles_come_by_collection_triplet_and_type():
    tiles = plan().tiles

    assert [tile.name for tile in tiles[:4]] == [
        "00000_anchor",
        "00000_neighbor",
        "00000_distant",
        "00001_anchor",
    ]
    assert Counter((tile.collection, tile.tile_type) for tile in tiles) == {
        ("train", "anchor"): 10,
        ("train", "neighbor"): 10,
        ("train", "distant"): 10,
        ("study", "anchor"): 2,
        ("study", "neighbor"): 2,
        ("study", "distant"): 2,
    }


def test_the_distant_tile_comes_from_another_scene_of_the_same_collection():
    made = plan()

    assert made.warnings == ()
    for anchor, neighbor, distant in zip(made.tiles[::3], made.tiles[1::3], made.tiles[2::3], strict=True):
        assert anchor.scene_id == neighbor.scene_id != distant.scene_id
        assert {anchor.scene_id, distant.scene_id} <= set(made.scenes[anchor.collection])
        assert not distant.distant_from_same_scene
    assert not set(made.scenes["train"]) & set(made.scenes["study"])


def test_position_and_coordinates_are_those_of_the_same_point_with_true_signs():
    for tile in plan().tiles:
        x, y = WIDE.from_lonlat(tile.central_longitude, tile.central_latitude)
        assert (float(x), float(y)) == pytest.approx((tile.x_c, tile.y_c), abs=0.01)
    eastern = max(plan().tiles, key=lambda tile: tile.x_c)
    assert eastern.x_c > 0
    assert eastern.central_longitude > WIDE.central_longitude


def test_a_tile_has_exactly_its_cells():
    (tile, *_) = plan(resolution=333.3, tile_n=101).tiles

    assert tile.grid.shape == (101, 101)
    assert tile.grid.domain.central_latitude == tile.central_latitude
    assert tile.grid.x[50] == pytest.approx(0, abs=1e-6)


def test_the_order_of_scenes_and_collections_does_not_matter():
    shuffled = sorted(scene_ids(24), key=hash)

    assert plan(scene_ids=shuffled, n_triplets={"study": 2, "train": 10}) == plan()


def test_another_seed_gives_another_plan():
    assert not {tile.x_c for tile in plan(seed=1).tiles} & {tile.x_c for tile in plan().tiles}


def test_no_two_draws_coincide():
    tiles = plan(n_triplets={"train": 200, "study": 200}).tiles

    assert len({(tile.x_c, tile.y_c) for tile in tiles}) == len(tiles)


def test_more_triplets_keep_the_first_ones():
    few = plan(n_triplets={"train": 10, "study": 2})
    many = plan(n_triplets={"train": 50, "study": 10})

    assert many.scenes == few.scenes
    assert set(few.tiles) < set(many.tiles)


def test_tiles_of_a_scene():
    made = plan()

    gathered = [tile for scenes in made.scenes.values() for name in scenes for tile in made.tiles_of(name)]
    assert sorted(gathered, key=made.tiles.index) == list(made.tiles)
    assert made.tiles_of("goes16__190001010000") == ()


def test_three_scenes_of_a_domain_smaller_than_the_tiles_run_with_warnings():
    made = plan(BARBADOS, scene_ids=scene_ids(3))

    assert len(made.tiles) == 36
    assert len(made.scenes["study"]) == 1
    for tile in made.tiles:
        assert abs(tile.x_c) <= 100e3
        assert abs(tile.y_c) <= 100e3
        assert tile.distant_from_same_scene == (tile.collection == "study")
    zonal, meridional, one_scene = made.warnings
    assert "256 km" in zonal
    assert "200 km from west to east" in zonal
    assert "200 km from south to north" in meridional
    assert "'study'" in one_scene
    assert made.scenes["study"][0] in one_scene


def test_tiles_as_long_as_a_side_that_is_curved_reach_beyond_it_with_a_warning():
    (warning,) = plan(LocalDomain(45.0, 0.0, 256e3, 1500e3)).warnings

    assert "256 km from west to east" in warning
    assert "beyond it" in warning


@pytest.mark.parametrize(
    "domain", [BARBADOS, LocalDomain(13.3, -57.72, 400e3, 300e3), LocalDomain(-60, 10, 256e3, 256e3)]
)
def test_neighbors_that_do_not_fit_are_an_error_whose_remedies_work(domain):
    with pytest.raises(PlanError) as error:
        plan(domain, neigh_dist_scaling=1.5)

    text = str(error.value)
    assert "384 km from their anchors (neigh_dist_scaling 1.5)" in text
    assert f"{domain.l_zonal / 1000:g} km by {domain.l_meridional / 1000:g} km" in text
    l_zonal, l_meridional = re.search(r"l_zonal: (\d+) and l_meridional: (\d+)", text).groups()
    larger = dataclasses.replace(domain, l_zonal=float(l_zonal), l_meridional=float(l_meridional))
    plan(larger, neigh_dist_scaling=1.5)
    if domain.l_zonal == 256e3:
        assert "neigh_dist_scaling to at most" not in text
    else:
        largest = float(re.search(r"neigh_dist_scaling to at most ([\d.]+),", text)[1])
        plan(domain, neigh_dist_scaling=largest)
        with pytest.raises(PlanError):
            plan(domain, neigh_dist_scaling=largest + 0.001)


def test_fifty_thousand_scenes_and_ten_thousand_triplets_take_seconds():
    made = plan(scene_ids=scene_ids(50_000), n_triplets={"train": 10_000})

    assert len(made.tiles) == 30_000
    assert len({tile.scene_id for tile in made.tiles}) > 15_000


# --- its written form ---


def test_a_plan_survives_being_written():
    made = plan(BARBADOS, scene_ids=scene_ids(3))
    text = made.to_json()

    assert TilePlan.from_json(text, "tiles.json") == made
    assert sum('"tile_type"' in line for line in text.splitlines()) == len(made.tiles)


@pytest.mark.parametrize(
    "breaking",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"scenes"', '"sceness"'),
        lambda text: text.replace('"x_c"', '"x"', 1),
        lambda text: text.replace('"tiles": [', '"tiles": [3,'),
        lambda text: text.replace('"format_version": 3', '"format_version": 99'),
    ],
)
def test_a_broken_plan_is_an_error_that_names_the_file(breaking):
    with pytest.raises(StoreError) as error:
        TilePlan.from_json(breaking(plan().to_json()), "triplets/tile_plan.json")

    assert str(error.value).startswith("triplets/tile_plan.json: ")
    assert "convml-data tiles" in str(error.value)


def test_a_tile_survives_being_written():
    tile = plan().tiles[5]

    assert TileSpec.from_dict(json.loads(json.dumps(tile.to_dict()))) == tile


def test_fingerprints_change_with_the_source_and_with_every_field():
    tile = plan().tiles[0]
    changes = {
        "collection": "train",
        "triplet_id": 7,
        "tile_type": "neighbor",
        "scene_id": "goes16__202002021500",
        "x_c": tile.x_c + 1,
        "y_c": tile.y_c + 1,
        "central_latitude": tile.central_latitude + 1e-5,
        "central_longitude": tile.central_longitude + 1e-5,
        "i0": 3,
        "j0": 4,
        "length": 128e3,
        "resolution": 500.0,
        "distant_from_same_scene": True,
    }
    assert set(changes) == set(tile.to_dict())
    prints = {dataclasses.replace(tile, **{name: value}).fingerprint("s") for name, value in changes.items()}

    assert len(prints | {tile.fingerprint("s"), tile.fingerprint("t")}) == len(changes) + 2
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in prints)


def test_fingerprints_overlook_the_last_bit_of_a_processor():
    tile = plan().tiles[0]
    other = dataclasses.replace(tile, x_c=np.nextafter(tile.x_c, np.inf).item())

    assert other.x_c != tile.x_c
    assert other.fingerprint("s") == tile.fingerprint("s")
