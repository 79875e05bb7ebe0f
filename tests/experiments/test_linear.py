"""Linear regression: separable points, a constant Hessian, one limit from every start."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.optimize import linprog

from morsescape.critical import CertificateStatus
from morsescape.errors import ArgumentError
from morsescape.experiments.linear.figure import descent_curves, separating_line
from morsescape.experiments.linear.study import LinearResult, LinearSettings, linear_run
from morsescape.experiments.linear.words import linear_section
from morsescape.page.engine import Page, render
from morsescape.store import RunFolder

SETTINGS = LinearSettings(starts=6, steps=10_000)


@pytest.fixture(scope="module")
def outcome():
    return linear_run(SETTINGS)


@pytest.fixture(scope="module")
def result(outcome):
    return LinearResult.from_piece(SETTINGS, *outcome)


@pytest.mark.parametrize("seed", range(5))
def test_the_points_are_separable(seed):
    settings = LinearSettings(points=60, starts=2, steps=10_000, seed=seed)
    own = LinearResult.from_piece(settings, *linear_run(settings))
    rows = np.column_stack([own.x.numpy(), np.ones(60)]) * own.y.numpy()[:, None]
    # A line with y (w x + b) >= 1 at all points, by linear programming.
    found = linprog(np.zeros(3), A_ub=-rows, b_ub=-np.ones(60), bounds=[(None, None)] * 3)
    assert found.status == 0
    assert {-1.0, 1.0} == set(own.y.tolist())
    assert float(own.x.abs().max()) <= 1


def test_the_solution_is_that_of_lapack_and_of_the_normal_equations(result):
    design = torch.cat([result.x, torch.ones(100, 1).double()], 1)
    known = torch.linalg.lstsq(design, result.y[:, None]).solution[:, 0]
    assert torch.allclose(result.least_squares, known, rtol=1e-13)
    left = design.t() @ (design @ result.least_squares - result.y)
    assert float(left.abs().max()) < 1e-13


def test_the_hessian_is_that_of_the_formula_at_every_place(result):
    design = torch.cat([result.x, torch.ones(100, 1).double()], 1)
    true = torch.linalg.eigvalsh(2 * design.t() @ design / 100)
    error = (torch.tensor(result.eigenvalues, dtype=torch.float64) - true).abs().max()
    assert float(error) <= result.inertia.radius < 1e-12
    assert (result.hessian_difference, result.places) == (0.0, 5)


def test_index_0_is_proved_of_a_critical_point(result):
    assert result.inertia.negative == (0, 0)
    assert result.inertia.positive == (3, 3)
    assert min(result.eigenvalues) > result.inertia.radius
    assert result.certificate.status.name == "PROVED"
    assert result.certificate.index == (0, 0)
    assert result.certificate.distance < 1e-12


def test_every_start_comes_to_the_same_point(result):
    assert float(result.distances[:, 0].min()) > 1
    assert float((result.last - result.least_squares).norm(dim=1).max()) < 1e-14
    assert float(result.distances[:, -1].max()) < 1e-14


def test_gradient_descent_contracts_by_what_the_eigenvalues_say(result):
    smallest, _, largest = result.eigenvalues
    bound = (1 - smallest / largest) ** result.steps * result.distances[:, :1]
    assert bool((result.distances <= bound + 1e-14).all())


def test_stochastic_descent_comes_nearer_and_nearer(result):
    assert result.sgd_steps[-1] == 10_000
    worst = result.sgd_distances.max(0).values
    assert float(worst[-1]) < 1e-3 < float(worst[1])
    late = (result.sgd_steps >= 1000).nonzero().squeeze(1)
    # At least like 1 / t to the power of a half, which independent draws would give.
    expected = worst[late[0]] * (result.sgd_steps[late[0]] / 10_000) ** 0.5
    assert float(worst[-1]) < float(expected)
    left = (result.stochastic - result.least_squares).norm(dim=1)
    assert torch.allclose(result.sgd_distances[:, -1], left)


def test_the_starts_do_not_share_their_orders(result):
    # With one order for all, the ends would be far nearer to each other than to the solution.
    apart = torch.pdist(result.stochastic).median()
    assert float(apart) > 0.5 * float(result.sgd_distances[:, -1].median())


def test_the_accuracy_is_the_share_of_points_on_their_side(result):
    w, b = result.least_squares[:2], result.least_squares[2]
    right = ((result.x @ w + b).sign() == result.y).double().mean()
    assert result.accuracy == pytest.approx(float(right))


def test_the_same_seed_gives_the_same_and_the_callers_random_state_is_left_alone(outcome):
    before = torch.random.get_rng_state()
    payload, tensors = linear_run(SETTINGS)
    assert payload == outcome[0]
    assert all(torch.equal(tensors[name], outcome[1][name]) for name in tensors)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = LinearSettings(starts=6, steps=10_000, seed=1)
    assert not torch.equal(linear_run(other)[1]["x"], tensors["x"])


def test_a_folder_gives_it_back(outcome, result, tmp_path):
    folder = RunFolder(tmp_path, SETTINGS.identity())
    folder.save("regression", *outcome)
    piece = folder.load("regression")
    again = LinearResult.from_piece(SETTINGS, piece.payload, piece.tensors)
    assert again.to_json() == result.to_json()
    assert json.loads(json.dumps(result.to_json()))["negative"] == [0, 0]


@pytest.mark.parametrize("name", ["points", "starts", "steps", "seed"])
def test_numbers_out_of_range(name):
    with pytest.raises(ArgumentError, match=rf"{name}: expected \d+ or more; got -1"):
        LinearSettings(**{name: -1})


# --- what is said of it


@pytest.fixture(scope="module")
def other():
    settings = LinearSettings(starts=3, steps=10_000, seed=4)
    return LinearResult.from_piece(settings, *linear_run(settings))


def sentences_of(result):
    section = linear_section(result)
    return [*section.lead, *section.details]


def test_it_says_what_is_proved(other):
    lines = sentences_of(other)
    assert "100 separable points has one critical point" in lines[0]
    assert "of index 0" in lines[0]
    assert lines[2].startswith("Proved: an exact critical point of index 0 lies within ")
    assert any("proved positive" in line for line in lines)


def test_what_is_not_proved_is_not_said_to_be(other):
    weak = replace(other.certificate, status=CertificateStatus.ESTIMATE)
    high = replace(other.inertia, radius=1.0)
    lines = sentences_of(replace(other, certificate=weak, inertia=high))
    assert not any(line.startswith("Proved") for line in lines)
    assert any("not proved positive" in line for line in lines)


def test_the_section_has_tables_pictures_and_a_command(other):
    section = linear_section(other)
    assert section.command == "morsescape reproduce --parts linear --seed 4"
    assert [table.caption for table in section.tables] == [
        "The one critical point",
        "Distance of 3 descents from the least-squares solution",
    ]
    assert section.tables[1].rows[1][1] == "10,000"
    assert render(Page("Title", "", (), (section,))).count("<figure") == 2


# --- what is drawn of it

X = np.array([[0.5, 0.5], [-0.5, 0.2], [0.1, -0.9]])
Y = np.array([1.0, -1.0, -1.0])


def test_each_class_has_its_points_and_the_line_is_where_it_is_zero():
    theta = np.array([1.0, 2.0, -0.5])
    ax = Figure().subplots()
    separating_line(ax, X, Y, theta, np.empty((0, 3)), np.empty((0, 3)))
    first, second, line = ax.lines
    assert first.get_xydata().tolist() == X[:1].tolist()
    assert second.get_xydata().tolist() == X[1:].tolist()
    for point in (line.get_xy1(), line.get_xy2()):
        assert np.dot(theta[:2], point) + theta[2] == pytest.approx(0.0, abs=1e-15)


def test_one_entry_of_the_legend_for_all_starts():
    starts = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]])  # the last is no line
    ax = Figure().subplots()
    separating_line(ax, X, Y, starts[0], starts, starts[:2])
    assert len(ax.lines) == 2 + 2 + 1 + 2
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["class +1", "class -1", "starts", "least squares", "ends, all alike"]
    ax.figure.canvas.draw()


def test_distances_of_zero_stay_on_the_log_axis():
    ax = Figure().subplots()
    descent_curves(ax, np.array([0, 1, 10]), np.array([[1.0, 0.1, 0.0], [2.0, 0.3, 1e-3]]))
    assert len(ax.lines) == 2
    assert ax.lines[0].get_xdata().tolist() == [0.5, 1, 10]
    assert ax.lines[0].get_ydata().min() > 0
    ax.figure.canvas.draw()
