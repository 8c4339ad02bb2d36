from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.data.study import Study
from evaluation.errors import EvaluationError
from evaluation.experiments import label_fidelity
from evaluation.experiments.label_fidelity import KAPPA, judge_labels
from evaluation.experiments.readability import add_readability, measure, measure_all, regions, select_clear, spoil
from evaluation.measures.classifier import QUESTION_NAMES, HubClassifier, answers, build_classifier, grades
from evaluation.measures.classifier_training import Schedule, masked_loss, train_classifier
from evaluation.measures.judge import Judge, train_judge
from evaluation.measures.statistics import Interval
from evaluation.report_page.results import Result
from pipeline_synfundus.labels import CONDITION_NAMES
from tests.evaluation.studies import draw_photographs, make_individual
from tests.phantom import draw_phantom

NAMES = ("is_amd", "is_gc", "is_macular_readable", "eye_side")
JUDGE_SCHEDULE = Schedule(images_seen=960, batch_size=16, learning_rate=2e-3)


def test_unknown_labels_give_no_answer_and_grades_give_four() -> None:
    codes = np.full((2, len(CONDITION_NAMES)), -1, dtype=np.int8)
    codes[0, CONDITION_NAMES.index("dr_grade")] = 2
    codes[1, CONDITION_NAMES.index("is_gc")] = 0
    found = answers(codes)
    assert found[0, :4].tolist() == [1, 1, 0, 0] and np.isnan(found[0, 4:]).all()
    assert found[1, QUESTION_NAMES.index("is_gc")] == 0 and np.isnan(found[1]).sum() == len(QUESTION_NAMES) - 1
    assert grades(np.array([[0.9, 0.8, 0.4, 0.1] + [0.9] * 10])).tolist() == [2]


def test_unknown_answers_have_no_loss_and_no_gradient() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    targets = torch.tensor([[1.0, float("nan")], [float("nan"), 0.0]])
    loss = masked_loss(logits, targets)
    loss.backward()
    expected = (torch.nn.functional.softplus(torch.tensor(-2.0)) + torch.nn.functional.softplus(torch.tensor(3.0))) / 2
    assert loss.item() == pytest.approx(expected.item())
    assert logits.grad is not None and logits.grad[0, 1] == 0 and logits.grad[1, 0] == 0
    assert masked_loss(logits, torch.full((2, 2), float("nan"))).item() == 0


@pytest.mark.parametrize(("architecture", "width"), [("resnet", 256), ("vit", 128), ("imagenet", 1280)])
def test_every_architecture_gives_logits_and_features(architecture: str, width: int) -> None:
    network = build_classifier(architecture, 3, 32, seed=0).eval()
    batch = torch.zeros(2, 3, 32, 32)
    assert network(batch).shape == (2, 3) and network.features(batch).shape == (2, width)


def test_a_local_checkpoint_is_an_architecture_and_an_unknown_name_an_error(tmp_path: Path) -> None:
    saved = build_classifier("resnet", 5, 32, seed=1)
    assert isinstance(saved, HubClassifier)
    saved.model.save_pretrained(tmp_path / "checkpoint")
    loaded = build_classifier(str(tmp_path / "checkpoint"), 3, 32, seed=0).eval()
    batch = torch.randn(2, 3, 32, 32)
    assert loaded(batch).shape == (2, 3)
    assert torch.allclose(loaded.features(batch), saved.eval().features(batch), atol=1e-5)
    with pytest.raises(EvaluationError, match="architecture is 'vgg'; allowed are resnet, vit, imagenet or a folder"):
        build_classifier("vgg", 3, 32, seed=0)


def test_training_is_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    images, targets = rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8), np.ones((24, 1), dtype=np.float32)
    networks = [
        train_classifier(build_classifier("resnet", 1, 32, 0), images, targets, Schedule(64, 16, seed=seed))
        for seed in (3, 3, 4)
    ]
    first, second, other = (network(torch.ones(1, 3, 32, 32)).item() for network in networks)
    assert first == second != other


@pytest.fixture(scope="module")
def judged(few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Judge, Result]:
    """A judge of phantoms; the synthetic ones show AMD as asked, but their glaucoma labels are drawn by lot."""
    sizes = ((64, 1), (200, 2), (64, 3))
    synthetic, train, held_out = (draw_photographs(rows, 32, seed, NAMES, 2) for rows, seed in sizes)
    lots = synthetic.codes.copy()
    column = CONDITION_NAMES.index("is_gc")
    lots[:, column] = np.random.default_rng(9).permutation(lots[:, column])
    study = Study(replace(synthetic, codes=lots), train, held_out, True, tmp_path_factory.mktemp("report"), seed=0)
    judge = train_judge(study.train, study.cache, "resnet", JUDGE_SCHEDULE)
    return study, judge, label_fidelity.run(study, judge, "resnet")


def cell(result: Result, label: str) -> tuple:
    """Held-out real (pooled), synthetic, and their ratio."""
    return next(tuple(row[3:]) for row in result.tables[0].rows if row[0] == label)


def test_a_label_that_images_show_is_found_and_one_drawn_by_lot_is_not(judged: tuple[Study, Judge, Result]) -> None:
    real, synthetic, ratio = cell(judged[2], "is_amd")
    assert isinstance(real, Interval) and real.value > 0.85
    assert isinstance(synthetic, Interval) and synthetic.value > 0.85
    assert ratio == pytest.approx(synthetic.value / real.value)
    real, synthetic, ratio = cell(judged[2], "is_gc")
    assert real.value > 0.75 and synthetic.low < 0.5 < synthetic.high and ratio < 0.8


def test_labels_that_nobody_knows_are_not_measurable(judged: tuple[Study, Judge, Result]) -> None:
    real, synthetic, ratio = cell(judged[2], "is_rvo")
    assert real == synthetic == "not measurable: 0 positives and 0 negatives; at least 10 of each needed"
    assert ratio.startswith("not measurable")
    assert cell(judged[2], KAPPA)[0] == "not measurable: no photograph has a known dr_grade"


def test_unreadable_maculas_are_measurably_darker_or_softer(judged: tuple[Study, Judge, Result]) -> None:
    rows = {(row[0], row[1]): row[3] for row in judged[2].tables[1].rows}
    macula = [rows["is_macular_readable", measure] for measure in ("exposure", "visibility")]
    assert max(found.value for found in macula) > 0.9
    assert rows["is_fundus", "sharpness"].startswith("not measurable: 0 positives")


def test_a_second_judge_is_the_first_one_loaded(judged: tuple[Study, Judge, Result]) -> None:
    study, judge, _ = judged
    again = train_judge(study.train, study.cache, "resnet", JUDGE_SCHEDULE)
    batch = torch.zeros(1, 3, 32, 32)
    assert again.version == judge.version and torch.equal(again.network(batch), judge.network(batch))


def test_the_region_of_the_disc_follows_the_eye_side() -> None:
    spoiled = draw_phantom({"is_optic_disc_readable": 0, "eye_side": 1}, 128, np.random.default_rng(0))
    clean = draw_phantom({"eye_side": 1}, 128, np.random.default_rng(0))
    change = {
        side: np.abs(
            measure(spoiled, [regions(side)["is_optic_disc_readable"]])[0]
            - measure(clean, [regions(side)["is_optic_disc_readable"]])[0]
        )
        for side in (0, 1)
    }
    assert change[1][1] > 20 > 5 > change[0][1]


def test_what_the_measures_are_worth_is_told_by_spoiled_copies_of_clear_photographs() -> None:
    drawn = draw_photographs(30, 128, 5, ("is_amd", "eye_side"))
    clear = replace(drawn, images=make_individual(drawn.images, 5))
    both = spoil(select_clear(clear), seed=0)
    spoiled = both[np.arange(len(clear), len(both))]
    assert 20 < len(spoiled) <= len(clear)
    assert both[np.arange(len(clear))].readable().all() and not spoiled.readable().any()
    hidden = spoiled.label("is_optic_disc_readable") == 0
    sharpness = measure_all(both)["is_optic_disc_readable"][:, 0]
    assert np.median(sharpness[len(clear) :][hidden]) < 0.7 * np.median(sharpness[: len(clear)])


def test_without_a_clear_photograph_the_real_side_of_readability_is_not_measurable(tmp_path: Path) -> None:
    part = draw_photographs(12, 64, 6, ("is_macular_readable",))
    grey = replace(part, images=np.full_like(part.images, 60))
    result = Result("", "")
    add_readability(Study(part, part, grey, True, tmp_path, seed=0), result)
    cells = {row[1]: row[2:] for row in result.tables[0].rows if row[0] == "is_macular_readable"}
    assert all(
        real == "not measurable: 0 positives and 0 negatives; at least 10 of each needed" for real, _ in cells.values()
    )


def test_the_auc_within_source_comes_first(judged: tuple[Study, Judge, Result]) -> None:
    table = judged[2].tables[0]
    assert table.columns[1] == "held-out real, within source"
    row = next(row for row in table.rows if row[0] == "is_amd")
    assert row[1:4] == [row[3], 1, row[3]]  # the phantoms are one set


def test_the_auc_of_a_label_that_is_the_camera_is_not_measurable_within_source(
    judged: tuple[Study, Judge, Result],
) -> None:
    study, judge, _ = judged
    cameras = np.where(study.held_out.label("is_amd") == 1, "camera of the ill", "camera of the healthy")
    found = judge_labels(judge, replace(study.held_out, sources=cameras), seed=0)
    assert isinstance(found.pooled["is_amd"], Interval) and found.sources["is_amd"] == 0
    assert found.within["is_amd"] == (
        "not measurable: 0 positives and 0 negatives in sources that have both; at least 10 of each needed"
    )
