"""Morse graphs: certified passes, the tree of sublevel sets, everything in low dimension."""

from morsescape.morse.flow import Flow, steepest_descent
from morsescape.morse.saddle import find_saddle

__all__ = ["Flow", "find_saddle", "steepest_descent"]
