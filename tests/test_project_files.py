"""The files about the project agree with each other and with the code."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline_synfundus import __version__

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_citation_has_the_version_and_both_licences() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == ["Apache-2.0", "CC-BY-NC-SA-4.0"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_changelog_has_the_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)} - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)


PATH = re.compile(r"`([\w/]+(?:/|\.(?:py|toml|md)))`|\]\(([^):]+)\)")  # `folder/`, `file.py` or a link


@pytest.mark.parametrize("path", sorted({"".join(found) for found in PATH.findall(CONTRIBUTING)}))
def test_the_files_that_the_guide_for_contributors_names_exist(path: str) -> None:
    known = [ROOT, ROOT / "pipeline_synfundus", ROOT / "training" / "sources", ROOT / "evaluation/measures/metrics"]
    assert "NAME" in path or any((folder / path).exists() for folder in known)
