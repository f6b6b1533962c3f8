"""The grammar of products."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convml_data.meta.level2 import LEVEL2_PRODUCTS
from convml_data.meta.products import (
    CERES_PATTERN,
    GOES_PATTERN,
    MODEL_PATTERN,
    ChannelField,
    Channels,
    Composite,
    ModelFields,
    Truecolor,
    UserFunction,
    has_colours,
    n_bands,
    parse_goes,
    parse_product,
)
from convml_data.sources.ceres.products import CeresField


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
    assert parse_goes(product) == parsed
    assert re.fullmatch(GOES_PATTERN, product)


def test_a_channel_that_serves_two_fields_is_read_once() -> None:
    assert parse_goes("multichannel__bt_13__13__refl_1").channels == (13, 1)


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
        "acha",
        "composite__",
        "composite__a-b",
        "",
    ],
)
def test_what_is_no_product(product: str) -> None:
    with pytest.raises(ValueError, match=r"product|channel"):
        parse_goes(product)


fields = st.one_of(
    st.builds(ChannelField, st.integers(1, 16), st.just("radiance")),
    st.builds(ChannelField, st.integers(7, 16), st.just("bt")),
    st.builds(ChannelField, st.integers(1, 6), st.just("refl")),
)


@given(st.lists(fields, min_size=1, max_size=6, unique=True))
def test_what_is_written_is_what_is_read(wanted: list[ChannelField]) -> None:
    product = "__".join(["multichannel", *(field.name.removeprefix("radiance_") for field in wanted)])
    assert parse_goes(product) == Channels(tuple(wanted), stacked=True)
    assert re.fullmatch(GOES_PATTERN, product)


@given(
    st.sampled_from(
        [("goes16", GOES_PATTERN), ("goes_west", GOES_PATTERN), ("LES", MODEL_PATTERN), ("ceres", CERES_PATTERN)]
    ).flatmap(lambda form: st.tuples(st.just(form[0]), st.from_regex(re.compile(form[1], re.ASCII), fullmatch=True)))
)
def test_the_pattern_and_the_parser_agree(form: tuple[str, str]) -> None:
    source, product = form
    parts = product.split("__")[1:]
    if len(set(parts)) == len(parts):
        parse_product(source, product)


@pytest.mark.parametrize(
    ("source", "product", "inputs", "parsed", "bands"),
    [
        ("goes_east", "composite__airmass", (), Composite("airmass"), None),
        ("LES", "singlechannel__rlut", (), ModelFields(("rlut",), stacked=False), 1),
        ("LES", "multichannel__u__v", (), ModelFields(("u", "v"), stacked=True), 2),
        ("ceres", "goes16n__cloud_phase", (), CeresField("goes16n", "cloud_phase"), 1),
        ("ceres_geo", "meteosat9n__temperature_ir", (), CeresField("meteosat9n", "temperature_ir"), 1),
        (
            "goes16",
            "user_function",
            ("bt_11", "2"),
            UserFunction(
                (
                    Channels((ChannelField(11, "bt"),), stacked=False),
                    Channels((ChannelField(2, "radiance"),), stacked=False),
                )
            ),
            None,
        ),
        ("LES", "user_function", ("u",), UserFunction((ModelFields(("u",), stacked=False),)), None),
        (
            "ceres",
            "user_function",
            ("goes16n__cloud_phase",),
            UserFunction((CeresField("goes16n", "cloud_phase"),)),
            None,
        ),
    ],
)
def test_products_of_every_source(
    source: str, product: str, inputs: tuple[str, ...], parsed: object, bands: int | None
) -> None:
    made = parse_product(source, product, inputs)
    assert made == parsed
    assert n_bands(made) == bands
    assert has_colours(made) == isinstance(made, Composite)


@pytest.mark.parametrize("name", sorted(LEVEL2_PRODUCTS))
def test_level_2_products_are_products(name: str) -> None:
    forms = LEVEL2_PRODUCTS[name]
    product = f"{name}__13" if forms.per_channel else name if forms.has_main else f"{name}__{forms.variables[0].name}"
    assert n_bands(parse_product("goes16", product)) == 1
    assert re.fullmatch(GOES_PATTERN, product)


@pytest.mark.parametrize(
    ("source", "product", "what"),
    [
        ("LES", "truecolor_rgb", "no product of a model"),
        ("LES", "multichannel__u__u", "more than once"),
        ("LES", "singlechannel__a b", "no name of a variable"),
        ("ceres", "cloud_top_height", "no product of CERES"),
        ("ceres", "goes15n__cloud_top_height", "no satellite of CERES"),
        ("goes16", "goes16n__cloud_top_height", "no product of GOES"),
    ],
)
def test_products_of_other_sources_are_refused(source: str, product: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_product(source, product)
