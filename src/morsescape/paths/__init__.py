"""Paths between solutions: curves, how they are found, and a proved interval for their height."""

from morsescape.paths.alignment import Alignment, align, same_solution
from morsescape.paths.canonical import canonical
from morsescape.paths.connect import METHODS, connect
from morsescape.paths.connected import Connected, Edge, connected
from morsescape.paths.curve import Curve
from morsescape.paths.found import Found
from morsescape.paths.height import Height, height_of
from morsescape.paths.invariant import fip
from morsescape.paths.path import Path
from morsescape.paths.string import neb, string
from morsescape.paths.symmetry import Symmetries, symmetries
from morsescape.paths.trained import bezier, chain

__all__ = [
    "METHODS",
    "Alignment",
    "Connected",
    "Curve",
    "Edge",
    "Found",
    "Height",
    "Path",
    "Symmetries",
    "align",
    "bezier",
    "canonical",
    "chain",
    "connect",
    "connected",
    "fip",
    "height_of",
    "neb",
    "same_solution",
    "string",
    "symmetries",
]
