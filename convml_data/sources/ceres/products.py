"""What CERES files hold: the grammar of ``product`` for ``source: ceres``, ``<satellite>__<variable>``."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

#: What the archive calls the satellites, each the northern part of what an imager sees.
PLATFORMS = {"goes16n": "GOE16_NH", "meteosat9n": "MET09_NH"}

#: Variables of the files, in the order in which they lie there.
STORED_VARIABLES = (
    "reflectance_vis",
    "visible_count",
    "reflec_vis_137",
    "temperature_sir",
    "temperature_67",
    "temperature_ir",
    "temperature_sw",
    "broadband_shortwave_albedo",
    "broadband_longwave_flux",
    "cloud_ir_emittance",
    "cloud_phase",
    "cloud_visible_optical_depth",
    "cloud_particle_size",
    "cloud_lwp_iwp",
    "cloud_effective_temperature",
    "cloud_top_pressure",
    "cloud_effective_pressure",
    "cloud_bottom_pressure",
    "cloud_top_height",
    "cloud_effective_height",
    "cloud_bottom_height",
    "cloud_top_temperature",
    "cloud_bottom_temperature",
    "pixel_skin_temperature",
    "pixel_sza",
    "pixel_vza",
    "pixel_aza",
    "visible_count_08",
    "visible_count_16",
    "visible_count_23",
    "temperature_87",
    "temperature_133",
)

ALBEDO = "broadband_shortwave_albedo"
LONGWAVE_FLUX = "broadband_longwave_flux"

#: Variables computed from those of a file and the sun's place.
REFLECTED_FLUX = "broadband_shortwave_flux"
NET_FLUX = "approximate_toa_net_radiation_flux"
DERIVED_VARIABLES = (REFLECTED_FLUX, NET_FLUX)

VARIABLES = STORED_VARIABLES + DERIVED_VARIABLES

#: Variables whose values are codes: averages of them mean nothing.
CATEGORIES = frozenset({"cloud_phase"})

#: All products, for what cannot call :func:`parse_ceres`.
CERES_PATTERN = rf"^({'|'.join(PLATFORMS)})__({'|'.join(VARIABLES)})$"


@dataclass(frozen=True)
class CeresField:
    """A variable as seen from a satellite."""

    satellite: str
    variable: str

    @property
    def platform(self) -> str:
        """The satellite's name in the archive."""
        return PLATFORMS[self.satellite]


def parse_ceres(product: str) -> CeresField:
    """Read a product of CERES.

    Raises
    ------
    ValueError
        There is no such product: what is wrong, and a remedy.
    """
    satellite, separator, variable = product.partition("__")
    if not separator:
        example = product if product in VARIABLES else "cloud_top_height"
        raise ValueError(
            f"{product!r} is no product of CERES", f"write <satellite>__<variable>, for example goes16n__{example}"
        )
    if satellite not in PLATFORMS:
        raise ValueError(
            f"{product!r} names {satellite!r}, which is no satellite of CERES", _one_of(PLATFORMS, satellite)
        )
    if variable not in VARIABLES:
        raise ValueError(f"{product!r} names {variable!r}, which is no variable of CERES", _one_of(VARIABLES, variable))
    return CeresField(satellite, variable)


def _one_of(allowed: Collection[str], word: str) -> str:
    near = difflib.get_close_matches(word.casefold(), allowed, n=1, cutoff=0.75)
    did_you_mean = f"did you mean {near[0]}? " if near else ""
    return f"{did_you_mean}allowed: {', '.join(allowed)}"
