"""The version and the date of a release stand in several files, and are the same."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
import yaml

import morsescape as ms

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
# Of the Citation File Format 1.2.0: what must be there, and what may be.
REQUIRED = {"cff-version", "message", "title", "authors"}
KNOWN = REQUIRED | set("abstract date-released keywords license references type version".split())
OF_A_REFERENCE = set(
    "authors collection-title conference end start title type url volume year".split()
)


def test_the_citation_has_the_form():
    assert set(CITATION) >= REQUIRED
    assert set(CITATION) <= KNOWN
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert type(CITATION["date-released"]) is datetime.date
    assert CITATION["authors"] == [{"name": "The morsescape developers"}]
    (paper,) = CITATION["references"]
    assert set(paper) <= OF_A_REFERENCE
    assert set(paper) >= {"authors", "title", "type"}
    assert [author["family-names"] for author in paper["authors"]] == ["Akhtiamov", "Thomson"]


def test_the_license_is_that_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'license = "{CITATION["license"]}"' in text


def test_the_version_is_that_of_the_package():
    assert CITATION["version"] == ms.__version__
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()  # read from version.py


def test_the_changelog_has_the_release():
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d{2}-\d{2})$", text, flags=re.M)
    if not releases:
        pytest.skip("CHANGELOG.md has no release with a date")
    assert releases[0] == (CITATION["version"], CITATION["date-released"].isoformat())
