"""Plots one after the other as a film."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

#: Plots a second.
RATE = 6


def film(plots: Sequence[bytes]) -> tuple[bytes, str]:
    """A film of PNG images of one size with even sides, and the ending of its file.

    ``.mp4`` (H.264) where there is ffmpeg, ``.gif`` elsewhere.
    """
    try:
        return _mp4(plots), ".mp4"
    except (ImportError, RuntimeError):  # not installed; installed, but without ffmpeg for this system
        return _gif(plots), ".gif"


def _mp4(plots: Sequence[bytes]) -> bytes:
    import imageio_ffmpeg

    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        size = _image(plots[0]).size
        # Steadily good, and without what differs from one machine to the next.
        writer = imageio_ffmpeg.write_frames(
            str(path), size, fps=RATE, macro_block_size=2, quality=None, output_params=["-crf", "20", "-bitexact"]
        )
        writer.send(None)
        for plot in plots:
            writer.send(np.asarray(_image(plot)).tobytes())
        writer.close()
        return path.read_bytes()


def _gif(plots: Sequence[bytes]) -> bytes:
    first, *rest = (_image(plot).quantize(128, dither=Image.Dither.NONE) for plot in plots)
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=1000 // RATE, loop=0)
    return buffer.getvalue()


def _image(plot: bytes) -> Image.Image:
    return Image.open(BytesIO(plot)).convert("RGB")
