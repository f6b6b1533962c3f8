"""The grammar of products."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convml_data.meta.products import PRODUCT_PATTERN, ChannelField, Channels, Truecolor, parse_product


@pytest.mark.parametrize(
    ("product", "parsed"),
    [
        ("truecolor_rgb", Truecolor()),
        ("singlechannel__10", Channels((ChannelField(10, "radiance"),), stacked=False)),
        ("singlechannel__bt_13", Channels((ChannelField(13, "bt"),), stacked=False)),
        ("singlechannel__refl_2", Channels((ChannelField(2, "refl"),), stacked=False)),
        (
            "multichannel__10__11__12",
            Channels(tuple(ChannelField(n, "radiance") for n in (10, 11, 12)), stacked=True),
        ),
        (
            "multichannel__bt_13__13__refl_1",
            Channels((ChannelField(13, "bt"), ChannelField(13, "radiance"), ChannelField(1, "refl")), stacked=True),
        ),
    ],
)
def test_products_of_the_documentation(product: str, parsed: Truecolor | Channels) -> None:
    assert parse_product(product) == parsed
    assert re.fullmatch(PRODUCT_PATTERN, product)


def test_a_channel_that_serves_two_fields_is_read_once() -> None:
    assert parse_product("multichannel__bt_13__13__refl_1").channels == (13, 1)


@pytest.mark.parametrize(
    "product",
    [
        "singlechannel",
        "singlechannel__",
        "singlechannel__0",
        "singlechannel__17",
        "singlechannel__010",
        "singlechannel__bt_6",
        "singlechannel__refl_7",
        "singlechannel__bt_refl_7",
        "singlechannel__1__2",
        "multichannel",
        "multichannel__1_2",
        "multichannel__1__1",
        "Truecolor_rgb",
        "ACHA",
        "",
    ],
)
def test_what_is_no_product(product: str) -> None:
    with pytest.raises(ValueError, match=r"product|channel"):
        parse_product(product)


fields = st.one_of(
    st.builds(ChannelField, st.integers(1, 16), st.just("radiance")),
    st.builds(ChannelField, st.integers(7, 16), st.just("bt")),
    st.builds(ChannelField, st.integers(1, 6), st.just("refl")),
)


@given(st.lists(fields, min_size=1, max_size=6, unique=True))
def test_what_is_written_is_what_is_read(wanted: list[ChannelField]) -> None:
    product = "__".join(["multichannel", *(field.name.removeprefix("radiance_") for field in wanted)])
    assert parse_product(product) == Channels(tuple(wanted), stacked=True)
    assert re.fullmatch(PRODUCT_PATTERN, product)


@given(st.from_regex(PRODUCT_PATTERN, fullmatch=True))
def test_the_pattern_and_the_parser_agree(product: str) -> None:
    parts = product.split("__")[1:]
    if len(set(parts)) == len(parts):
        parse_product(product)
