from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.data.study import Study
from evaluation.errors import EvaluationError, NotMeasurable
from evaluation.experiments import downstream
from evaluation.experiments.downstream import images_until
from evaluation.experiments.downstream_runs import Experiment, Outcome, Plan, Run, runs
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.statistics import Interval
from evaluation.report_page.results import Result, Table
from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN
from tests.evaluation.studies import draw_photographs

PLAN = Plan(
    tasks=("is_amd",),
    size=16,
    fractions=(0.2, 1.0),
    seeds=(0, 1),
    networks=("resnet",),
    initialised=(),
    schedule=Schedule(images_seen=240, batch_size=16, learning_rate=2e-3),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Large drusen in phantoms of 32 pixels, which the plan halves: many synthetic images, few real ones."""
    parts = (draw_photographs(rows, 32, seed, ("is_amd",), 2) for rows, seed in ((120, 1), (60, 2), (40, 3)))
    return Study(*parts, held_out_known=True, folder=tmp_path_factory.mktemp("report"), seed=0)


def test_a_plan_has_every_way_fraction_and_seed() -> None:
    plan = Plan()
    every = list(runs(plan))
    assert len(every) == len(set(every)) == 3 * 3 * (1 + 4 * 3)
    assert {(run.network, run.way) for run in every} >= {
        ("vit", "scratch"),
        ("imagenet", "fine-tuned"),
        ("imagenet", "pretrained"),
    }


@pytest.fixture(scope="module")
def result(few_resamples: None, study: Study) -> Result:
    return downstream.run(study, PLAN)


def cell(table: Table, way: str, fraction: str, column: str) -> object:
    row = next(row for row in table.rows if row[2] == way and row[3] == fraction)
    return row[table.columns.index(column)]


def test_who_learned_from_synthetic_images_of_the_task_needs_fewer_real_ones(result: Result) -> None:
    convergence = result.tables[1]
    pretrained, scratch = (cell(convergence, way, "20%", "images seen until then") for way in ("pretrained", "scratch"))
    assert isinstance(pretrained, float) and isinstance(scratch, float)
    assert pretrained < scratch
    only = cell(result.tables[0], "synthetic only", "0%", "AUC, pooled")
    assert isinstance(only, Interval) and only.value > 0.8


def test_every_number_of_the_result_is_there_and_curves_are_drawn(result: Result, study: Study) -> None:
    assert all(isinstance(value, Interval) for row in result.tables[0].rows for value in row[4:])
    assert {figure.file for figure in result.figures} == {
        "figures/downstream-is_amd-fractions.png",
        "figures/downstream-is_amd-convergence.png",
    }
    assert all((study.folder / figure.file).exists() for figure in result.figures)
    assert any("AUC of is_amd, resnet pretrained against scratch" in finding for finding in result.findings)


def test_weights_that_are_there_are_trained_further_on_synthetic_images_too(few_resamples: None, study: Study) -> None:
    schedule = Schedule(images_seen=32, batch_size=16)
    settings = {"size": 32, "fractions": (1.0,), "seeds": (0,), "schedule": schedule}
    plan = replace(PLAN, **settings, networks=(), initialised=("imagenet",))
    result = downstream.run(study, plan)
    assert [row[2] for row in result.tables[0].rows] == ["synthetic only", "fine-tuned", "pretrained", "mixed"]
    assert any("AUC of is_amd, imagenet pretrained against fine-tuned" in finding for finding in result.findings)
    assert [row[2] for row in result.tables[1].rows] == ["fine-tuned", "pretrained", "mixed"]


def test_finished_runs_are_read_and_a_missing_one_is_run_again_to_the_same_end(result: Result, study: Study) -> None:
    experiment = Experiment(study, PLAN)
    files = {
        file: file.stat().st_mtime_ns
        for file in experiment.folder.glob("run-*.json")
        if '"network": "resnet"' in file.read_text()
    }
    assert len(files) == len(list(runs(PLAN)))
    before = experiment.outcome(Run("resnet", "scratch", 0.2, 0))
    lost = next(
        file
        for file in files
        if '"way": "scratch"' in file.read_text()
        and '"seed": 0' in file.read_text()
        and '"fraction": 0.2' in file.read_text()
    )
    lost.unlink()
    again = experiment.outcome(Run("resnet", "scratch", 0.2, 0))
    assert np.allclose(again.probabilities, before.probabilities) and again.curves["is_amd"] == pytest.approx(
        before.curves["is_amd"]
    )
    assert all(file.stat().st_mtime_ns == time for file, time in files.items() if file != lost)


def test_convergence_is_the_images_seen_at_the_first_point_that_reaches_the_target() -> None:
    seen, curve = [100, 200, 300], [0.6, 0.8, 0.7]
    assert images_until(seen, curve, 0.75) == 200
    assert images_until(seen, curve, 0.9) == np.inf


def test_a_task_without_positives_is_not_measurable_and_an_unknown_one_an_error(study: Study, tmp_path: Path) -> None:
    with pytest.raises(NotMeasurable, match="0 of 0 held-out images with a known is_gc are positive"):
        Experiment(study, replace(PLAN, tasks=("is_gc",)))
    assert downstream.run(study, replace(PLAN, tasks=("is_gc",))).findings[0].startswith("Not measurable: 0 of 0")
    with pytest.raises(EvaluationError, match="tasks has 'dr'; allowed are dr_grade, is_amd"):
        Experiment(study, replace(PLAN, tasks=("is_amd", "dr")))


def test_two_tasks_are_learned_at_once_and_each_is_measured_where_it_is_known(
    few_resamples: None, tmp_path: Path
) -> None:
    parts = [draw_photographs(100, 16, seed, ("is_amd", "is_gc")) for seed in range(3)]
    for part in parts:
        part.codes[::2, CONDITION_NAMES.index("is_gc")] = UNKNOWN
        part.codes[:5] = UNKNOWN
    study = Study(*parts, held_out_known=True, folder=tmp_path, seed=0)
    experiment = Experiment(study, replace(PLAN, tasks=("is_gc", "is_dme", "is_amd"), fractions=(1.0,)))
    assert experiment.tasks == ["is_gc", "is_amd"]
    assert experiment.unmeasurable[0].startswith("0 of 0 held-out images with a known is_dme")
    assert [len(experiment.held_out), len(experiment.train), len(experiment.synthetic)] == [95, 95, 95]
    assert [len(experiment.known_rows(task)) for task in ("is_gc", "is_amd")] == [48, 95]

    outcome = experiment.outcome(Run("resnet", "scratch", 1.0, 0))
    assert outcome.probabilities.shape == (95, 2) and set(outcome.curves) == {"is_gc", "is_amd"}
    assert (experiment.columns("is_amd"), experiment.columns("is_gc")) == ([0], [1])
    guesses = np.stack([1 - experiment.truth[:, 0], np.nan_to_num(experiment.truth[:, 1])], axis=1)
    for task, expected in (("is_amd", 0.0), ("is_gc", 1.0)):  # always wrong, and always right
        for metric in ("AUC within source", "AUC, pooled", "accuracy"):
            assert experiment.score([Outcome(guesses, [], {})], task, metric).value == expected
