"""Random draws that depend on their name alone.

A draw is a hash of a seed and of the words and numbers that say what it is for. There is no
generator whose state could depend on what was drawn before, so a draw is the same on every
platform, on any day and in whichever worker makes it.
"""

from __future__ import annotations

import json
from hashlib import sha256


def named_hash64(seed: int, *name: str | int) -> int:
    """A whole number in [0, 2**64), uniform over names."""
    return _hash64([seed, list(name)])


def named_uniforms(seed: int, *name: str | int, count: int) -> tuple[float, ...]:
    """``count`` numbers in [0, 1), uniform and independent over names and positions.

    A larger ``count`` keeps the numbers of a smaller one.
    """
    # The upper 53 bits of a hash: as many as a double holds, so that 1.0 is never reached.
    return tuple((_hash64([seed, list(name), position]) >> 11) * 2.0**-53 for position in range(count))


def _hash64(key: list[object]) -> int:
    # JSON keeps 1 apart from "1" and ["a", "bc"] apart from ["ab", "c"].
    return int.from_bytes(sha256(json.dumps(key).encode()).digest()[:8], "big")
