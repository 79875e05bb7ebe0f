"""Load a data set by its name."""

from __future__ import annotations

import os

import numpy as np
import torch

from morsescape.boundary import a_boolean, a_count, a_path, a_text, checked, choice
from morsescape.data import files
from morsescape.data.dataset import Dataset
from morsescape.errors import ArgumentError

NAMES = ("digits", "mnist", "fashion-mnist")
TESTED = ("mnist", "fashion-mnist")  # those that come with test images


@checked(
    name=choice(NAMES), root=a_path(), train=a_boolean(), samples=a_count(1),
    mirror=a_text('an address'),
)  # fmt: skip
def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    train: bool = True,
    samples: int | None = None,
    mirror: str | None = None,
) -> Dataset:
    """Load a data set as float64 images with pixels in [0, 1] and int64 labels.

    `digits` is scikit-learn's (1,797 images, 8×8, 17 grey levels divided by 16) and needs no file.
    `mnist` and `fashion-mnist` (60,000 training and 10,000 test images, 28×28, bytes divided by
    255) are read, in this order of preference, from `root`, from the folder that the environment
    variable MORSESCAPE_DATA names, from the user's cache, or from the public mirrors into that
    cache. A folder that the user named is only read. Contents are verified by their MD5.

    Args:
        name: "digits", "mnist" or "fashion-mnist".
        root: folder that holds MNIST/raw or FashionMNIST/raw, as torchvision lays them out; files
            gzipped or not.
        train: the training images; False gives the test images (`digits` has none).
        samples: take the first so many, in the order of the files; None takes all.
        mirror: address, ending in "/", to download from instead of the public one.

    Raises:
        ArgumentError: an unknown name, no such part, or more samples than there are.
        DataError: a file that is missing, damaged, or cannot be downloaded.

    Source:
        LeCun, Cortes, Burges, MNIST; Xiao, Rasul, Vollgraf, arXiv:1708.07747 (Fashion-MNIST);
        Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI (digits).

    Example:
        >>> from morsescape.data import load
        >>> print(load("digits"))
        digits: 1,797 samples, 8×8 pixels, 10 classes
        >>> load("digits", samples=100).x.shape
        torch.Size([100, 1, 8, 8])
    """
    data = _digits(train) if name == "digits" else _idx_pair(name, root, train, mirror)
    return data if samples is None else data.first(samples)


def _digits(train: bool) -> Dataset:
    if not train:
        raise ArgumentError(
            "train",
            expected="True for digits, which has no test images",
            got="False",
            cure="use mnist or fashion-mnist, or split digits yourself",
        )
    from sklearn.datasets import load_digits  # late: other data need no scikit-learn

    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(pixels / 16.0).reshape(-1, 1, 8, 8)
    return Dataset("digits", x, torch.from_numpy(labels.astype(np.int64)), 10)


def _idx_pair(
    name: str, root: str | os.PathLike[str] | None, train: bool, mirror: str | None
) -> Dataset:
    source, folder = files.SOURCES[name], files.user_root(root)
    part = "train" if train else "t10k"
    images = files.read(source, f"{part}-images-idx3-ubyte", folder, mirror)
    labels = files.read(source, f"{part}-labels-idx1-ubyte", folder, mirror)
    x = torch.from_numpy(images / 255.0).unsqueeze(1)
    return Dataset(name, x, torch.from_numpy(labels.astype(np.int64)), 10)
