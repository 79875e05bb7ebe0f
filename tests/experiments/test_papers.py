"""Tables of other papers measured again: published beside measured, kept, resumed, refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from interrupted import Interrupted, Until
from morsescape.app import app
from morsescape.data import Dataset
from morsescape.errors import ArgumentError, DataError
from morsescape.experiments.papers import barriers
from morsescape.experiments.papers import spurious_minima as students
from morsescape.experiments.papers.study import TABLES, PaperSettings, run_paper
from morsescape.experiments.papers.words import paper_page, paper_sentences, paper_tables
from morsescape.experiments.sweep.schedulers import Here
from morsescape.objective import Objective
from morsescape.page import render
from morsescape.paths import connect
from morsescape.store import RunFolder, read_json
from morsescape.zoo import safran_shamir

FEW = PaperSettings("barrier-by-width", widths=(4, 5), many=3)


def folder_of(path: Any, settings: PaperSettings) -> RunFolder:
    return RunFolder(path, settings.identity())


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set in place of MNIST, and straight paths, which need no search."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(12, 1, 2, 2, generator=g, dtype=torch.float64)
    data = Dataset("tiny", x, torch.arange(12) % 3, 3)
    monkeypatch.setattr(barriers, "load", lambda name, root, samples: data)

    def straight(f: Objective, a: Any, b: Any, *, method: str, align: bool) -> Any:
        return connect(f, a, b, method="line", align=align)

    monkeypatch.setattr(barriers, "connect", straight)
    return data


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs that nobody trains."""

    def run(width: int, pair: int, samples: Any, root: Any, proves: bool) -> Any:
        proofs = {"line": [0.1, 0.2], "bezier": [0.0, 1e-9]} if proves else {}
        return {"unmatched": 1.0, "matched": 1 / (width + pair), "seconds": 0.5, **proofs}, {}

    monkeypatch.setattr(barriers, "pair_run", run)


def printed(result: Any) -> str:
    cells = [[*t.columns, *(c for row in t.rows for c in row)]
             for t in result.settings.table.tables(result.rows)]  # fmt: skip
    assert len(list(paper_tables(result))) == len(cells)
    return " | ".join(cell for table in cells for cell in table)


# -- barriers ------------------------------------------------------------------------------------


def test_the_rise_is_that_of_networks_with_interpolated_weights(images):
    nets = [barriers.trained(4, seed, images) for seed in (0, 1)]
    fs = [Objective(net, "cross_entropy", (images.x, images.y)) for net in nets]
    losses = []
    for k in range(11):
        mixed = barriers.trained(4, 0, images).double()
        with torch.no_grad():
            for own, a, b in zip(*(n.parameters() for n in (mixed, *nets)), strict=True):
                own.copy_(a.double() + k / 10 * (b.double() - a.double()))
            losses.append(float(torch.nn.functional.cross_entropy(mixed(images.x), images.y)))
    ends = [losses[0] + k / 10 * (losses[-1] - losses[0]) for k in range(11)]
    expected = max(v - e for v, e in zip(losses, ends, strict=True))
    assert barriers.rise(fs[0], fs[0].theta, fs[1].theta) == pytest.approx(expected, abs=1e-12)


def test_published_stands_beside_measured_with_its_uncertainty(images):
    result = run_paper(replace(FEW, many=2), scheduler=Here())
    four, five = result.rows
    text = printed(result)
    assert "0.368 ± 0.32" in text  # the file's, w = 4
    assert five.published is None  # the file has no w = 5
    assert five.difference is None
    mean = sum(four.matched) / 2
    assert f"{mean:.3g} ± " in text
    sd = math.sqrt(sum((x - mean) ** 2 for x in four.matched))
    low, high = stats.t.interval(0.95, 1, loc=mean, scale=sd / math.sqrt(2))
    assert four.mean == pytest.approx((mean, low, high))
    assert f"[{low:.3f}, {high:.3f}]" in text
    assert "w = 4, 5" in " ".join(paper_sentences(result))  # the bent path, proved
    page = render(paper_page(result))
    assert "0.368 ± 0.32" in page
    assert "morsescape reproduce --paper barrier-by-width --widths 4,5 --pairs 2" in page


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.4, 0.8])
def test_the_difference_excludes_zero_where_welchs_test_rejects(shift):
    found = tuple(0.3 + shift + x for x in (-0.11, 0.02, 0.07, 0.05))
    row = barriers.BarrierRow(4, barriers.PUBLISHED[4], found, found, None, None, 0.0)
    sample = torch.tensor(found, dtype=torch.float64)
    test = stats.ttest_ind_from_stats(
        float(sample.mean()), float(sample.std()), 4, 0.368, 0.319, 51, equal_var=False
    )
    low, high = row.difference
    assert (low > 0 or high < 0) == (test.pvalue < 0.05)


def test_what_is_proved_of_the_first_pair_is_not_below_what_is_sampled(images, monkeypatch):
    monkeypatch.setattr(barriers, "connect", connect)
    payload, _ = barriers.pair_run(4, 0, None, None, True)
    nets = [barriers.trained(4, seed, images) for seed in (0, 1)]
    f, other = (Objective(net, "cross_entropy", (images.x, images.y)) for net in nets)
    b = barriers.align(f, f.theta, other.theta, seed=0).theta
    values = [f.value(f.theta + k / 200 * (b - f.theta)) for k in range(201)]
    over = max(values) - max(values[0], values[-1])
    high, bent = payload["line"][1], payload["bezier"]
    assert 0 < over <= high <= 1.05 * over  # to 1 %, and what the samples miss
    assert 0 <= bent[0] <= bent[1] <= high + 1e-9


# -- students ------------------------------------------------------------------------------------


def spurious_seven() -> torch.Tensor:
    return torch.tensor(safran_shamir(7, 7).critical[1][0], dtype=torch.float64)


def test_ends_are_told_apart_and_the_spurious_one_is_proved(monkeypatch):
    """A copy of the spurious minimum, the teachers in another order, and no number at all."""
    nearby = spurious_seven().view(7, 7)[torch.randperm(7)]
    teachers = torch.eye(7, dtype=torch.float64)[[1, 0, 2, 3, 4, 6, 5]]
    g = torch.Generator().manual_seed(1)
    begun = torch.stack([nearby, teachers]).view(2, -1)
    begun += 1e-3 * torch.randn(2, 49, generator=g, dtype=torch.float64)
    gone = torch.full((1, 49), math.nan, dtype=torch.float64)
    monkeypatch.setattr(students, "starts", lambda k, a, b: torch.cat([begun, gone]))
    payload, _ = students.starts_run(7, 0, 3)
    row = students.students_row(7, {"a": payload, "b": payload})
    assert (row.teachers, row.undecided, row.spurious) == (2, 2, 2)
    (minimum,) = row.minima  # both pieces found copies of one
    assert 0 < minimum.value[0] <= minimum.value[1] < 0.023202715
    published = sorted(v for v, times in students.SEVEN for _ in range(times))
    assert minimum.entries == pytest.approx(published, abs=1e-9)
    low, high = row.share  # the undecided may be either
    assert low == pytest.approx(stats.beta.ppf(0.025, 2, 5))
    assert high == pytest.approx(stats.beta.ppf(0.975, 5, 2))


def test_an_end_beside_a_minimum_is_not_at_it():
    off = spurious_seven()
    off[3] += 1e-2
    f = safran_shamir(7, 7).objective()
    assert students._proved(f, off) is None
    assert students._proved(f, students.descended(7, off.unsqueeze(0))[0]) is not None


def test_a_minimum_where_f_may_be_zero_is_no_spurious_one():
    f = Objective.from_function(lambda t: (t**2).sum(), 4)
    assert students._proved(f, torch.zeros(4, dtype=torch.float64)) is None


def test_an_end_whose_index_is_not_proved_does_not_count():
    f = Objective.from_function(lambda t: 1 + t[0] ** 2 + t[1] ** 4, 2)
    assert students._proved(f, torch.zeros(2, dtype=torch.float64)) is None


def test_descent_ends_where_the_gradient_is_small():
    ends = students.descended(4, students.starts(4, 0, 5))
    f = safran_shamir(4, 4).objective()
    assert all(float(f.gradient(end).norm()) <= 2e-9 for end in ends)


def test_the_published_entries_stand_beside_those_found():
    entries = tuple(sorted(v for v, times in students.SEVEN for _ in range(times)))
    near = tuple(v + 2e-11 for v in entries)
    found = students.Spurious(3, (0.0232, 0.0233), 1e-12, 0.014, near)
    row = students.StudentsRow(7, 97, 0, (found,), 1.0)
    first, second = students.TABLE.tables([row])
    assert first.rows[0][:3] == ("7", "exist, proved", "3 of 100")
    assert second.rows[0][2] == "-0.6327039049"
    assert {r[4] for r in second.rows} == {"2.0e-11"}
    assert students.TABLE.tables([students.StudentsRow(5, 9, 0, (), 1.0)])[0].rows[0][1] == "–"


# -- kept, resumed, refused ----------------------------------------------------------------------


def test_interrupted_and_resumed_nothing_is_done_twice(quick, tmp_path):
    done: list[str] = []
    for stop in (2, 0, 100):
        scheduler = Until(stop)
        try:
            result = run_paper(FEW, folder_of(tmp_path, FEW), scheduler=scheduler)
        except Interrupted:
            part = run_paper(FEW, folder_of(tmp_path, FEW), compute=False)
            assert "Not finished: 2 of 6" in paper_sentences(part)[0]
        done += scheduler.done
    assert sorted(done) == sorted(t.key for row in FEW.tasks().values() for t in row)
    whole = run_paper(FEW, scheduler=Here())
    assert [r.matched for r in result.rows] == [r.matched for r in whole.rows]
    more = PaperSettings("barrier-by-width", widths=(4, 5, 6), many=4)
    scheduler = Until(100)
    run_paper(more, folder_of(tmp_path, more), scheduler=scheduler)
    assert len(scheduler.done) == 1 + 1 + 4


def test_what_it_takes_is_said_before_and_only_of_what_is_left(quick, tmp_path):
    said: list[str] = []
    with pytest.raises(Interrupted):
        run_paper(FEW, folder_of(tmp_path, FEW), scheduler=Until(0), notice=said.append)
    assert "6 of 6 pieces to do, about " in said[0]
    run_paper(FEW, folder_of(tmp_path, FEW), scheduler=Here(), notice=said.append)
    said.clear()
    run_paper(FEW, folder_of(tmp_path, FEW), scheduler=Here(), notice=said.append)
    assert not any("to do" in text for text in said)


def test_nothing_is_there_yet(tmp_path):
    with pytest.raises(DataError, match="without --page-only first"):
        run_paper(FEW, folder_of(tmp_path, FEW), compute=False)


def test_the_command_prints_and_keeps_it(tmp_path):
    words = ["reproduce", "--paper", "spurious-minima", "--widths", "4,6", "--runs", "3"]
    words += ["--out", str(tmp_path), "--workers", "1"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert "2 of 2 pieces to do" in done.stderr
    assert "exist, proved" in done.stdout
    assert "0 of 3" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if "│" in line or "of 3" in line) < 80
    kept = read_json(tmp_path / "results.json")
    assert [row["teachers"] for row in kept["rows"]] == [3, 3]
    (tmp_path / "index.html").unlink()
    again = CliRunner().invoke(app, [*words, "--page-only"])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--paper", "nobody"], "barrier-by-width | spurious-minima"),
        (["--paper", "spurious-minima", "--pairs", "3"], "--pairs: expected an option of"),
        (["--paper", "barrier-by-width", "--runs", "3"], "--runs: expected an option of"),
        (["--paper", "barrier-by-width", "--net", "cnn"], "--net: expected an option of"),
        (["--paper", "barrier-by-width", "--widths", "4,x"], "--widths: expected whole numbers"),
        (["--paper", "spurious-minima", "--widths", "3"], "--widths: expected numbers of 4"),
        (["--paper", "spurious-minima", "--samples", "9"], "--samples: expected none"),
        (["--widths", "4"], "--widths: expected --paper NAME with it"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(words, said, tmp_path):
    refused = CliRunner().invoke(app, ["reproduce", *words, "--out", str(tmp_path)])
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_table():
    shown = CliRunner().invoke(app, ["reproduce", "--help"], env={"COLUMNS": "200"}).output
    assert all(name in shown for name in TABLES)


def test_widths_are_given_once():
    with pytest.raises(ArgumentError, match="each once"):
        PaperSettings("barrier-by-width", widths=(4, 4))
