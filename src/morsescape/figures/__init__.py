"""Figures for papers: functions on arrays that draw into axes, without pyplot and its state.

Each takes `ax`; None makes a figure of its own, reached as `ax.figure`. What a single study draws
is beside the study.
"""

from morsescape.figures.barcode import barcode_figure
from morsescape.figures.critical_set import critical_set_figure
from morsescape.figures.disconnectivity import disconnectivity_figure
from morsescape.figures.heights import heights_figure
from morsescape.figures.histogram import spectrum_figure, spectrum_histogram, spectrum_linear
from morsescape.figures.plane import Plane, plane_figure, plane_of
from morsescape.figures.profiles import profile_accuracy, profile_figure, profile_loss

__all__ = [
    "Plane",
    "barcode_figure",
    "critical_set_figure",
    "disconnectivity_figure",
    "heights_figure",
    "plane_figure",
    "plane_of",
    "profile_accuracy",
    "profile_figure",
    "profile_loss",
    "spectrum_figure",
    "spectrum_histogram",
    "spectrum_linear",
]
