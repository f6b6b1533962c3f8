"""Scene IDs: ``<source>__<YYYYmmddHHMM>``, named after the minute in which the scan starts, UTC."""

from __future__ import annotations

import re
from datetime import datetime

SCENE_ID_PATTERN = r"(?P<source>[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*)__(?P<minute>\d{12})"
_PATTERN = re.compile(SCENE_ID_PATTERN)


def scene_id_of(source: str, start: datetime) -> str:
    """The ID of the scene of ``source`` whose scan starts at ``start`` (UTC)."""
    return f"{source}__{start:%Y%m%d%H%M}"


def is_scene_id(text: str) -> bool:
    """Whether a text has the form of a scene ID, as other files in the same folder have not."""
    return _PATTERN.fullmatch(text) is not None


def parse_scene_id(scene_id: str) -> tuple[str, datetime]:
    """Source and scan start, to the minute, of a scene ID.

    Raises
    ------
    ValueError
        The text is no scene ID.
    """
    match = _PATTERN.fullmatch(scene_id)
    if match is None:
        raise ValueError(f"{scene_id!r} is no scene ID; expected <source>__<YYYYmmddHHMM>")
    return match["source"], datetime.strptime(match["minute"], "%Y%m%d%H%M")
