"""Which pixels their quality flags let through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from level2_files import ACHA_FLAGS, AOD_FLAGS

from convml_data.errors import SceneError
from convml_data.sources.goes import calibration
from convml_data.sources.goes.quality import ANY, GOOD, Flags, Quality

FDC_FLAGS = "good_quality_fire_pixel_qf good_quality_fire_free_land_pixel_qf invalid_due_to_opaque_cloud_pixel_qf"


def enumeration(meanings: str) -> Flags:
    return Flags.described(meanings.split(), range(len(meanings.split())), None, 255, 8)


def groups(meanings: str, values: list[int], masks: list[int], fill: int | None = 255) -> Flags:
    return Flags.described(meanings.split(), values, masks, fill, 8)


def kept(flags: Flags, quality: Quality, good: tuple[str, ...] = ()) -> list[int]:
    """The flags up to 63 that are kept, and 255."""
    table = flags.kept(quality, good, "file").among(np.arange(256, dtype=np.uint8))
    return [value for value in (*range(64), 255) if table[value]]


@pytest.mark.parametrize(
    ("flags", "good"),
    [
        pytest.param(calibration.FLAGS, [0], id="L1b"),
        pytest.param(enumeration(ACHA_FLAGS), [0], id="ACHA"),
        pytest.param(enumeration(AOD_FLAGS), [0], id="AOD"),
        pytest.param(enumeration(FDC_FLAGS), [0, 1], id="two good states"),
        pytest.param(enumeration("bad_quality_qf good_quality_qf"), [1], id="good is not zero"),
        pytest.param(enumeration("first_qf second_qf"), [0], id="no word for good"),
        pytest.param(Flags((), 255, 8), [0], id="not explained"),
    ],
)
def test_good_is_what_the_file_calls_so_else_zero(flags: Flags, good: list[int]) -> None:
    assert kept(flags, GOOD) == good


def test_any_keeps_all_even_pixels_without_a_flag() -> None:
    assert kept(enumeration(AOD_FLAGS), ANY) == [*range(64), 255]


@pytest.mark.parametrize(
    ("flags", "names", "expected"),
    [
        (calibration.FLAGS, ("good", "conditionally_usable"), [0, 1]),
        (calibration.FLAGS, "out_of_range_qf", [2]),
        (enumeration("good_pixel_qf conditionally_usable_pixel_qf"), ("conditionally_usable",), [1]),
        (enumeration("good_pixel_qf conditionally_usable_pixel_qf"), ("conditionally_usable_pixel_qf",), [1]),
        (enumeration(AOD_FLAGS), ("high_quality_retrieval_qf", "medium_quality_retrieval"), [0, 1]),
    ],
)
def test_named_flags_in_full_or_short(flags: Flags, names: Quality, expected: list[int]) -> None:
    assert kept(flags, names) == expected


def test_a_flag_that_the_file_lacks_is_an_error_with_those_it_has() -> None:
    with pytest.raises(
        SceneError, match="no data quality flag 'good_pixel_qf'; its flags are high_quality_ret"
    ) as caught:
        enumeration(AOD_FLAGS).kept(("good_pixel_qf",), (), "file:///a.nc")
    assert caught.value.where == "file:///a.nc"
    with pytest.raises(SceneError, match="none that it explains"):
        Flags((), 255, 8).kept(("good",), (), "file")


#: Bit 0 tells the algorithm, bits 1 to 4 the quality (PUG, volume 5, cloud optical depth).
COD = groups(
    "day_algorithm_pixel_qf night_algorithm_pixel_qf good_quality_qf degraded_quality_due_to_snow_or_sea_ice_qf "
    "invalid_due_to_clear_conditions_qf",
    [0, 1, 0, 2, 6],
    [1, 1, 30, 30, 30],
)
#: As in the land surface temperature of 2018: the whole flag is zero where the retrieval is good.
LST = groups(
    "good_retrieval_qf valid_input_data_qf invalid_due_to_bad_or_missing_input_data_qf valid_clear_conditions_qf "
    "invalid_due_to_cloudy_conditions_qf",
    [0, 0, 2, 0, 4],
    [0, 2, 2, 4, 4],
)
#: Smoke in bit 0, dust in bit 1, confidence of smoke in bits 2 and 3.
ADP = groups(
    "good_smoke_detection_retrieval_qf invalid_smoke_detection_retrieval_due_to_snow_ice_clouds_qf "
    "good_dust_detection_retrieval_qf invalid_dust_detection_retrieval_due_to_snow_ice_clouds_qf "
    "low_confidence_smoke_detection_qf medium_confidence_smoke_detection_qf high_confidence_smoke_detection_qf",
    [0, 1, 0, 2, 0, 4, 12],
    [1, 1, 2, 2, 12, 12, 12],
    fill=None,
)
#: Bits that only tell what is wrong.
BITS = Flags.described(["too_steep", "too_dark"], None, [1, 4], 255, 8)


@pytest.mark.parametrize(
    ("flags", "quality", "good", "expected"),
    [
        pytest.param(COD, GOOD, (), [0, 1, 32, 33], id="groups without a good state do not matter"),
        pytest.param(COD, ("good_quality", "night_algorithm"), (), [1, 33], id="one of each group that is named"),
        pytest.param(
            COD, ("degraded_quality_due_to_snow_or_sea_ice", "good_quality"), (), [0, 1, 2, 3, 32, 33, 34, 35], id="or"
        ),
        pytest.param(LST, GOOD, (), [0], id="all of the flag"),
        pytest.param(ADP, GOOD, (), [v for v in range(64) if not v & 3], id="good in each group"),
        pytest.param(ADP, GOOD, ("good_dust_detection_retrieval_qf",), [v for v in range(64) if not v & 2], id="given"),
        pytest.param(BITS, GOOD, (), [0], id="no bit says good"),
        pytest.param(BITS, ("too_dark",), (), [v for v in range(64) if v & 4], id="one bit"),
    ],
)
def test_groups_of_bits(flags: Flags, quality: Quality, good: tuple[str, ...], expected: list[int]) -> None:
    assert [value for value in kept(flags, quality, good) if value < 64] == expected


def test_of_bits_beside_a_good_state_none_may_be_set() -> None:
    flags = Flags.described(["good_quality_qf", "bad_quality_qf", "degraded_due_to_LZA"], [0, 1, 2], [1, 1, 2], 255, 8)
    assert kept(flags, GOOD)[:3] == [0, 4, 8]


@pytest.mark.parametrize(
    ("meanings", "values", "masks"), [(["a", "b"], [0], None), (["a"], None, None), (["a"], [1], [1, 2])]
)
def test_flags_that_do_not_fit_their_meanings_are_no_flags(
    meanings: list[str], values: list[int] | None, masks: list[int] | None
) -> None:
    with pytest.raises(ValueError, match="flag_"):
        Flags.described(meanings, values, masks, 255, 8)


@given(
    values=st.lists(st.integers(0, 254), min_size=1, max_size=8, unique=True),
    data=st.data(),
)
def test_of_an_enumeration_exactly_the_named_values_are_kept(values: list[int], data: st.DataObject) -> None:
    names = [f"state{value}_qf" for value in values]
    wanted = data.draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
    flags = Flags.described(names, values, None, 255, 8)
    table = flags.kept(tuple(f"state{value}" for value in wanted), (), "file").table
    assert set(np.flatnonzero(table)) == set(wanted)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=200))
def test_bits_are_compared_under_their_masks(stored: list[int]) -> None:
    flags = np.array(stored, np.uint8)
    found = COD.kept(GOOD, (), "file").among(flags)
    assert found.tolist() == [value != 255 and (value >> 1) & 0b1111 == 0 for value in stored]
