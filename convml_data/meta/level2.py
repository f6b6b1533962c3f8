"""Level 2 products of the ABI: what the archive calls them and what is in their files.

==========================  ===================================================================
``ACHA``                    the product's main variable
``ACM__Cloud_Probabilities``  another variable of the product
``CMIP__13``                the imagery of one channel
==========================  ===================================================================

Names and sectors are those of the folders in the public buckets; variables are those of the GOES-R
Product Definition and Users' Guide (PUG), volume 5, and of the files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

_CHANNELS = range(1, 17)


@dataclass(frozen=True)
class Level2Variable:
    """A variable on the product's grid.

    Parameters
    ----------
    name
        In the files, and in what is made from them.
    categories
        Whether its values name classes, between which there is nothing to interpolate.
    other_names
        What files of other times call it.
    good
        The flag meanings that make a value good, where those of the file at large do not tell: one
        of each group of bits.
    """

    name: str
    categories: bool = False
    other_names: tuple[str, ...] = ()
    good: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level2Product:
    """What the archive holds under a name.

    Parameters
    ----------
    name
        ``ACHA``, …
    title
        What it is.
    sectors
        ``F``, ``C`` and ``M``, as far as the product is made for them.
    variables
        The variables that can be asked for.
    has_main
        Whether the first of them is the one that the product is about.
    flags
        The variable with the data quality flags.
    per_channel
        Whether there is one file for each channel.
    """

    name: str
    title: str
    sectors: str
    variables: tuple[Level2Variable, ...]
    has_main: bool = True
    flags: str = "DQF"
    per_channel: bool = False


def _main(
    name: str, title: str, sectors: str, variable: str, *, categories: bool = False, flags: str = "DQF"
) -> Level2Product:
    return Level2Product(name, title, sectors, (Level2Variable(variable, categories),), flags=flags)


_PRODUCTS = (
    _main("ACHA", "cloud top height", "FCM", "HT"),
    _main("ACHA2KM", "cloud top height on 2 km pixels", "FCM", "HT"),
    _main("ACHP2KM", "cloud top pressure on 2 km pixels", "FCM", "PRES"),
    _main("ACHT", "cloud top temperature", "FM", "TEMP"),
    Level2Product(
        "ACM",
        "clear sky mask",
        "FCM",
        (
            Level2Variable("BCM", categories=True),
            Level2Variable("ACM", categories=True),
            Level2Variable("Cloud_Probabilities"),
        ),
    ),
    _main("ACTP", "cloud top phase", "FCM", "Phase", categories=True),
    Level2Product(
        "ADP",
        "aerosol detection",
        "FCM",
        (
            Level2Variable("Smoke", categories=True, good=("good_smoke_detection_retrieval_qf",)),
            Level2Variable("Dust", categories=True, good=("good_dust_detection_retrieval_qf",)),
            Level2Variable("Aerosol", categories=True),
        ),
        has_main=False,
    ),
    _main("AOD", "aerosol optical depth at 550 nm", "FC", "AOD"),
    Level2Product("CMIP", "cloud and moisture imagery", "FCM", (Level2Variable("CMI"),), per_channel=True),
    _main("COD", "cloud optical depth", "FC", "COD"),
    _main("COD2KM", "cloud optical depth on 2 km pixels", "F", "COD"),
    # The variable was renamed on 4 December 2023, 18:51 UTC (satpy, etc/readers/abi_l2_nc.yaml).
    Level2Product("CPS", "cloud particle size", "FCM", (Level2Variable("PSD", other_names=("CPS",)),)),
    _main("CTP", "cloud top pressure", "FC", "PRES"),
    Level2Product(
        "DSI",
        "derived stability indices",
        "FCM",
        tuple(Level2Variable(name) for name in ("CAPE", "LI", "TT", "SI", "KI")),
        has_main=False,
        flags="DQF_Overall",
    ),
    _main("DSR", "downward shortwave radiation at the surface", "FCM", "DSR"),
    Level2Product(
        "FDC",
        "fire and hot spot characterization",
        "FCM",
        (
            Level2Variable("Mask", categories=True),
            Level2Variable("Temp"),
            Level2Variable("Power"),
            Level2Variable("Area"),
        ),
        has_main=False,
    ),
    _main("FSC", "fractional snow cover", "FCM", "FSC"),
    _main("LST", "land surface temperature", "FCM", "LST"),
    _main("LST2KM", "land surface temperature on 2 km pixels", "F", "LST"),
    _main("RRQPE", "rainfall rate", "F", "RRQPE"),
    _main("RSR", "reflected shortwave radiation at the top of the atmosphere", "FC", "RSR"),
    _main("SST", "sea surface temperature", "F", "SST"),
    _main("TPW", "total precipitable water", "FCM", "TPW", flags="DQF_Overall"),
)

#: All products by name.
LEVEL2_PRODUCTS: Mapping[str, Level2Product] = {product.name: product for product in _PRODUCTS}

#: Products of the archive that are no fields on pixels, or are better had otherwise.
_NO_FIELDS: Mapping[str, str] = {
    "DMW": "it holds winds at scattered places, not a field",
    "DMWV": "it holds winds at scattered places, not a field",
    "LVMP": "it holds profiles on pressure levels, which are not supported",
    "LVTP": "it holds profiles on pressure levels, which are not supported",
    "MCMIP": "write CMIP__<n> for the same imagery of one channel",
}


@dataclass(frozen=True)
class Level2:
    """A variable of a level 2 product, of one channel where the product is made for each."""

    product: Level2Product
    variable: Level2Variable
    channel: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels whose files it needs; none where the product's file is of no single channel."""
        return () if self.channel is None else (self.channel,)

    @property
    def name(self) -> str:
        """``HT``, ``CMI_13``: what the field is called in files."""
        return self.variable.name if self.channel is None else f"{self.variable.name}_{self.channel}"


def is_level2(text: str) -> bool:
    """Whether a product is meant to be one of level 2, right or wrong: it starts like a name of the archive."""
    name = text.partition("__")[0]
    return re.fullmatch(r"[A-Z][A-Z0-9]*", name) is not None or name.upper() in LEVEL2_PRODUCTS


def parse_level2(text: str) -> Level2:
    """Read a level 2 product: ``<NAME>``, ``<NAME>__<variable>`` or ``CMIP__<channel>``.

    Raises
    ------
    ValueError
        There is no such product: what is wrong, and a remedy.
    """
    name, *parts = text.split("__")
    if name not in LEVEL2_PRODUCTS:
        raise ValueError(f"{text!r} is no level 2 product that can be read", _instead_of(name))
    product = LEVEL2_PRODUCTS[name]
    if len(parts) > 1:
        raise ValueError(f"{text!r} names {len(parts)} variables of {name}", f"write {_one_form(product)}")
    if product.per_channel:
        return Level2(product, product.variables[0], _channel(parts, text, name))
    if not parts:
        if not product.has_main:
            raise ValueError(f"{text!r} does not say which variable of the product", f"write {_forms(product)}")
        return Level2(product, product.variables[0])
    for variable in product.variables:
        if parts[0] in (variable.name, *variable.other_names):
            return Level2(product, variable)
    raise ValueError(
        f"{text!r} asks for the variable {parts[0]!r}, which {name} does not have", f"write {_forms(product)}"
    )


def _channel(parts: list[str], text: str, name: str) -> int:
    if not parts:
        raise ValueError(f"{text!r} does not say which channel", f"write {name}__<n> with n from 1 to 16")
    if parts[0] not in map(str, _CHANNELS):
        raise ValueError(
            f"{text!r} asks for channel {parts[0]!r}, and ABI has channels 1 to 16",
            f"write {name}__<n> with n from 1 to 16",
        )
    return int(parts[0])


def _instead_of(name: str) -> str:
    if name in _NO_FIELDS:
        return _NO_FIELDS[name]
    # The archive's folders end in the kind of the sector, which has a key of its own.
    if name[-1:] in {"F", "C", "M"} and name[:-1] in LEVEL2_PRODUCTS:
        return f"write {_one_form(LEVEL2_PRODUCTS[name[:-1]])}, and `sector` apart from it"
    close = difflib.get_close_matches(name.upper(), LEVEL2_PRODUCTS)
    if close:
        return f"write {' or '.join(_one_form(LEVEL2_PRODUCTS[match]) for match in close)} if that is what is meant"
    return f"use one of {', '.join(LEVEL2_PRODUCTS)}"


def _one_form(product: Level2Product) -> str:
    return product.name if product.has_main and not product.per_channel else _forms(product)


def _forms(product: Level2Product) -> str:
    if product.per_channel:
        return f"{product.name}__<n> with n from 1 to 16"
    named = [f"{product.name}__{variable.name}" for variable in product.variables]
    return " or ".join([product.name, *named] if product.has_main else named)


def _pattern(product: Level2Product) -> str:
    if product.per_channel:
        return f"{product.name}__([1-9]|1[0-6])"
    names = [name for variable in product.variables for name in (variable.name, *variable.other_names)]
    return f"{product.name}(__({'|'.join(names)})){'?' if product.has_main else ''}"


#: All level 2 products, for what cannot call :func:`parse_level2`; without anchors.
LEVEL2_PATTERN = f"({'|'.join(_pattern(product) for product in _PRODUCTS)})"
