"""The workflow and the forms can be read, and name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FORMS = [form for form in FORMS if form.stem != "config"]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]


def number(version):
    return tuple(map(int, version.split(".")))


def test_the_first_and_the_last_python_are_tested():
    text = (ROOT / "pyproject.toml").read_text()
    named = sorted(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text), key=number)
    tested = sorted(JOBS["test"]["strategy"]["matrix"]["python"], key=number)
    assert set(tested) <= set(named)
    assert (tested[0], tested[-1]) == (named[0], named[-1])
    assert f'requires-python = ">={named[0]}"' in text


def test_what_the_jobs_run_is_there():
    runs = [step["run"] for step in STEPS if "run" in step]
    assert {".ci/run", "make docs", "make lint"} <= set(runs)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert {line.split()[1] for line in runs if line.startswith("make ")} <= set(targets)


def test_actions_are_of_one_major_version():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_forms_have_what_github_asks(form):
    said = yaml.safe_load(form.read_text())
    assert said["name"]
    assert said["description"]
    asked = [part for part in said["body"] if part["type"] != "markdown"]
    ids = [part["id"] for part in asked]
    assert len(set(ids)) == len(ids)
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_there_is_a_form_for_each_kind():
    assert [form.stem for form in FORMS] == ["bug", "proved_but_false", "question"]
