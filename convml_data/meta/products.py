"""What can be made of a source's data: the grammar of ``product``.

========================================  ==================================================
``truecolor_rgb``                         channels 1, 2 and 3 in natural colours
``singlechannel__<field>``                one field
``multichannel__<field>__<field>__…``     several fields on the finest grid among theirs
========================================  ==================================================

A field of GOES is a channel number (spectral radiance), ``bt_<n>`` (brightness temperature, channels
7 to 16) or ``refl_<n>`` (reflectance factor, channels 1 to 6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["radiance", "bt", "refl"]

CHANNELS = range(1, 17)

#: Channels of reflected sunlight have no brightness temperature, those of emitted light no reflectance.
REFLECTIVE_CHANNELS = range(1, 7)
EMISSIVE_CHANNELS = range(7, 17)

_FIELD = re.compile(r"(?:(?P<quantity>bt|refl)_)?(?P<channel>0|[1-9]\d*)")

_ANY_FIELD = r"(refl_[1-6]|bt_([7-9]|1[0-6])|[1-9]|1[0-6])"

#: All products, for what cannot call :func:`parse_product`; it does not see fields named twice.
PRODUCT_PATTERN = rf"^(truecolor_rgb|singlechannel__{_ANY_FIELD}|multichannel(__{_ANY_FIELD})+)$"

_FORMS = "truecolor_rgb, singlechannel__<n> or multichannel__<n>__<n>…, with bt_<n> or refl_<n> in place of <n>"


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


def parse_product(product: str) -> Truecolor | Channels:
    """Read a product of GOES.

    Raises
    ------
    ValueError
        There is no such product: what is wrong, and a remedy.
    """
    if product == "truecolor_rgb":
        return Truecolor()
    kind, *parts = product.split("__")
    if kind not in ("singlechannel", "multichannel"):
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
