"""Pages for tests: one with everything in it, made up."""

import numpy as np
from matplotlib.figure import Figure

from morsescape.page.engine import Page, PageTable, Picture, Section, Story
from morsescape.page.svg import words_at

NETS = ("cnn", "mlp2", "mlp3")
WORD = "a" * 120  # breaks what does not know how to wrap


def figure(width=4.0, height=3.0):
    drawn = Figure(figsize=(width, height), layout="constrained")
    ax = drawn.subplots()
    ax.plot(np.linspace(0, 1, 50), np.random.default_rng(0).random(50))
    (dots,) = ax.plot([0.2, 0.5, 0.8], [0.5, 0.6, 0.7], "o")
    words_at(dots, ["first", "second <b>", "third"])
    ax.set_title("loss")
    return drawn


def sample_page():
    """Two sections, a table that is wider than a phone, a long word, all that is optional."""
    key = PageTable("Counts", ("network", "at most"), (("cnn", "52"), ("mlp2", "110")), "A note.")
    picture = Picture(figure(), "A line that goes up and down.", "The loss.")
    wide = PageTable(
        "Counts by protocol",
        ("protocol", *(f"{net}, run {run}" for net in NETS for run in range(10))),
        tuple(
            (
                f"float32, one batch of {size}, strict sign",
                *(f"{n:,} ± 2.5" for n in range(30)),
            )
            for size in (64, 128, 1000)
        ),
    )
    first = Section(
        "Tables", "tables", ("What was found.", "And why."), (key, wide),
        (Picture(figure(), "One.", "1."), Picture(figure(), "Two.", "2."), picture),
        "morsescape index --net cnn\nmorsescape index --net mlp2 " + "--samples 100 " * 20,
        ("A detail.", WORD),
    )  # fmt: skip
    second = Section(
        "Pictures", "pictures", (WORD,),
        pictures=(
            Picture((figure(3.9, 3), figure(3.9, 3), figure(3.9, 3)), "Three.", "A row."),
            Picture(figure(), "B.", "C."),
        ),
    )  # fmt: skip
    story = Story("Is it so?", "52", "at most", "It is, for every network.", picture, "tables")
    own = Picture(figure(), "Another line.", "The same loss.")
    other = Story("And " + WORD, "ε ≥ 0.123456", "or so", WORD, own)
    return Page(
        "What was found", "mlp2 on digits", ("No index is above 52.", "The rest is noise."),
        (first, second), (story, other), ("Version 1.", WORD),
    )  # fmt: skip
