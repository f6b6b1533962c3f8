"""What was read of files besides their images: kept, so that the next read of a file fetches chunks alone."""

from __future__ import annotations

from dataclasses import dataclass

from convml_data.errors import StoreError
from convml_data.sources.goes.names import AbiFileName
from convml_data.sources.goes.parts import Parts
from convml_data.store.files import Files


@dataclass(frozen=True)
class ChunkTables:
    """A folder of such parts of files, one small file for each: their headers, and the nodes of chunk indices.

    What is kept of a file that the archive has replaced since does not hold any more; readers find out by
    what they read with it.

    Parameters
    ----------
    folder
        Path or URL.
    """

    folder: str

    def of(self, url: str, size: int) -> Parts | None:
        """What is known of a file of this size, None where nothing is."""
        try:
            return Parts.unpacked(self._files.read_bytes(_name(url, size)))
        except (StoreError, ValueError):  # absent or damaged: it is fetched again
            return None

    def keep(self, url: str, size: int, known: Parts | None, read: Parts) -> None:
        """Keep what was read of a file besides what was known.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        parts = Parts() if known is None else Parts(known)
        before = list(parts)
        for start, content in read:
            parts.add(start, content)
        if list(parts) != before:
            self._files.write_bytes(_name(url, size), parts.packed())

    @property
    def _files(self) -> Files:
        return Files(self.folder)


def _name(url: str, size: int) -> str:
    """By day of the year, so that no folder holds more than a few thousand."""
    file_name = url.rpartition("/")[2]
    try:
        folder = f"{AbiFileName.parse(file_name).start:%Y/%j}"
    except ValueError:
        folder = "others"
    return f"{folder}/{file_name}.{size}.parts"
