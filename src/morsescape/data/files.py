"""Where the files of MNIST and Fashion-MNIST lie, and how they come there.

A folder named by the user is only read. The user's cache is read, and filled from the public
mirrors where a file is missing. Either has torchvision's layout: `MNIST/raw/…`,
`FashionMNIST/raw/…`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pooch

from morsescape.data import idx
from morsescape.errors import DataError

ROOT_VARIABLE = "MORSESCAPE_DATA"


@dataclass(frozen=True)
class Source:
    """A data set of four IDX files: its folder, its mirror, and the MD5 of each file's contents."""

    folder: str
    mirror: str
    md5: dict[str, str]


# The mirrors are those of torchvision. The checksums are of the decompressed contents, because an
# archive may be packed anew without any change to what is in it.
SOURCES = {
    "mnist": Source(
        "MNIST/raw",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion-mnist": Source(
        "FashionMNIST/raw",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}


def read(source: Source, stem: str, root: Path | None, mirror: str | None) -> np.ndarray:
    """The array of one file, verified, from `root` or else from the cache or the mirror."""
    ndim = 3 if "idx3" in stem else 1
    if root is not None:
        return idx.read(_given(root / source.folder, stem), ndim=ndim, md5=source.md5[stem])
    folder = cache_folder() / source.folder
    cached = _existing(folder, stem)
    if cached is not None:
        return idx.read(cached, ndim=ndim, md5=source.md5[stem])
    fetched = download(stem, folder, mirror or source.mirror)
    try:
        return idx.read(fetched, ndim=ndim, md5=source.md5[stem])
    except DataError:
        # Left in the cache, a bad download would be taken for good the next time.
        fetched.unlink()
        raise


def user_root(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder that the user named, by argument or else by the environment; None for neither."""
    named = root or os.environ.get(ROOT_VARIABLE)
    if not named:
        return None
    try:
        return Path(named).expanduser()
    except RuntimeError:  # "~name" of nobody here: a folder of that name, then
        return Path(named)


def cache_folder() -> Path:
    """The folder of this package in the user's cache; not created here."""
    return Path(platformdirs.user_cache_dir("morsescape"))


def download(stem: str, folder: Path, mirror: str) -> Path:
    """Fetch `stem`.gz from `mirror`, an address that ends in "/", into `folder`.

    The file appears under its name only when all of it has come.

    Raises:
        DataError: no connection, no such file on the mirror, or no space left.
    """
    name = f"{stem}.gz"
    # No checksum here (None): idx.read verifies the contents, which is what matters.
    fetcher = pooch.create(path=folder, base_url=mirror, registry={name: None})
    try:
        return Path(fetcher.fetch(name))
    # Errors of requests are OSErrors too; an address of no known protocol is a ValueError.
    except (OSError, ValueError) as error:
        raise DataError(
            name,
            expected=f"a download from {mirror} into {folder}",
            got=f"{type(error).__name__}: {error}",
            cure="connect to the network, or name a folder that holds MNIST/raw or "
            f"FashionMNIST/raw: --root DIR, root=..., or {ROOT_VARIABLE}",
        ) from error


def _existing(folder: Path, stem: str) -> Path | None:
    candidates = (folder / stem, folder / f"{stem}.gz")
    # Not Path.is_file, which raises for a name that is too long.
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113


def _given(folder: Path, stem: str) -> Path:
    path = _existing(folder, stem)
    if path is None:
        raise DataError(
            str(folder),
            expected=f"the file {stem} or {stem}.gz",
            got="neither" if os.path.isdir(folder) else "no such folder",  # noqa: PTH112
            cure="name the folder above MNIST/raw and FashionMNIST/raw, or name none "
            f"(no --root, {ROOT_VARIABLE} unset) to use the cache and the mirrors",
        )
    return path
