"""Paths between solutions: curves, how they are found, and a proved interval for their height."""

from morsescape.paths.connect import METHODS, connect
from morsescape.paths.connected import Connected, Edge, connected
from morsescape.paths.curve import Curve
from morsescape.paths.found import Found
from morsescape.paths.height import Height, height_of
from morsescape.paths.path import Path

__all__ = [
    "METHODS",
    "Connected",
    "Curve",
    "Edge",
    "Found",
    "Height",
    "Path",
    "connect",
    "connected",
    "height_of",
]
