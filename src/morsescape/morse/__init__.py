"""Morse graphs: certified passes, the tree of sublevel sets, everything in low dimension."""

from morsescape.morse.capture import CaptureBall, capture_ball
from morsescape.morse.embedding import Embedding, embed, flip_path
from morsescape.morse.flow import Flow, steepest_descent
from morsescape.morse.graph import MorseGraph, morse_graph
from morsescape.morse.handles import Handle, Handles, handles
from morsescape.morse.merge_tree import Join, MergeTree
from morsescape.morse.orbits import CopiesJoined
from morsescape.morse.saddle import find_saddle
from morsescape.morse.sides import Pass, Side, pass_over

__all__ = [
    "CaptureBall",
    "CopiesJoined",
    "Embedding",
    "Flow",
    "Handle",
    "Handles",
    "Join",
    "MergeTree",
    "MorseGraph",
    "Pass",
    "Side",
    "capture_ball",
    "embed",
    "find_saddle",
    "flip_path",
    "handles",
    "morse_graph",
    "pass_over",
    "steepest_descent",
]
