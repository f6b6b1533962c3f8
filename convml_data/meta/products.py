"""What can be made of a source's data: the grammar of ``product``.

========================================  ==================================================
``singlechannel__<field>``                one field
``multichannel__<field>__<field>__…``     several fields on the finest grid among theirs
``user_function``                         what a function of the user makes of some fields
``truecolor_rgb``                         GOES: channels 1, 2 and 3 in natural colours
``composite__<name>``                     GOES: a composite of satpy's
``ACHA``, ``CMIP__13``, …                 GOES: a level 2 product, see :mod:`.level2`
``goes16n__<variable>``, …                CERES: a variable, see :mod:`..sources.ceres.products`
========================================  ==================================================

A field of GOES is a channel number (spectral radiance), ``bt_<n>`` (brightness temperature, channels
7 to 16) or ``refl_<n>`` (reflectance factor, channels 1 to 6); one of a model is a variable's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from convml_data.meta.level2 import LEVEL2_PATTERN, Level2, is_level2, parse_level2
from convml_data.sources.ceres.products import CERES_PATTERN as _CERES_PATTERN
from convml_data.sources.ceres.products import CeresField, parse_ceres

Quantity = Literal["radiance", "bt", "refl"]

CHANNELS = range(1, 17)

#: Channels of reflected sunlight have no brightness temperature, those of emitted light no reflectance.
REFLECTIVE_CHANNELS = range(1, 7)
EMISSIVE_CHANNELS = range(7, 17)

_FIELD = re.compile(r"(?:(?P<quantity>bt|refl)_)?(?P<channel>0|[1-9]\d*)")

_ANY_FIELD = r"(refl_[1-6]|bt_([7-9]|1[0-6])|[1-9]|1[0-6])"

USER_FUNCTION = "user_function"

_COMPOSITE = re.compile(r"composite__(?P<name>[A-Za-z0-9]\w*)", re.ASCII)
_MODEL_FIELD = r"[A-Za-z]([A-Za-z0-9_.-]*)"

#: All products of GOES, for what cannot call :func:`parse_goes`; it does not see fields named twice.
GOES_PATTERN = (
    rf"(truecolor_rgb|singlechannel__{_ANY_FIELD}|multichannel(__{_ANY_FIELD})+|{LEVEL2_PATTERN}"
    r"|composite__[A-Za-z0-9][A-Za-z0-9_]*)"
)
#: Likewise those of models, and of CERES.
MODEL_PATTERN = rf"(single|multi)channel__{_MODEL_FIELD}"
CERES_PATTERN = _CERES_PATTERN.strip("^$")

_FORMS = (
    "truecolor_rgb, singlechannel__<n> or multichannel__<n>__<n>…, with bt_<n> or refl_<n> in place of <n>, "
    "composite__<name>, or a level 2 product such as ACHA"
)


@dataclass(frozen=True)
class ChannelField:
    """One channel in one quantity."""

    channel: int
    quantity: Quantity

    @property
    def name(self) -> str:
        """``radiance_10``, ``bt_13``, ``refl_2``: what the field is called in files."""
        return f"{self.quantity}_{self.channel}"

    @property
    def units(self) -> str:
        """Of its values in files."""
        if self.quantity != "radiance":
            return "K" if self.quantity == "bt" else "%"
        return "W m-2 um-1 sr-1" if self.channel in REFLECTIVE_CHANNELS else "mW m-2 sr-1 (cm-1)-1"

    @property
    def bright_when_low(self) -> bool:
        """Whether clouds are bright in pictures where values are low, as cold tops are in emitted light."""
        return self.channel in EMISSIVE_CHANNELS


@dataclass(frozen=True)
class Truecolor:
    """Red, green and blue as the eye would see them."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Blue, red and vegetation."""
        return 1, 2, 3


@dataclass(frozen=True)
class Channels:
    """Fields of channels, ``stacked`` in one array or one alone."""

    fields: tuple[ChannelField, ...]
    stacked: bool

    @property
    def channels(self) -> tuple[int, ...]:
        """Their channels, each once."""
        return tuple(dict.fromkeys(field.channel for field in self.fields))


@dataclass(frozen=True)
class Composite:
    """A composite that satpy makes of channels; which it needs only satpy knows."""

    name: str


@dataclass(frozen=True)
class ModelFields:
    """Variables of a model's files, ``stacked`` in one array or one alone."""

    names: tuple[str, ...]
    stacked: bool


@dataclass(frozen=True)
class UserFunction:
    """What a function of the user makes of fields, which are products of the source themselves."""

    inputs: tuple[Channels | ModelFields | CeresField, ...]


GoesProduct = Truecolor | Channels | Composite | Level2
Product = GoesProduct | ModelFields | CeresField | UserFunction


def parse_product(source: str, product: str, inputs: Sequence[str] = ()) -> Product:
    """Read a product of any source.

    Parameters
    ----------
    source
        As ``meta.yaml`` names it.
    product
        Likewise.
    inputs
        The fields that ``user_function`` gets.

    Raises
    ------
    ValueError
        There is no such product: what is wrong, and a remedy.
    """
    if product == USER_FUNCTION:
        fields = tuple(_input_of(source, name) for name in inputs)
        satellites = sorted({field.satellite for field in fields if isinstance(field, CeresField)})
        if len(satellites) > 1:
            raise ValueError(
                f"{', '.join(inputs)} are of {' and '.join(satellites)}, which do not see the same pixels",
                "name fields of one satellite",
            )
        return UserFunction(fields)
    if source == "LES":
        return _parse_model(product)
    return parse_ceres(product) if source.startswith("ceres") else parse_goes(product)


def n_bands(product: Product) -> int | None:
    """How many fields lie in the product's array, None where only reading it tells."""
    match product:
        case Truecolor():
            return 3
        case Channels(fields=fields):
            return len(fields)
        case ModelFields(names=names):
            return len(names)
        case Level2() | CeresField():
            return 1
        case _:
            return None


def band_names(product: Product) -> list[str] | None:
    """What the product's bands are called in files, None where only reading it tells."""
    match product:
        case Channels(fields=fields):
            return [field.name for field in fields]
        case ModelFields(names=names):
            return list(names)
        case Level2():
            return [product.name]
        case CeresField(variable=variable):
            return [variable]
        case _:
            return None


def band_units(product: Product) -> tuple[str, ...] | None:
    """Units of the product's bands in files, None where only reading it tells."""
    match product:
        case Truecolor():
            return ("%",)
        case Channels(fields=fields):
            return tuple(field.units for field in fields)
        case _:
            return None


def has_colours(product: Product) -> bool:
    """Whether the product itself says how it looks, so that no scale of values is needed to draw it."""
    return isinstance(product, (Truecolor, Composite))


def _input_of(source: str, name: str) -> Channels | ModelFields | CeresField:
    product = name if source.startswith("ceres") else f"singlechannel__{name}"
    try:
        parsed = parse_product(source, product)
    except ValueError as error:
        raise ValueError(error.args[0].replace(repr(product), repr(name)), *error.args[1:]) from error
    assert isinstance(parsed, (Channels, ModelFields, CeresField))
    return parsed


def _parse_model(product: str) -> ModelFields:
    kind, _, rest = product.partition("__")
    if kind not in ("singlechannel", "multichannel"):
        raise ValueError(
            f"{product!r} is no product of a model",
            "use singlechannel__<variable> or multichannel__<variable>__<variable>…",
        )
    names = tuple(rest.split("__")) if kind == "multichannel" else (rest,)
    wrong = [name for name in names if re.fullmatch(_MODEL_FIELD, name) is None]
    if wrong:
        raise ValueError(
            f"{product!r} holds {wrong[0]!r}, which is no name of a variable",
            "write the variables' names as in the files, separated by two underscores",
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{product!r} names a variable more than once", "name each variable once")
    return ModelFields(names, stacked=kind == "multichannel")


def parse_goes(product: str) -> GoesProduct:
    """Read a product of GOES.

    Raises
    ------
    ValueError
        There is no such product: what is wrong, and a remedy.
    """
    if product == "truecolor_rgb":
        return Truecolor()
    composite = _COMPOSITE.fullmatch(product)
    if composite is not None:
        return Composite(composite["name"])
    kind, *parts = product.split("__")
    if kind not in ("singlechannel", "multichannel"):
        if is_level2(product):
            return parse_level2(product)
        raise ValueError(f"{product!r} is no product of GOES", f"use {_FORMS}")
    if not parts:
        raise ValueError(f"{product!r} names no channel", f"write for example {kind}__13")
    if kind == "singlechannel" and len(parts) > 1:
        raise ValueError(f"{product!r} names {len(parts)} channels", f"write multichannel__{'__'.join(parts)}")
    fields = tuple(_field(part, product) for part in parts)
    doubled = {field.name for field in fields if fields.count(field) > 1}
    if doubled:
        raise ValueError(f"{product!r} names {', '.join(sorted(doubled))} more than once", "name each field once")
    return Channels(fields, stacked=kind == "multichannel")


def _field(text: str, product: str) -> ChannelField:
    match = _FIELD.fullmatch(text)
    if match is None:
        remedy = "write <n>, bt_<n> or refl_<n> with n from 1 to 16, separated by two underscores"
        raise ValueError(f"{product!r} holds {text!r}, which is no channel", remedy)
    channel = int(match["channel"])
    quantity: Quantity = match["quantity"] or "radiance"  # type: ignore[assignment]  # the pattern sees to it
    if channel not in CHANNELS:
        raise ValueError(f"{product!r} names channel {channel}, and ABI has channels 1 to 16", "choose one of them")
    if quantity == "bt" and channel not in EMISSIVE_CHANNELS:
        raise ValueError(
            f"{product!r} asks for the brightness temperature of channel {channel}, which measures reflected sunlight",
            f"only channels 7 to 16 have one; write {channel} or refl_{channel}",
        )
    if quantity == "refl" and channel not in REFLECTIVE_CHANNELS:
        raise ValueError(
            f"{product!r} asks for the reflectance of channel {channel}, which measures emitted radiation",
            f"only channels 1 to 6 have one; write {channel} or bt_{channel}",
        )
    return ChannelField(channel, quantity)
