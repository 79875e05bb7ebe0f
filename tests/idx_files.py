"""A small stand-in for MNIST: the same four files, with five training and two test images."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np

from morsescape.data.files import Source


def encode(array: np.ndarray) -> bytes:
    """The array as an IDX file of unsigned bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


ARRAYS = {
    "train-images-idx3-ubyte": np.arange(5 * 4 * 4).reshape(5, 4, 4) * 3,
    "train-labels-idx1-ubyte": np.array([3, 1, 4, 1, 5]),
    "t10k-images-idx3-ubyte": np.full((2, 4, 4), 255),
    "t10k-labels-idx1-ubyte": np.array([9, 2]),
}
SMALL = Source(
    "MNIST/raw",
    "http://127.0.0.1:9/",  # the discard port: nobody answers
    {stem: hashlib.md5(encode(array)).hexdigest() for stem, array in ARRAYS.items()},
)


def write_all(folder: Path, *, gzipped: bool) -> Path:
    """Write the four files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in ARRAYS.items():
        content = encode(array)
        name, content = (f"{stem}.gz", gzip.compress(content)) if gzipped else (stem, content)
        (folder / name).write_bytes(content)
    return folder
