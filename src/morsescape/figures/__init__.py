"""Figures for papers: functions on arrays that draw into axes, without pyplot and its state.

Each takes `ax`; None makes a figure of its own, reached as `ax.figure`.
"""

from morsescape.figures.bars import CountRow, index_bars
from morsescape.figures.common import rounded_down, rounded_up
from morsescape.figures.spectrum import spectrum_figure, spectrum_histogram, spectrum_linear

__all__ = [
    "CountRow",
    "index_bars",
    "rounded_down",
    "rounded_up",
    "spectrum_figure",
    "spectrum_histogram",
    "spectrum_linear",
]
