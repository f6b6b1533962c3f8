"""Plans of tiles around trajectories: every trajectory has a tile in a scene or a reason, also when read again."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convml_data.geometry.local import LocalDomain
from convml_data.tiles.trajectory_tiles import TrajectoryPlan, plan_trajectory_tiles
from convml_data.trajectories import Trajectories

FIRST = datetime(2020, 2, 2, 14)
DOMAIN = LocalDomain(13.0, -57.0, 400e3, 400e3)

#: Of each trajectory the ten minutes in which it begins, how many points it has, and how far from the centre it is.
SPANS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 4), st.sampled_from([0.0, 1.0, 5.0])), min_size=2, max_size=8
)


def trajectories(spans: list[tuple[int, int, float]]) -> Trajectories:
    steps = np.concatenate([np.arange(begin, begin + count) for begin, count, _ in spans])
    lat = np.concatenate([np.full(count, 13.0 + away) for _, count, away in spans])
    number = np.repeat(np.arange(len(spans)), [count for _, count, _ in spans])
    times = np.datetime64(FIRST, "us") + steps * np.timedelta64(10, "m")
    return Trajectories(times, lat, np.full(lat.shape, -57.0), number)


@given(SPANS)
def test_each_trajectory_has_a_tile_or_a_reason_in_each_scene(spans: list[tuple[int, int, float]]) -> None:
    scenes = [(f"a{number}", FIRST + number * timedelta(minutes=10)) for number in range(8)]
    plan = plan_trajectory_tiles(
        trajectories(spans),
        scenes,
        domain=DOMAIN,
        tile_n=8,
        resolution=1000.0,
        max_dt=timedelta(minutes=5),
        fingerprint="of this",
    )
    assert TrajectoryPlan.from_json(plan.to_json(), "a test") == plan
    for at, (scene_id, _) in enumerate(scenes):
        there = {tile.trajectory for tile in plan.tiles_of(scene_id)}
        inside = {n for n, (begin, count, away) in enumerate(spans) if begin <= at < begin + count and away < 2}
        assert there == inside
        assert bool(there) == (scene_id not in plan.without)
        why = plan.trajectories_without.get(scene_id, {})
        missing = [number for numbers in why.values() for number in numbers]
        assert sorted(missing) == sorted(set(range(len(spans))) - there if there else [])
        for reason, numbers in why.items():
            for number in numbers:
                begin, count, _ = spans[number]
                assert (reason == "it is outside of the domain then") == (begin <= at < begin + count)
