"""The report on edits, with phantoms that are edited by drawing them again and with a small pipeline."""

import csv
import functools
from pathlib import Path

import numpy as np
import pytest

from evaluation import edit_report
from evaluation.data.photographs import Photographs
from evaluation.experiments.edit_effects import Effect, Originals, attainable, measure_effect
from evaluation.experiments.edits import Change, Editor, Way, list_ways
from evaluation.measures.classifier import answers
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.judge import Judge, train_judge
from evaluation.measures.statistics import Interval, measurable_questions
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import complete_condition, to_codes
from tests.evaluation.studies import draw_photographs
from tests.phantom import draw_phantom, write_phantom_dataset

pytestmark = pytest.mark.usefixtures("few_resamples")
ADD, REMOVE = Change("is_amd", 0, 1), Change("is_amd", 1, 0)
SIZE = 32


@functools.cache
def training() -> Photographs:
    return draw_photographs(200, SIZE, 1, ("is_amd", "is_rvo"))


@pytest.fixture(scope="module")
def quick_pipeline_dir(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline with three steps by default; an edit takes as many from its strength on."""
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    pipeline.register_to_config(default_num_inference_steps=3)
    folder = tmp_path_factory.mktemp("models") / "quick"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def quick_pipeline(quick_pipeline_dir: Path) -> SynFundusPipeline:
    pipeline = SynFundusPipeline.from_pretrained(quick_pipeline_dir)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return train_judge(training(), tmp_path_factory.mktemp("cache"), "resnet", Schedule(1600, learning_rate=2e-3))


def draw_eyes(count: int, amd: int, rvo: int = 0) -> np.ndarray:
    """The same eyes with and without findings."""
    return np.stack(
        [draw_phantom({"is_amd": amd, "is_rvo": rvo}, SIZE, np.random.default_rng(seed)) for seed in range(count)]
    )


def originals(judge: Judge, change: Change, count: int = 20) -> Originals:
    photographs = draw_photographs(count, SIZE, 5, ("is_amd",))
    fields = photographs.patients, photographs.splits, photographs.names, photographs.sources
    return Originals(
        Photographs(draw_eyes(count, change.before), photographs.codes, *fields),
        change,
        judge,
        measurable_questions(answers(training().codes)),
    )


def values(effect: Effect) -> list[float]:
    assert all(isinstance(cell, Interval) for cell in effect.cells()), effect
    return [cell.value for cell in effect.cells() if isinstance(cell, Interval)]


def test_nothing_changes_in_images_that_are_not_edited(judge: Judge) -> None:
    kept = originals(judge, ADD)
    assert values(measure_effect(kept, kept.images, 0)) == [0.5, 0.0, 1.0, 0.0, pytest.approx(108, abs=1)]


@pytest.mark.parametrize("change", [ADD, REMOVE])
def test_a_perfect_edit_changes_the_requested_label_more_than_others(change: Change, judge: Judge) -> None:
    asked, others, *_ = values(measure_effect(originals(judge, change), draw_eyes(20, change.after), 0))
    assert asked > 0.8 and others < asked - 0.5
    reached = attainable(judge, draw_photographs(80, SIZE, 9, ("is_amd",)), change, 0)
    assert isinstance(reached, Interval) and reached.value > 0.8


def test_larger_images_are_reduced_to_what_the_judge_has_learned(judge: Judge) -> None:
    eyes = draw_eyes(20, 1)
    enlarged = eyes.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(judge.predict(enlarged), judge.predict(eyes), atol=0.1)


def test_a_change_of_another_finding_and_of_the_eye_is_seen(judge: Judge) -> None:
    clean = values(measure_effect(originals(judge, ADD), draw_eyes(20, 1), 0))
    careless = values(measure_effect(originals(judge, ADD), draw_eyes(20, 1, rvo=1), 0))
    moved = values(measure_effect(originals(judge, ADD), np.roll(draw_eyes(20, 1), 3, axis=2), 0))
    assert careless[1] > clean[1]
    assert moved[2] < clean[2] and moved[3] > clean[3] + 5 and moved[4] < clean[4]


def test_ways_reach_from_the_reconstruction_to_a_new_eye(tiny_pipeline_dir: Path) -> None:
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    pipeline.set_progress_bar_config(disable=True)
    side = pipeline.image_size[0]
    images, codes = draw_photographs(3, side, 2, ("is_amd",)).images[:], np.full((3, 16), -1)
    edited = {way: Editor(pipeline)(images, codes, ADD, way).astype(float) for way in list_ways([0.3, 1.0])}
    floor = edited[Way("reconstruction")]
    distances = {way.name: np.abs(result - floor).mean() for way, result in edited.items()}
    assert distances["noise, strength 0.3"] < distances["noise, strength 1"]
    assert distances["from scratch"] > distances["noise, strength 0.3"]


@pytest.mark.parametrize("kind", ["noise", "from scratch"])
def test_a_known_label_that_the_change_excludes_changes_with_it(quick_pipeline: SynFundusPipeline, kind: str) -> None:
    images = draw_photographs(2, quick_pipeline.image_size[0], 2, ()).images[:]
    codes = np.array([to_codes(complete_condition(condition)) for condition in ({"dr_grade": 2, "is_dme": 1}, {})])
    edited = Editor(quick_pipeline)(images, codes, Change("dr_grade", 2, 0), Way(kind, 0.5))
    assert edited.shape == images.shape


@pytest.fixture(scope="module")
def arguments(quick_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("edits")
    write_phantom_dataset(folder / "real", 90, SIZE, np.random.default_rng(0), label_columns=["is_amd"])
    given = ["--model", str(quick_pipeline_dir), "--real", str(folder / "real"), "--out", str(folder / "out")]
    given += ["--size", "16", "--architecture", "resnet", "--images-seen", "64"]
    return [*given, "--strengths", "0.5", "--limit", "10"]


def test_the_report_is_written_and_resumed(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    edit_report.main(arguments)
    out = Path(arguments[arguments.index("--out") + 1])
    report = (out / "report.md").read_text()
    assert (out / "figures" / "edits-examples.png").stat().st_size > 1000
    with open(out / "tables" / "edits.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["way"] for row in rows[:4]] == [way.name for way in list_ways([0.5])]
    monkeypatch.setattr(edit_report, "_draw_examples", lambda *_: edit_report.Figure("figures/edits-examples.png", ""))
    monkeypatch.setattr(edit_report, "_draw_curves", lambda *_: [])
    monkeypatch.setattr(Editor, "__call__", pytest.fail)  # the edits are on disk
    edit_report.main(arguments)
    assert (out / "tables" / "edits.csv").read_text() and report.splitlines()[0].startswith("# Edits by")


def test_bad_input_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for change, message in (
        (["--strengths", "0"], "--strengths are [0.0]"),
        (["--limit", "0"], "--limit is 0"),
        (["--size", "32"], "--size is 32, but the model's images have 16 pixels"),
        (["--model", "nowhere"], "nowhere"),
    ):
        with pytest.raises(SystemExit) as stopped:
            edit_report.main([*arguments, *change])
        assert stopped.value.code == 2
        captured = capsys.readouterr()
        assert message in captured.out + captured.err
