"""Morse graphs: certified passes, the tree of sublevel sets, everything in low dimension."""

from morsescape.morse.flow import Flow, steepest_descent
from morsescape.morse.graph import MorseGraph, morse_graph
from morsescape.morse.handles import Handle, Handles, handles
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.morse.saddle import find_saddle
from morsescape.morse.sides import Pass, Side, pass_over

__all__ = [
    "Flow",
    "Handle",
    "Handles",
    "Join",
    "MergeTree",
    "MorseGraph",
    "Pass",
    "Side",
    "find_saddle",
    "handles",
    "morse_graph",
    "pass_over",
    "steepest_descent",
]
