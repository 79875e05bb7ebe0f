"""The experiments of the paper, one file each: settings in, results out, nothing printed."""

from morsescape.experiments.index import IndexResult, IndexSettings, index_run, run_index
from morsescape.experiments.point import PointSettings
from morsescape.experiments.polish import PolishResult, PolishSettings, run_polish
from morsescape.experiments.published import Published, published
from morsescape.experiments.spectrum import SpectrumResult, SpectrumSettings, run_spectrum

__all__ = [
    "IndexResult",
    "IndexSettings",
    "PointSettings",
    "PolishResult",
    "PolishSettings",
    "Published",
    "SpectrumResult",
    "SpectrumSettings",
    "index_run",
    "published",
    "run_index",
    "run_polish",
    "run_spectrum",
]
