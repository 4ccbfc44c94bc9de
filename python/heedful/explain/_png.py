"""PNG files of arrays, without a library of images."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from heedful.base._types import Array

_COLOUR_TYPE = {1: 0, 3: 2, 4: 6}  # by channels: grey, RGB, RGBA


def png(pixels: Array) -> bytes:
    """The file of uint8 (height, width, 1, 3 or 4).

    Notes
    -----
    W3C 2003, https://www.w3.org/TR/PNG/: every row is preceded by the number of its filter, 0.
    """
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data)
        for name, data in (
            (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""),
        )
    )  # fmt: skip


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
