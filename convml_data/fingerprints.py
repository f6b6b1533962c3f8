"""Fingerprints: short names for what files were made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

#: Hexadecimal digits; 48 bits tell the settings of any number of datasets apart.
LENGTH = 12


def fingerprint(parts: Any) -> str:
    """``LENGTH`` hexadecimal digits that change with any of ``parts``, which are JSON-ready values.

    The order of mappings does not matter, that of lists does.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:LENGTH]


def fingerprint_of_file(path: Path) -> str:
    """``LENGTH`` hexadecimal digits that change with the content of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()[:LENGTH]
