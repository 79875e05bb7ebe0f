"""Figures for papers: functions on arrays that draw into axes, without pyplot and its state.

Each takes `ax`; None makes a figure of its own, reached as `ax.figure`. What a single study draws
is beside the study.
"""

from morsescape.figures.histogram import spectrum_figure, spectrum_histogram, spectrum_linear

__all__ = ["spectrum_figure", "spectrum_histogram", "spectrum_linear"]
