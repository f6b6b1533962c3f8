"""Data quality flags: which pixels are kept.

Flags follow the CF conventions, section 3.5, as the archive's files do. In an enumeration each value of
the flag has one meaning (``flag_values``). With ``flag_masks`` the flag is made of groups of bits that
each have meanings of their own; a pixel has a meaning where its bits under the mask equal the value, or
are not zero where the file gives masks alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError

#: ``good``, ``any``, or the meanings of the flags to keep.
Quality = str | tuple[str, ...]

GOOD, ANY = "good", "any"

#: How the meaning of a good state starts in the files: good_pixel_qf, high_quality_retrieval_qf, valid_LZA_qf.
_GOOD_STATE = re.compile(r"(good|high_quality|valid)(_|$)")

#: Ends of meanings that may be left out in what is asked for.
_SUFFIXES = ("_pixel_qf", "_qf")


@dataclass(frozen=True)
class Flag:
    """One meaning that a flag can have.

    Parameters
    ----------
    meaning
        As in the file.
    mask
        The bits that it is about.
    value
        What they are then; None where it is enough that one of them is set.
    """

    meaning: str
    mask: int
    value: int | None

    def of(self, stored: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
        """Whether flags have this meaning."""
        bits = stored & self.mask
        return np.asarray(bits != 0 if self.value is None else bits == self.value)

    @property
    def is_good(self) -> bool:
        """Whether it says that a value is good."""
        return _GOOD_STATE.match(self.meaning) is not None

    def is_called(self, name: str) -> bool:
        """Whether this is the meaning that was asked for, in full or without its usual end."""
        return name in (self.meaning, *(self.meaning.removesuffix(end) for end in _SUFFIXES))


@dataclass(frozen=True)
class Flags:
    """What the flags of a file mean.

    Parameters
    ----------
    meanings
        All of them; none where the file does not say.
    fill
        Of pixels without a flag.
    bits
        Of a flag.
    """

    meanings: tuple[Flag, ...]
    fill: int | None
    bits: int

    @classmethod
    def described(
        cls,
        meanings: Sequence[str],
        values: Iterable[int] | None,
        masks: Iterable[int] | None,
        fill: int | None,
        bits: int,
    ) -> Flags:
        """Flags from the attributes ``flag_meanings``, ``flag_values`` and ``flag_masks``.

        Raises
        ------
        ValueError
            They do not fit together.
        """
        if values is None and masks is None and meanings:
            raise ValueError("flag_meanings have neither flag_values nor flag_masks")
        everything = (1 << bits) - 1
        flag_values: list[int | None] = [None] * len(meanings) if values is None else [*values]
        # A mask without bits would hold for every pixel; files that have one mean the whole flag.
        flag_masks = [everything] * len(meanings) if masks is None else [mask or everything for mask in masks]
        if not len(meanings) == len(flag_values) == len(flag_masks):
            raise ValueError(
                f"there are {len(meanings)} flag_meanings, {len(flag_values)} flag_values and "
                f"{len(flag_masks)} flag_masks"
            )
        return cls(tuple(map(Flag, meanings, flag_masks, flag_values)), fill, bits)

    def kept(self, quality: Quality, good: tuple[str, ...], where: str) -> Kept:
        """Which flags are kept.

        ``good`` keeps the pixels whose flag says good, high quality or valid in each group of bits that
        has such a state; of a group whose bits only name what is wrong none may be set. Where the
        file has no word for good at all, the flag is good if it is zero. Names keep the pixels that have one of
        them, one of each group of bits that they are from: of the aerosol optical depth, ``good`` keeps retrievals of
        high quality alone, and ``high_quality_retrieval`` with ``medium_quality_retrieval`` the best two.

        Parameters
        ----------
        quality
            What was asked for.
        good
            Meanings that stand for ``good``, none to find them as above.
        where
            URL of the file, for errors.

        Raises
        ------
        SceneError
            The file lacks a meaning that was asked for.
        """
        stored = np.arange(1 << self.bits, dtype=np.uint32)
        if quality == ANY:
            return Kept(ANY, np.ones(stored.shape, np.bool_))
        names = good if quality == GOOD else (quality,) if isinstance(quality, str) else quality
        wanted = [self._called(name, where) for name in names]
        if quality == GOOD and not names:
            table, text = self._good(stored)
        else:
            table = _one_of_each_group(wanted, stored)
            text = " ".join(flag.meaning for flag in wanted)
        if self.fill is not None:
            table[self.fill] = False
        return Kept(text, table)

    def _called(self, name: str, where: str) -> Flag:
        for flag in self.meanings:
            if flag.is_called(name):
                return flag
        known = ", ".join(flag.meaning for flag in self.meanings) or "none that it explains"
        raise SceneError(
            f"the file has no data quality flag {name!r}; its flags are {known}",
            where=where,
            remedy="Name flags of the file under `quality: flags:` in meta.yaml, or write good or any",
        )

    def _good(self, stored: npt.NDArray[np.unsignedinteger]) -> tuple[npt.NDArray[np.bool_], str]:
        stated = [flag for flag in self.meanings if flag.is_good]
        table = _one_of_each_group(stated, stored)
        settled = {flag.mask for flag in stated}
        for flag in self.meanings:
            zero_means_something = any(other.mask == flag.mask and other.value == 0 for other in self.meanings)
            if flag.mask not in settled and not zero_means_something:
                table &= ~flag.of(stored)
        if not stated:
            table &= stored == 0
        return table, " ".join(flag.meaning for flag in stated) or "0"

    def shares(self, stored: npt.NDArray[np.unsignedinteger]) -> dict[str, float]:
        """The share of pixels with each meaning."""
        return {flag.meaning: float(np.count_nonzero(flag.of(stored)) / stored.size) for flag in self.meanings}


@dataclass(frozen=True, eq=False)
class Kept:
    """A choice of flags.

    Parameters
    ----------
    text
        ``any``, or the meanings that are kept, separated by spaces; ``0`` where the file does not
        explain its flags.
    table
        Whether each value of a flag is kept, by value.
    """

    text: str
    table: npt.NDArray[np.bool_]

    def among(self, stored: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
        """Whether flags are kept, same shape."""
        return np.asarray(self.table[stored])


def _one_of_each_group(wanted: Sequence[Flag], stored: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
    table = np.ones(stored.shape, np.bool_)
    for mask in {flag.mask for flag in wanted}:
        table &= np.any([flag.of(stored) for flag in wanted if flag.mask == mask], axis=0)
    return table


def unsigned(values: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
    """Integers by their bits, which is how flags are compared."""
    return values.view(f"u{values.dtype.itemsize}")
