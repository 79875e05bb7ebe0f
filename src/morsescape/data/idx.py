"""The IDX format of the MNIST family: a big-endian header, then bytes in C order.

Two zero bytes, a type code (0x08 for unsigned bytes), the number of dimensions, then each dimension
as a 32-bit integer; the rest is the array. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST
database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from morsescape.errors import DataError

_UNSIGNED_BYTE = 0x08


def read(path: Path, *, ndim: int, md5: str | None = None) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped (by its first bytes, not its name) or plain.

    Args:
        path: the file.
        ndim: number of dimensions it must have: 3 for images, 1 for labels.
        md5: MD5 that the decompressed contents must have; None skips that check.

    Returns:
        A read-only uint8 array with `ndim` dimensions.

    Raises:
        DataError: the file cannot be read, is cut short, is not IDX of that shape, or has contents
            other than the checksum says.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp(), "labels")
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> read(path, ndim=1).tolist()
        [7, 2, 1]
    """
    content = _contents(path)
    array = _parse(path, content, ndim)
    if md5 is not None:
        got = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if got != md5:
            raise damaged(path, expected=f"contents with MD5 {md5}", got=got)
    return array


def damaged(path: Path, *, expected: str, got: str) -> DataError:
    """The error that names a damaged data file."""
    return DataError(
        str(path), expected=expected, got=got, cure="delete this file and fetch it once more"
    )


def _contents(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, expected="a whole gzip file", got=str(error)) from error
    except OSError as error:
        raise DataError(
            str(path),
            expected="a readable file",
            got=error.strerror or str(error),
            cure="check the folder and its permissions",
        ) from error


def _parse(path: Path, content: bytes, ndim: int) -> np.ndarray:
    start = 4 + 4 * ndim
    magic = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if content[:4] != magic or len(content) < start:
        raise damaged(
            path,
            expected=f"IDX, magic number {magic.hex()} and {ndim} dimensions",
            got=f"{len(content):,} bytes that start with {content[:4].hex() or 'nothing'}",
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=ndim, offset=4))
    # Python's integers: a damaged header can name sizes whose product overflows 64 bits.
    size = start + math.prod(shape)
    if len(content) != size:
        raise damaged(
            path,
            expected=f"{size:,} bytes for shape {shape}",
            got=f"{len(content):,} bytes",
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
