"""What tiles of all kinds have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from convml_data.fingerprints import fingerprint
from convml_data.geometry.local import Domain, LocalDomain, LocalGrid, PlaneDomain
from convml_data.geometry.windows import Window

#: The kinds of tiles, as stages of the pipeline and as commands name them.
TileStage = Literal["triplet_tiles", "trajectory_tiles", "sliding_window_tiles"]

#: Raised whenever the files of a tile are written in a way that older ones are not.
FORMAT_VERSION = 1


class Tile(ABC):
    """A square part of a scene that is to be cut.

    ``collection`` names the folder that its files are in below that of its kind, and is empty for none.
    ``x_c`` and ``y_c`` are its centre on the domain's plane, metres to the east and to the north of the
    domain's centre; ``central_latitude`` and ``central_longitude`` degrees, None where the domain has
    no place on the earth; ``length`` is that of its sides, ``resolution`` that of its cells, metres.
    """

    scene_id: str
    collection: str
    x_c: float
    y_c: float
    central_latitude: float | None
    central_longitude: float | None
    length: float
    resolution: float

    @property
    @abstractmethod
    def name(self) -> str:
        """What its files are called, without folder and ending."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What its yml says of it beside its place and its scene."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values of all that defines it."""

    @property
    def window(self) -> Window | None:
        """Its cells of the scene on the domain's grid, None where it has a grid of its own."""
        return None

    @property
    def grid(self) -> LocalGrid:
        """Its cells, on a plane that touches the earth at its centre."""
        domain: Domain = PlaneDomain(self.x_c, self.y_c, self.length, self.length)
        if self.central_latitude is not None and self.central_longitude is not None:
            domain = LocalDomain(self.central_latitude, self.central_longitude, self.length, self.length)
        return domain.grid(self.resolution)

    @property
    def location(self) -> dict[str, float]:
        """Where it lies."""
        location = {"x_c": self.x_c, "y_c": self.y_c, "l_zonal": self.length, "l_meridional": self.length}
        if self.central_latitude is not None and self.central_longitude is not None:
            location |= {"central_latitude": self.central_latitude, "central_longitude": self.central_longitude}
        return location

    def fingerprint(self, of_source: str) -> str:
        """12 hexadecimal digits that change with anything that its pixels or its yml follow from.

        Parameters
        ----------
        of_source
            Fingerprint of what its scene's data follows from.
        """
        # Sines and projections may differ in the last bit between processors; a millimetre changes no pixel.
        place = {"x_c": round(self.x_c, 3), "y_c": round(self.y_c, 3)}
        if self.central_latitude is not None and self.central_longitude is not None:
            place |= {
                "central_latitude": round(self.central_latitude, 8),
                "central_longitude": round(self.central_longitude, 8),
            }
        return fingerprint({"format_version": FORMAT_VERSION, "source": of_source, "tile": self.to_dict() | place})
