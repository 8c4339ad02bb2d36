"""The snippets of the README are run as they are printed, and the links of all pages lead somewhere."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from training.configuration.config import load_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("e*/*.md"), *ROOT.glob("evaluation/results/*.md")]
CARD = (ROOT / "pipeline_synfundus" / "README.md").read_text(encoding="utf-8")


def snippets(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in a folder where the README's relative paths exist, with a small dataset as of `make demo`."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pipeline_synfundus", "dataset_script", "synfundus"):
        (folder / name).symlink_to(ROOT / name)

    def run_python(*arguments: str) -> str:
        done = subprocess.run([warm_python, *arguments], cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    demo = ["--num-rows", "3", "--num-inference-steps", "2", "--out", "synfundus-1m"]
    run_python("-m", "dataset_script.generate", *demo)
    return run_python


@pytest.mark.parametrize("snippet", snippets(README, "python"), ids=lambda text: text.splitlines()[0][:40])
def test_a_python_snippet_of_the_readme_runs_as_printed(run: Run, snippet: str) -> None:
    run("-c", snippet)


def test_the_snippets_of_the_model_card_run_as_printed(run: Run) -> None:
    generate, edit = snippets(CARD, "python")
    run("-c", f'{generate}images[0].save("eye.jpg")\n{edit}')


def test_the_configuration_of_the_training_guide_is_valid(tmp_path: Path) -> None:
    (snippet,) = snippets((ROOT / "docs" / "training.md").read_text(encoding="utf-8"), "yaml")
    (tmp_path / "mine.yaml").write_text(snippet)
    assert load_config(tmp_path / "mine.yaml").resolution == 256


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^make \w+", README, flags=re.MULTILINE))))
def test_the_make_commands_of_the_readme_exist(line: str) -> None:
    assert subprocess.run(["make", "--dry-run", *line.split()[1:]], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_points_at_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)|src=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    targets = {"".join(link) for link in links}
    assert not [target for target in targets if not (page.parent / target).exists()]
