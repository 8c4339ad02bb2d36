from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from evaluation.measures.statistics import Interval
from evaluation.model_index import MEASURES, main
from evaluation.report_page.results import Result, Table

ROOT = Path(__file__).parents[2]
CARD = "---\nlicense: mit\n---\n# A generator\n\nText.\n\n## Limits\n\nMany.\n"
ROWS = {
    "distances": ["imagenet", "frechet distance", Interval(1.5, 1.0, 2.0), Interval(0.8, 0.5, 1.0)],
    "two-sample": ["vit", "synthetic against real", Interval(0.7, 0.6, 0.8)],
    "label-fidelity": ["is_gc", "not measurable: one class only", 0.8],
    "privacy": ["imagenet", 0.001, Interval(0.5, 0.4, 0.6)],
}
COLUMNS = {
    "distances": ["features", "metric", "synthetic to real", "real to real"],
    "two-sample": ["classifier", "sides", "AUC"],
    "label-fidelity": ["label", "synthetic", "held-out real, within source"],
    "privacy": ["distance in", "share of near copies", "membership AUC"],
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    for name, columns in COLUMNS.items():
        table = Table(name, name, columns, [ROWS[name]])
        Result(name, "method", tables=[table]).save(tmp_path / "results" / f"{name}.json")
    return tmp_path


def test_a_card_shows_what_was_measured_once_and_nothing_else(report: Path) -> None:
    card = report / "README.md"
    card.write_text(CARD)
    for _ in range(2):
        main(["--report", str(report), "--card", str(card), "--real", "real eyes"])
    loaded = ModelCard.load(card)
    assert loaded.data.model_name == "A generator"
    assert loaded.text.startswith("# A generator\n\nText.\n\n## Measured\n")
    assert loaded.text.endswith("\n\n## Limits\n\nMany.\n")
    assert loaded.text.count("| frechet distance to real, imagenet features | 1.5 | 0.8 |") == 1
    assert loaded.text.count("| AUC of membership inference, imagenet | 0.5 |  |") == 1
    results = {(each.metric_type, each.metric_name): each.metric_value for each in loaded.data.eval_results or []}
    assert results == {
        ("frechet_distance", "frechet distance to real, imagenet features"): 1.5,
        ("roc_auc", "AUC of telling synthetic against real, by vit"): 0.7,
        ("near_copies", "share of near copies, imagenet"): 0.001,
        ("roc_auc", "AUC of membership inference, imagenet"): 0.5,
    }
    assert {each.dataset_name for each in loaded.data.eval_results or []} == {"real eyes"}


def test_a_card_shows_several_reports(report: Path) -> None:
    other = report / "matched" / "results"
    other.mkdir(parents=True)
    (report / "results" / "distances.json").rename(other / "distances.json")
    card = report / "README.md"
    card.write_text(CARD)
    main(["--report", str(report), str(other.parent), "--card", str(card)])
    text = ModelCard.load(card).text
    assert "| frechet distance to real, imagenet features | 1.5 | 0.8 |" in text
    assert "| AUC of membership inference, imagenet | 0.5 |  |" in text


def test_the_columns_are_those_of_a_report() -> None:
    code = [path for path in (ROOT / "evaluation").rglob("*.py") if path.name != "model_index.py"]
    written = "".join(path.read_text() for path in code)
    for measure in MEASURES:
        assert f'"{measure.column}"' in written and f'"{measure.real}"' in written


def test_a_report_of_some_experiments_gives_their_numbers_and_one_of_none_is_an_error(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = report / "README.md"
    card.write_text(CARD)
    (report / "results" / "privacy.json").unlink()
    main(["--report", str(report), "--card", str(card)])
    text = card.read_text()
    assert "by vit" in text and "near copies" not in text
    for path in (report / "results").iterdir():
        path.unlink()
    with pytest.raises(SystemExit):
        main(["--report", str(report), "--card", str(card)])
    assert "no result of one of these experiments: distances, two-sample" in capsys.readouterr().out
    assert card.read_text() == text
