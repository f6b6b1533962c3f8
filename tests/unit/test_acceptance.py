"""Which tiles are worth cutting."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from convml_data.errors import PlanError
from convml_data.geometry.local import LocalDomain
from convml_data.tiles import acceptance
from convml_data.tiles.acceptance import Conditions, SceneContents
from convml_data.tiles.plan import plan_triplets

DOMAIN = LocalDomain(13.3, -57.72, 400e3, 400e3)
SCENES = [f"goes16__2020020214{minute:02d}" for minute in range(0, 60, 10)]


def half_cloudy(missing: int = 0) -> np.ndarray:
    """The west half is one value, the east half is varied; the northernmost rows may be missing."""
    fields = np.zeros((1, 200, 200))
    fields[0, :, 100:] = np.random.default_rng(1).normal(0, 10, (200, 100))
    fields[0, 200 - missing :] = np.nan
    return fields


@pytest.mark.parametrize(
    ("conditions", "met"),
    [
        (Conditions(), True),
        (Conditions(min_valid_share=0.75), True),
        (Conditions(min_valid_share=0.76), False),
        (Conditions(min_std=1.0), True),
        (Conditions(min_std=1.0001), False),
        (Conditions(max_cloud_fraction=0.5), True),
        (Conditions(max_cloud_fraction=0.4), False),
    ],
)
def test_conditions_are_met_at_their_limits(conditions: Conditions, met: bool) -> None:
    fields = np.array([[[1.0, 3.0], [np.nan, 2.0]], [[0.0, 2.0], [0.0, 2.0]]])
    cloud = np.array([[1.0, 0.0], [np.nan, np.nan]])
    assert conditions.met_by(fields, cloud) == met


def test_where_cloud_is_unknown_a_limit_on_it_is_not_met() -> None:
    fields = np.zeros((1, 2, 2))
    assert not Conditions(max_cloud_fraction=1.0).met_by(fields, None)
    assert not Conditions(max_cloud_fraction=1.0).met_by(fields, np.full((2, 2), np.nan))
    assert Conditions().met_by(fields, None)


def test_a_tile_is_looked_up_where_it_lies() -> None:
    contents = SceneContents(Conditions(min_std=1.0), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(), None))
    assert contents.accepts("a", 100e3, 0.0)
    assert not contents.accepts("a", -100e3, 0.0)
    assert not SceneContents(Conditions(), DOMAIN.grid(2000.0), 20, lambda _: (None, None)).accepts("a", 0.0, 0.0)


def test_cells_beyond_the_scene_count_as_missing() -> None:
    contents = SceneContents(Conditions(min_valid_share=0.75), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(), None))
    assert contents.accepts("a", 190e3, 0.0)  # a quarter lies beyond
    assert not contents.accepts("a", 192e3, 0.0)


def plan(  # type: ignore[no-untyped-def]
    contents: SceneContents | None, count: int = 12, max_draws: int = 200, scenes: Sequence[str] = SCENES
):
    return plan_triplets(
        DOMAIN,
        2000.0,
        20,
        {"train": count},
        1.0,
        0,
        scenes,
        "f",
        accepts=None if contents is None else contents.accepts,
        max_draws=max_draws,
    )


def test_tiles_are_drawn_until_they_are_accepted() -> None:
    contents = SceneContents(
        Conditions(min_std=3.0, min_valid_share=1.0), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(missing=40), None)
    )
    chosen = plan(contents)
    for tile in chosen.tiles:
        assert contents.accepts(tile.scene_id, tile.x_c, tile.y_c)
        assert tile.x_c > -20e3
        assert tile.y_c < 100e3
    assert 0 < chosen.accepted["train"] < 0.5
    assert plan(contents) == chosen
    # More triplets keep those there were.
    assert plan(contents, 20).tiles[: 3 * 12] == chosen.tiles


def test_tiles_that_are_accepted_at_once_are_those_without_conditions() -> None:
    contents = SceneContents(
        Conditions(min_valid_share=1.0), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(60), None)
    )
    chosen, plain = plan(contents), plan(None)
    assert plain.accepted == {}
    kept = [tile for tile in plain.tiles if tile in chosen.tiles]
    assert 3 <= len(kept) < len(plain.tiles)
    assert len(kept) % 3 == 0


def test_too_few_accepted_draws_are_an_error() -> None:
    contents = SceneContents(Conditions(min_std=100.0), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(), None))
    with pytest.raises(PlanError, match="12 of the 12 triplets of train were drawn 7 times") as raised:
        plan(contents, max_draws=7)
    assert raised.value.where == "sampling.accept"


def test_each_triplet_takes_its_first_accepted_draw_however_many_more_are_allowed() -> None:
    contents = SceneContents(Conditions(min_std=3.0), DOMAIN.grid(2000.0), 20, lambda _: (half_cloudy(), None))
    enough = plan(contents)
    for max_draws in range(1, 200):
        try:
            assert plan(contents, max_draws=max_draws) == enough
        except PlanError:
            continue
        break
    assert max_draws > 2
    with pytest.raises(PlanError, match=f"1 of the 12 triplets of train were drawn {max_draws - 1} times"):
        plan(contents, max_draws=max_draws - 1)


def test_scenes_that_do_not_fit_into_memory_are_not_read_for_every_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [f"goes16__202002{day:02d}14{minute:02d}" for day in range(1, 11) for minute in range(0, 50, 10)]
    opened: Counter[str] = Counter()

    def read(scene_id: str) -> tuple[np.ndarray, None]:
        opened[scene_id] += 1
        return half_cloudy(), None

    def planned():  # type: ignore[no-untyped-def]
        opened.clear()
        return plan(SceneContents(Conditions(min_std=9.8), DOMAIN.grid(2000.0), 20, read), 200, scenes=scenes)

    all_fit = planned()
    assert opened == Counter(scenes)
    monkeypatch.setattr(acceptance, "BYTES_KEPT", 3 * half_cloudy().nbytes)
    assert planned() == all_fit
    draws = 200 / all_fit.accepted["train"]
    assert len(scenes) < opened.total() < draws / 3


def test_of_scenes_no_more_is_kept_than_fits_and_nothing_after_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    references: list[weakref.ref[np.ndarray]] = []
    monkeypatch.setattr(acceptance, "BYTES_KEPT", 3 * half_cloudy().nbytes)

    def read(_: str) -> tuple[np.ndarray, None]:
        fields = half_cloudy()
        references.append(weakref.ref(fields))
        return fields, None

    contents = SceneContents(Conditions(), DOMAIN.grid(2000.0), 20, read)
    for scene_id in SCENES:
        contents.accepts(scene_id, 0.0, 0.0)
    assert [reference() is not None for reference in references] == [False] * 3 + [True] * 3
    del contents
    gc.collect()
    assert not any(reference() is not None for reference in references)
