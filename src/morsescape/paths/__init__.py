"""Paths between solutions: curves, how they are found, and a proved interval for their height."""

from morsescape.paths.alignment import Alignment, Comparison, align, same_solution
from morsescape.paths.attacks import Robustness, fgsm, pgd, robustness
from morsescape.paths.canonical import canonical
from morsescape.paths.connect import METHODS, connect
from morsescape.paths.connected import Connected, Edge, connected
from morsescape.paths.copies import Copies, Exchange, joined_copies
from morsescape.paths.curve import Curve
from morsescape.paths.element import Element
from morsescape.paths.found import Found
from morsescape.paths.height import Height, height_of
from morsescape.paths.invariant import fip
from morsescape.paths.path import Path
from morsescape.paths.profile import Profile, profile
from morsescape.paths.string import neb, string
from morsescape.paths.symmetry import Symmetries, symmetries
from morsescape.paths.trained import bezier, chain
from morsescape.paths.uses import Uses, uses

__all__ = [
    "METHODS",
    "Alignment",
    "Comparison",
    "Connected",
    "Copies",
    "Curve",
    "Edge",
    "Element",
    "Exchange",
    "Found",
    "Height",
    "Path",
    "Profile",
    "Robustness",
    "Symmetries",
    "Uses",
    "align",
    "bezier",
    "canonical",
    "chain",
    "connect",
    "connected",
    "fgsm",
    "fip",
    "height_of",
    "joined_copies",
    "neb",
    "pgd",
    "profile",
    "robustness",
    "same_solution",
    "string",
    "symmetries",
    "uses",
]
