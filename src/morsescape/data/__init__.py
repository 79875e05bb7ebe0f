"""Data sets as tensors: `digits`, `mnist`, `fashion-mnist`, or your own in a `Dataset`."""

from morsescape.data.dataset import Dataset
from morsescape.data.load import NAMES, load

__all__ = ["NAMES", "Dataset", "load"]
