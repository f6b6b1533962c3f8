"""Pictures of fields: 8-bit RGB, row 0 in the north, and never a hole that looks like data."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image

from convml_data.errors import SceneError
from convml_data.images.stretch import cira_levels
from convml_data.images.style import GREY, Band, CompositeStyle, FieldStyle, Style, TruecolorStyle, UserStyle
from convml_data.side_by_side import blocks_of_rows, each_of

if TYPE_CHECKING:
    import xarray as xr

#: Grey of pixels without a value, of 255: neither the black of deep space nor the white of cloud.
MISSING_GREY = 128

#: Name of the text in a PNG file that says how it was drawn.
STYLE_KEY = "convml_style"

# Not Pillow's encoder, which takes ten times as long for files of the same size: `docs/decisions/010-writing.md`.
_EIGHT_BITS_OF_RGB = (8, 2, 0, 0, 0)
_DIFFERENCE_TO_ROW_BEFORE = 2
_DEFLATE_LEVEL = 1
#: How a zlib stream begins: deflate, a window of 32 KiB, the quickest level, no dictionary.
_ZLIB_HEAD = b"\x78\x01"


def scene_picture(data: xr.Dataset, style: Style) -> Image.Image:
    """The picture of a scene or tile, whichever way its rows run.

    Parameters
    ----------
    data
        One variable (y, x) or (bands, y, x) with the coordinate y.
    style
        Of the dataset, so that pictures of all its scenes and tiles can be compared.
    """
    return _drawn(data, style)[0]


def scene_levels(data: xr.Dataset, style: Style) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The picture of a scene or tile as numbers, for those who compute with it.

    Parameters
    ----------
    data, style
        As of :func:`scene_picture`.

    Returns
    -------
    levels
        Red, green and blue from 0 to 255, shape (3, ny, nx), row 0 in the north: the picture's own.
    missing
        Where the picture is grey because there is no value, shape (ny, nx), row 0 in the north.
    """
    picture, shown, ascending = _drawn(data, style)
    missing = np.asarray(~np.isfinite(shown).all(axis=0))
    return np.moveaxis(np.asarray(picture), -1, 0), missing[::-1] if ascending else missing


def _drawn(data: xr.Dataset, style: Style) -> tuple[Image.Image, npt.NDArray[np.floating], bool]:
    """The picture, what it shows (bands, y, x), grey where that is not finite, and whether y ascends in the latter."""
    (field,) = data.data_vars.values()
    y = field["y"].values
    ascending = bool(y[-1] > y[0])
    assert style is not None  # which is that of datasets without pictures
    match style:
        case TruecolorStyle():
            return truecolor_picture(field.values, y_ascending=ascending), field.values, ascending
        case FieldStyle(bands=bands, colours=colours):
            values = field.values.reshape(-1, *field.shape[-2:])
            return field_picture(values, bands, colours, y_ascending=ascending), values[:3], ascending
        case CompositeStyle():
            from convml_data.sources.goes.composites import composite_picture

            levels, missing = composite_picture(data)
            shades: npt.NDArray[np.floating] = np.where(missing, np.nan, np.moveaxis(levels, -1, 0) / 255)
            return _image(shades, ascending), shades, ascending
        case UserStyle():
            from convml_data.user_functions import call_image_function

            shades = call_image_function(style.file, style.function, field)
            return _image(shades, ascending), shades, ascending


def field_picture(
    values: npt.NDArray[np.floating], bands: tuple[Band, ...], colours: str = GREY, *, y_ascending: bool
) -> Image.Image:
    """A field in colours of a scale, or the first three of several bands as red, green and blue.

    Parameters
    ----------
    values
        Shape (bands, ny, nx).
    bands
        One for each. Two bands are shown as red and green, without blue.
    colours
        Name of a colour map of Matplotlib, for a single band.
    y_ascending
        As in :func:`truecolor_picture`, which also says how pixels without a value look.
    """
    if len(values) != len(bands):
        raise SceneError(
            f"there are {len(values)} bands to draw, and the limits of pictures are those of {len(bands)}",
            remedy="Delete picture_style.json beside the scene ledger to have the limits made anew",
        )
    shown = np.ascontiguousarray(values[:3], np.float32)
    dark, bright = np.array([[band.dark, band.bright] for band in bands[:3]], np.float32).T.copy()
    if len(shown) == 1 and colours != GREY:
        shades = np.clip((shown[0] - dark) / (bright - dark), 0, 1)
        return _image(_coloured(shades, colours), y_ascending)
    from convml_data.kernels.levels import shade

    picture = np.empty((*shown.shape[1:], 3), np.uint8)
    shade(shown, dark, bright, MISSING_GREY, y_ascending, picture)
    return Image.fromarray(picture)


def _coloured(shades: npt.NDArray[np.floating], colours: str) -> npt.NDArray[np.floating]:
    """Shades from 0 to 1, shape (ny, nx), as red, green and blue, NaN where they are NaN."""
    import matplotlib  # here, since most datasets are drawn without it

    rgba = matplotlib.colormaps[colours](np.nan_to_num(shades))
    rgb = np.moveaxis(rgba[..., :3], -1, 0)
    return np.where(np.isfinite(shades), rgb, np.nan)


def truecolor_picture(rgb: npt.NDArray[np.floating], *, y_ascending: bool) -> Image.Image:
    """A truecolor scene or tile as it is looked at.

    Parameters
    ----------
    rgb
        Reflectances in percent of red, green and blue, shape (3, ny, nx).
    y_ascending
        Whether the rows run from south to north, as on local grids, or from north to south, as in
        satellite images.

    Returns
    -------
    Image of mode RGB with row 0 in the north; pixels without a value (:func:`missing_pixels`) are
    grey.
    """
    from convml_data.kernels.levels import paint

    _require_three_bands(rgb)
    levels = cira_levels()
    picture = np.empty((*rgb.shape[1:], 3), np.uint8)

    def paint_rows(block: slice) -> None:
        bits = np.ascontiguousarray(rgb[:, block], np.float32).view(np.int32)
        shown = picture[::-1][block][::-1] if y_ascending else picture[block]
        paint(bits, levels.thresholds, levels.lowest, levels.first, levels.shift, MISSING_GREY, y_ascending, shown)

    for _ in each_of(blocks_of_rows(len(picture), rgb.nbytes), paint_rows, rgb.nbytes):
        pass
    return Image.fromarray(picture)


def _image(rgb: npt.NDArray[np.floating], y_ascending: bool) -> Image.Image:
    """Shades from 0 to 1, shape (3, ny, nx), as an image with row 0 in the north."""
    levels = np.rint(np.nan_to_num(rgb) * 255).astype(np.uint8)
    levels[:, missing_pixels(rgb)] = MISSING_GREY
    if y_ascending:
        levels = levels[:, ::-1, :]
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))


def missing_pixels(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Where any band of an array of shape (3, ny, nx) has no finite value, shape (ny, nx)."""
    _require_three_bands(rgb)
    return np.asarray(~np.isfinite(rgb).all(axis=0))


def _require_three_bands(rgb: npt.NDArray[np.floating]) -> None:
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(f"expected red, green and blue as (3, ny, nx), not an array of shape {rgb.shape}")


def png_bytes(image: Image.Image, style: str | None = None) -> bytes:
    """The image as PNG: the same pixels give the same bytes.

    Parameters
    ----------
    image
        Of mode RGB.
    style
        Fingerprint of how it was drawn, kept in the file (:data:`STYLE_KEY`).
    """
    rows = np.asarray(image).reshape(image.height, -1)
    # Of each row the difference to the row before, which in clouds is as good as any choice made row by row.
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _DIFFERENCE_TO_ROW_BEFORE
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    note = b"" if style is None else _chunk(b"tEXt", f"{STYLE_KEY}\0{style}".encode("latin-1"))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", *image.size, *_EIGHT_BITS_OF_RGB)),
            note,
            _chunk(b"IDAT", _deflated(filtered)),
            _chunk(b"IEND", b""),
        ]
    )


def _deflated(rows: npt.NDArray[np.uint8]) -> bytes:
    """Rows as one zlib stream; those of a large image in parts that are compressed side by side (RFC 1950, 1951)."""
    blocks = blocks_of_rows(len(rows), rows.nbytes)
    if len(blocks) == 1:
        return bytes(isal_zlib.compress(rows, _DEFLATE_LEVEL))

    def compressed(block: slice) -> bytes:
        stream = isal_zlib.compressobj(_DEFLATE_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        is_last = block.stop == len(rows)
        return bytes(
            stream.compress(rows[block]) + stream.flush(isal_zlib.Z_FINISH if is_last else isal_zlib.Z_FULL_FLUSH)
        )

    checksum = struct.pack(">I", isal_zlib.adler32(rows))
    return b"".join([_ZLIB_HEAD, *each_of(blocks, compressed, rows.nbytes), checksum])


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", isal_zlib.crc32(content, isal_zlib.crc32(kind)))
    )


def thumbnail(image: Image.Image, max_side: int) -> bytes:
    """The image as PNG, shrunk to sides of at most ``max_side`` pixels, never enlarged."""
    scale = min(1, max_side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Averages of blocks first, which is all that is seen of a large image.
    return png_bytes(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))
