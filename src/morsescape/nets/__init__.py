"""The networks of the paper, and their training."""

from morsescape.nets.architectures import ACTIVATIONS, NAMES, POOLS, build
from morsescape.nets.training import Recipe, Training, TrainingStatus, default_recipe, train

__all__ = [
    "ACTIVATIONS",
    "NAMES",
    "POOLS",
    "Recipe",
    "Training",
    "TrainingStatus",
    "build",
    "default_recipe",
    "train",
]
