"""The scene ledger: one row for every scan that was seen, with the reason where it is no scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from convml_data.json_rows import reading, written

#: Raised whenever the written form changes in a way that older code would misread.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class SourceFile:
    """A file in an archive.

    Parameters
    ----------
    url
        Of fsspec.
    size
        Bytes.
    version
        Changes with the content where name and size may stay the same, None where the archive never
        replaces a file under its name.
    number
        Which of the times in the file is meant, from 0, None where it holds one.
    """

    url: str
    size: int
    version: str | None = None
    number: int | None = None


@dataclass(frozen=True)
class Scan:
    """One sweep of the instrument over its sector.

    Parameters
    ----------
    start, end
        Of the sweep, UTC; the earliest start and the latest end over its files.
    satellite
        ``goes16``, …
    mode
        The instrument's scan mode, None where the source has none.
    files
        What the product needs of this scan, by channel name (``"1"``, ``"2"``, …), product or ``file``.
    reason
        Why it cannot be a scene, None where nothing speaks against it.
    """

    start: datetime
    end: datetime
    satellite: str
    mode: int | None
    files: Mapping[str, SourceFile]
    reason: str | None = None


@dataclass(frozen=True)
class Coverage:
    """How much of its domain a scene shows, which is known once it is cropped.

    Parameters
    ----------
    made_from
        Fingerprint of the cropped scene.
    valid_share
        Of the domain, with values.
    missing_on_earth_share
        Of the domain, without a value in the source's file though the satellite sees the earth there;
        None where the source does not tell.
    """

    made_from: str
    valid_share: float
    missing_on_earth_share: float | None


@dataclass(frozen=True)
class MatchedBy:
    """How an image of an auxiliary product came to go with a scene.

    Parameters
    ----------
    offset_s
        Start of the image minus that of the scene, seconds; of the nearest image where none goes with it.
    rule
        The strategy and its limit, in words.
    """

    offset_s: float
    rule: str


@dataclass(frozen=True)
class LedgerRow:
    """A scene ID and its scan, and what is known of its coverage.

    ``problem`` is why the scene could not be read when that was last tried, None where it could or was
    not tried. In the matches of an auxiliary product the scan is the product's image that goes with the scene, or
    the nearest one and the reason why it does not.
    """

    scene_id: str
    scan: Scan
    coverage: Coverage | None = None
    match: MatchedBy | None = None
    problem: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the scan is no scene, None where it is one."""
        return self.scan.reason

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        scan = self.scan
        return {
            "scene_id": self.scene_id,
            "start": scan.start.isoformat(),
            "end": scan.end.isoformat(),
            "satellite": scan.satellite,
            "mode": scan.mode,
            "reason": scan.reason,
            "files": {name: _without_none(vars(file)) for name, file in scan.files.items()},
            **({} if self.coverage is None else {"coverage": dict(vars(self.coverage))}),
            **({} if self.match is None else {"match": dict(vars(self.match))}),
            **({} if self.problem is None else {"problem": self.problem}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LedgerRow:
        """The row that :meth:`to_dict` described."""
        return cls(
            values["scene_id"],
            Scan(
                start=datetime.fromisoformat(values["start"]),
                end=datetime.fromisoformat(values["end"]),
                satellite=values["satellite"],
                mode=values["mode"],
                reason=values["reason"],
                files={name: SourceFile(**file) for name, file in values["files"].items()},
            ),
            Coverage(**values["coverage"]) if "coverage" in values else None,
            MatchedBy(**values["match"]) if "match" in values else None,
            values.get("problem"),
        )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _covered(row: LedgerRow, coverage: Coverage | None, min_valid_share: float) -> LedgerRow:
    if coverage is None or row.reason is not None:
        return row
    scan = replace(row.scan, reason=too_little(coverage.valid_share, min_valid_share))
    return replace(row, scan=scan, coverage=coverage, problem=None)


def too_little(valid_share: float, min_valid_share: float) -> str | None:
    """Why a scene with values in ``valid_share`` of its domain is none, None where it is one."""
    if valid_share >= min_valid_share:
        return None
    return f"valid share {valid_share:.3f} is below quality.min_valid_share {min_valid_share:g}"


@dataclass(frozen=True)
class Ledger:
    """All scans of a dataset's source in time order.

    Parameters
    ----------
    source, product
        Of the dataset.
    archive
        Where the files lie.
    fingerprint
        Of the parts of ``meta.yaml`` that decided what is a scene.
    rows
        One for each scan, by start time.
    position
        UTC: from here on the archive is listed for what is new; None where the ledger is made in one go.
    """

    source: str
    product: str
    archive: str
    fingerprint: str
    rows: tuple[LedgerRow, ...]
    position: datetime | None = None

    @property
    def scenes(self) -> tuple[LedgerRow, ...]:
        """The rows that are scenes."""
        return tuple(row for row in self.rows if row.reason is None)

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """IDs of the scenes, in time order, each once."""
        return tuple(row.scene_id for row in self.scenes)

    def covered(self, coverages: Mapping[str, Coverage], min_valid_share: float) -> Ledger:
        """The ledger with what is known of the coverage of scenes, by scene ID.

        Scenes that show less than ``min_valid_share`` of the domain are scenes no longer.
        """
        return replace(
            self, rows=tuple(_covered(row, coverages.get(row.scene_id), min_valid_share) for row in self.rows)
        )

    def with_problems(self, problems: Mapping[str, str]) -> Ledger:
        """The ledger with why scenes could not be read, by scene ID."""
        rows = (replace(row, problem=problems.get(row.scene_id, row.problem)) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def drops(self) -> dict[str, int]:
        """How many scans were dropped for each reason, most frequent first."""
        return dict(Counter(row.reason for row in self.rows if row.reason is not None).most_common())

    def to_json(self) -> str:
        """The ledger's written form, one row a line."""
        head = {
            "source": self.source,
            "product": self.product,
            "archive": self.archive,
            "fingerprint": self.fingerprint,
            **({} if self.position is None else {"position": self.position.isoformat()}),
        }
        return written(FORMAT_VERSION, head, "rows", (row.to_dict() for row in self.rows))

    @classmethod
    def from_json(cls, text: str, where: str) -> Ledger:
        """The ledger that :meth:`to_json` wrote; ``where`` names its file in errors.

        Raises
        ------
        StoreError
            The text is no ledger, or one of another format version.
        """
        remedy = "Run `convml-data scene-ids` to make it anew"
        with reading(
            text, where, FORMAT_VERSION, has="this ledger has", is_no="this is no scene ledger", remedy=remedy
        ) as values:
            return cls(
                values["source"],
                values["product"],
                values["archive"],
                values["fingerprint"],
                tuple(LedgerRow.from_dict(row) for row in values["rows"]),
                datetime.fromisoformat(values["position"]) if "position" in values else None,
            )
