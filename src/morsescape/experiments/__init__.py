"""The experiments of the paper, one file each: settings in, results out, nothing printed."""

from morsescape.experiments.index import IndexResult, IndexSettings, index_run, run_index
from morsescape.experiments.parts import PARTS
from morsescape.experiments.point import PointSettings
from morsescape.experiments.polish import PolishResult, PolishSettings, run_polish
from morsescape.experiments.published import Published, published
from morsescape.experiments.reproduce import (
    ReproduceResult,
    ReproduceSettings,
    asked,
    run_reproduce,
)
from morsescape.experiments.schedulers import scheduler_from
from morsescape.experiments.spectrum import SpectrumResult, SpectrumSettings, run_spectrum

__all__ = [
    "PARTS",
    "IndexResult",
    "IndexSettings",
    "PointSettings",
    "PolishResult",
    "PolishSettings",
    "Published",
    "ReproduceResult",
    "ReproduceSettings",
    "SpectrumResult",
    "SpectrumSettings",
    "asked",
    "index_run",
    "published",
    "run_index",
    "run_polish",
    "run_reproduce",
    "run_spectrum",
    "scheduler_from",
]
