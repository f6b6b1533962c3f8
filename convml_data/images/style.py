"""How a dataset's pictures are drawn: one style for all of its scenes and tiles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from convml_data.fingerprints import fingerprint

#: The colours of fields unless ``meta.yaml`` names others.
GREY = "gray"


@dataclass(frozen=True)
class Band:
    """How a band of a field is shown: which values are the darkest and the brightest.

    Parameters
    ----------
    name
        Of the band.
    dark, bright
        Values at the low and at the high end of the colours, in the band's units; ``bright`` may be
        the lower one.
    """

    name: str
    dark: float
    bright: float


@dataclass(frozen=True)
class TruecolorStyle:
    """Reflectances of red, green and blue, stretched as the eye does; they need nothing but their values."""


@dataclass(frozen=True)
class FieldStyle:
    """Fields on a scale of values, a single one in the colours of a colour map of Matplotlib."""

    bands: tuple[Band, ...]
    colours: str


@dataclass(frozen=True)
class CompositeStyle:
    """A composite of satpy's, with its own enhancement."""

    name: str


@dataclass(frozen=True)
class UserStyle:
    """A function of the user, in a file of which the content has a fingerprint."""

    file: Path
    function: str
    content: str


#: None where there are no pictures.
Style = TruecolorStyle | FieldStyle | CompositeStyle | UserStyle | None


def style_fingerprint(style: Style) -> str:
    """What pictures of a style follow from besides the data."""
    values = {} if style is None else asdict(style)
    return fingerprint([type(style).__name__, {name: value for name, value in values.items() if name != "file"}])
