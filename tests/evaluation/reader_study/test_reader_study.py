import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data.photographs import Photographs
from evaluation.errors import EvaluationError, NotMeasurable
from evaluation.reader_study.__main__ import main
from evaluation.reader_study.analyse import analyse, fleiss_kappa
from evaluation.reader_study.answers import Answers
from evaluation.reader_study.blend import HEALTHY, Item, build_blend, load_key
from evaluation.report_page.results import Table
from tests.evaluation.studies import draw_photographs
from tests.phantom import write_phantom_dataset

NAMES = ("dr_grade", "is_amd", "is_gc")


@pytest.fixture(scope="module")
def sides() -> tuple[Photographs, Photographs]:
    synthetic, real = (draw_photographs(90, 32, seed, NAMES) for seed in (1, 2))
    return synthetic, real


@pytest.fixture
def study(sides: tuple[Photographs, Photographs], tmp_path: Path) -> tuple[Path, list[Item]]:
    return tmp_path, build_blend(*sides, tmp_path, per_disease=8, seed=0)


def simulate(folder: Path, annotator: str, items: list[Item], accuracy: float, seed: int = 0) -> None:
    """An annotator who is right with a known probability, wrong otherwise."""
    rng = np.random.default_rng(seed)
    answers = Answers(folder, annotator)
    while item := answers.next_item(items):
        right = rng.random() < accuracy
        answers.record(item.name, item.is_synthetic if right else 1 - item.is_synthetic, 0.1)


def row(table: Table, name: str) -> dict:
    return dict(zip(table.columns, next(row for row in table.rows if row[0] == name), strict=True))


def test_the_blend_is_balanced_for_each_disease_and_no_image_comes_twice(
    study: tuple[Path, list[Item]], sides: tuple[Photographs, Photographs]
) -> None:
    _, items = study
    assert {item.disease for item in items} == {*NAMES, HEALTHY}
    for disease in {item.disease for item in items}:
        truths = [item.is_synthetic for item in items if item.disease == disease]
        assert 2 * sum(truths) == len(truths) > 0
    assert len({(item.is_synthetic, item.row) for item in items}) == len(items)
    for item in items:
        side = sides[0] if item.is_synthetic else sides[1]
        if item.disease != HEALTHY:
            assert side.label(item.disease)[int(item.row)] > 0


def test_neither_file_names_nor_files_tell_the_sides_apart(study: tuple[Path, list[Item]]) -> None:
    folder, items = study
    with open(folder / "key.csv", newline="") as file:
        order = [int(line["is_synthetic"]) for line in csv.DictReader(file)]
    assert len({(value, after) for value, after in itertools.pairwise(order)}) == 4
    for item in items:
        assert len(item.name) == 12 and set(item.name) <= set("0123456789abcdef")
        with Image.open(folder / "images" / f"{item.name}.png") as image:
            assert not image.info


def test_a_study_is_not_written_over_another(
    study: tuple[Path, list[Item]], sides: tuple[Photographs, Photographs]
) -> None:
    with pytest.raises(EvaluationError, match="already holds a study"):
        build_blend(*sides, study[0], per_disease=1, seed=0)


def test_answers_survive_a_line_cut_off_and_the_first_answer_counts(tmp_path: Path) -> None:
    answers = Answers(tmp_path, "Ada")
    answers.record("one", 1, 0.5)
    with open(answers.file, "a") as file:
        file.write('{"item": "two", "ans')
    assert answers.read() == {"one": 1}
    answers.record("two", 0, 0.5)
    answers.record("one", 0, 0.5)
    assert Answers(tmp_path, " Ada ").read() == {"one": 1, "two": 0}
    assert len([json.loads(line) for line in answers.file.read_text().splitlines()]) == 2


@pytest.mark.parametrize("name", ["", "../key", "a/b", ".hidden", "x" * 41])
def test_names_that_are_no_file_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="annotator's name is"):
        Answers(tmp_path, name)


def test_annotators_have_orders_of_their_own_that_outlast_a_restart(study: tuple[Path, list[Item]]) -> None:
    folder, items = study
    first = {name: Answers(folder, name).next_item(items) for name in ("Ada", "Bo", "Cy", "Di")}
    assert len(set(first.values())) > 1
    assert all(Answers(folder, name).next_item(load_key(folder)) == item for name, item in first.items())


def test_the_analysis_finds_the_accuracy_that_annotators_have(study: tuple[Path, list[Item]]) -> None:
    folder, items = study
    for name, accuracy in (("perfect", 1.0), ("guessing", 0.5), ("contrary", 0.0)):
        simulate(folder, name, items, accuracy)
    table = analyse(folder).tables[0]
    perfect, guessing, contrary = (row(table, name) for name in ("perfect", "guessing", "contrary"))
    half = len(items) // 2
    assert (perfect["real as real"], perfect["real as synthetic"]) == (half, 0)
    assert (perfect["synthetic as real"], perfect["synthetic as synthetic"]) == (0, half)
    assert perfect["accuracy"].value == perfect["F1"].value == 1 and perfect["p against chance"] < 1e-6
    assert contrary["accuracy"].value == contrary["F1"].value == 0 and contrary["p against chance"] < 1e-6
    assert guessing["accuracy"].low < 0.5 < guessing["accuracy"].high and guessing["p against chance"] > 0.05


def test_f1_is_given_for_each_disease_and_partial_answers_are_said_to_be_partial(
    study: tuple[Path, list[Item]],
) -> None:
    folder, items = study
    simulate(folder, "perfect", items, 1.0)
    one_sided = [item for item in items if item.disease == "is_gc" and item.is_synthetic]
    simulate(folder, "started", one_sided, 1.0)
    table = analyse(folder).tables[1]
    assert row(table, "is_gc")["perfect"].value == 1
    assert row(table, "is_gc")["started"] == "not measurable: answers to one side only"
    assert row(table, "is_amd")["images"] == sum(item.disease == "is_amd" for item in items)


def test_fleiss_kappa_is_that_of_the_published_example() -> None:
    # Ten subjects, fourteen raters, five categories: kappa 0.210 (Fleiss 1971, as worked out in Wikipedia).
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(np.array(counts)) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(NotMeasurable, match="two annotators"):
        fleiss_kappa(np.array([[1, 0]]))
    with pytest.raises(NotMeasurable, match="same answer to every image"):
        fleiss_kappa(np.array([[3, 0], [3, 0]]))


def test_the_command_line_builds_and_analyses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("synthetic", "real")):
        write_phantom_dataset(tmp_path / name, 40, 32, np.random.default_rng(number), ["is_amd", "dr_grade"])
    folder = tmp_path / "study"
    sources = ["--synthetic", str(tmp_path / "synthetic"), "--real", str(tmp_path / "real")]
    main(["build", *sources, "--study", str(folder), "--size", "32", "--per-disease", "3"])
    assert "key.csv says which is which" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["analyse", "--study", str(folder)])
    assert "there are no answers" in capsys.readouterr().out
    for name in ("Ada", "Bo"):
        simulate(folder, name, load_key(folder), 0.9, seed=len(name))
    main(["analyse", "--study", str(folder)])
    assert "Fleiss" in (folder / "analysis" / "report.md").read_text()
    assert (folder / "analysis" / "figures" / "f1-by-disease.png").stat().st_size > 1000
