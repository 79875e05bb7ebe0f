"""A small campaign: nothing is claimed that is not so, and every damaged rule is found."""

import json

import pytest
from campaign.breaks import BREAKS, broken, found
from campaign.runner import outcomes, run, run_one, tasks_of
from campaign.summary import page, reason, short

CASES = {"models": 48, "functions": 96, "planted": 60, "searches": 8, "paths": 8}
BATCHES = [(f, k, 4) for f in CASES for k in range(4)]


@pytest.mark.parametrize(("family", "batch", "of"), BATCHES)
def test_nothing_is_claimed_that_is_not_so(family, batch, of):
    for seed in range(batch, CASES[family], of):
        outcome = run_one(family, seed, 3600.0)
        assert outcome["answer"] != "late"  # which says nothing, on any machine
        wrong = [w for w in outcome["wrong"] if not w.startswith("derivative")]
        assert not wrong, f"--again {family}:{seed}"


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_a_damaged_rule_is_found(name):
    assert found(name, 40) is not None


def test_a_break_that_hits_nothing_says_so(monkeypatch):
    from campaign import breaks

    gone = breaks.Break("morsescape.rounding.ball_rules", "RULES[gone]", lambda x: x, "functions")
    monkeypatch.setitem(breaks.BREAKS, "gone", gone)
    with pytest.raises(LookupError, match="gone"), broken("gone"):
        pass


def test_a_break_is_taken_back():
    from morsescape.rounding.ball_rules import RULES

    before = RULES["mul"]
    with broken("balls: products forget radii"):
        assert RULES["mul"] is not before
    assert RULES["mul"] is before


def test_a_run_goes_on_where_it_was_cut_off(tmp_path):
    out = tmp_path / "c.jsonl"
    tasks = tasks_of(["planted"], 4, 0)
    line = {"family": "planted", "seed": 0, "parts": ["kept"], "answer": "proved", "wrong": []}
    out.write_text(json.dumps(line) + '\n{"family": "pla')
    run(tasks, out, workers=1, limit=3600.0)
    kept = outcomes(out)
    assert [o["parts"] for o in kept if o["seed"] == 0] == [["kept"]]
    assert sorted(o["seed"] for o in kept) == [0, 1, 2, 3]


def test_a_case_that_takes_too_long_is_late():
    assert run_one("models", 0, 1e-4)["answer"] == "late"


def test_tasks_are_mixed_and_counted():
    tasks = tasks_of(["models", "planted"], 70, 5)
    assert len(tasks) == 70
    planted = [s for f, s in tasks if f == "planted"]
    assert planted == list(range(5, 5 + len(planted)))
    assert 10 <= len(planted) <= 35
    assert {f for f, _ in tasks[: len(tasks) // 2]} == {"models", "planted"}


def test_the_summary_counts_the_worst_of_each_case():
    line = {"family": "models", "seed": 1, "parts": ["Tanh"], "answer": "proved", "why": ""}
    cases = [
        line | {"wrong": ["estimate: far", "claim: Hessian off"]},
        line | {"wrong": [], "answer": "refused", "why": "model: expected x; got 12.5; cure: y"},
        line | {"wrong": [], "answer": "estimate", "why": "the operation tan has no error rule"},
    ]
    assert "1 wrong claims, 0 crashes" in short(cases)
    text = page(cases)
    assert "Wrong claims: **1**" in text
    assert "| Tanh | 3 | 33% | 0% | 33% | 0% | 33% | 0% | 1 |" in text
    assert reason(cases[1]["why"]) == "model: expected x; got …"
