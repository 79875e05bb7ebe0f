"""Tables for terminals of every width: no number is broken in two."""

from io import StringIO

import pytest
from rich.console import Console

from morsescape.page.tables import printed_table

COLUMNS = ("seed", "|grad f|", "negative", "naive\nfloat32", "radius")
ROWS = [("0", "2.9e-01", "[73, 110] (est.)", "169", "3.0e-13"), ("10", "–", "25", "", "1.0e-10")]


def lines(width):
    console = Console(file=StringIO(), width=width)
    console.print(printed_table(COLUMNS, ROWS))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [24, 30, 40, 53, 60, 80])
def test_every_cell_is_whole_and_beside_the_name_of_its_row(width):
    printed = lines(width)
    assert max(map(len, printed)) <= width
    for name, *cells in ROWS:
        own = [line for line in printed if line.split()[:1] == [name]]
        assert [cell for line in own for cell in line.split()[1:]] == " ".join(cells).split()


def test_a_table_that_fits_is_one():
    assert sum("seed" in line for line in lines(80)) == 1
    assert sum("seed" in line for line in lines(40)) == 2
