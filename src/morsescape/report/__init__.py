"""What a person sees of a result: tables, sentences and progress."""

from morsescape.report.files import save_figure
from morsescape.report.index import index_rows, index_sentences, index_table
from morsescape.report.page import render, save_page
from morsescape.report.polish import polish_sentences, polish_table
from morsescape.report.progress import bars
from morsescape.report.reproduce import reproduce_page
from morsescape.report.spectrum import spectrum_sentences, spectrum_table

__all__ = [
    "bars",
    "index_rows",
    "index_sentences",
    "index_table",
    "polish_sentences",
    "polish_table",
    "render",
    "reproduce_page",
    "save_figure",
    "save_page",
    "spectrum_sentences",
    "spectrum_table",
]
