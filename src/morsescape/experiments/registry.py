"""All studies: `reproduce` reads them here."""

from __future__ import annotations

from morsescape.experiments.connect.study import connect_parts
from morsescape.experiments.connect.words import connect_section
from morsescape.experiments.index.study import index_parts
from morsescape.experiments.index.words import index_section
from morsescape.experiments.linear.study import linear_parts
from morsescape.experiments.linear.words import linear_section
from morsescape.experiments.part import Study, one_by_one, together
from morsescape.experiments.ridge.words import ridge_section
from morsescape.experiments.scatter.study import scatter_parts
from morsescape.experiments.scatter.words import scatter_section
from morsescape.experiments.spectrum.study import spectrum_parts
from morsescape.experiments.spectrum.words import spectra_section
from morsescape.experiments.tree.study import tree_parts
from morsescape.experiments.tree.words import tree_section

# In the order of the paper, which is that of the page.
STUDIES = (
    Study("index", "tables", together(index_section), index_parts),
    Study("spectrum", "spectra", together(spectra_section), spectrum_parts),
    Study("ridge", "spectra", together(ridge_section)),
    Study("scatter", "scatter", one_by_one(scatter_section), scatter_parts),
    Study("linear", "linear", one_by_one(linear_section), linear_parts),
    Study("connect", "connect", one_by_one(connect_section), connect_parts),
    Study("tree", "tree", one_by_one(tree_section), tree_parts),
    Study("polish"),
)
PARTS = tuple(study.kind for study in STUDIES if study.parts is not None)
