from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import sampling_sweep
from evaluation.data.photographs import Photographs
from evaluation.errors import EvaluationError
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.features import imagenet_space
from evaluation.measures.judge import train_judge
from evaluation.sampling_sweep import (
    SOLVERS,
    Setting,
    Sweep,
    compared_guidance,
    compared_solvers,
    default_setting,
    make_solver,
)
from pipeline_synfundus import SynFundusPipeline
from tests.evaluation.studies import draw_photographs


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline_dir: Path) -> SynFundusPipeline:
    return SynFundusPipeline.from_pretrained(tiny_pipeline_dir)


@pytest.fixture(scope="module")
def bundled() -> SynFundusPipeline:
    return SynFundusPipeline.from_pretrained()


@pytest.fixture(scope="module")
def held_out() -> Photographs:
    return draw_photographs(28, 32, 3, ("is_amd", "eye_side"))


@pytest.fixture(scope="module")
def sweep(pipeline: SynFundusPipeline, held_out: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    cache = tmp_path_factory.mktemp("cache")
    judge = train_judge(draw_photographs(120, 32, 1, ("is_amd",)), cache, "resnet", Schedule(640, 16, 2e-3))
    return Sweep(pipeline, held_out, judge, imagenet_space(cache))


@pytest.mark.parametrize(
    ("scale", "interval"), [(4.0, (0.0, 1.0)), (1.0, (0.0, 1.0)), (4.0, (0.0, 0.5)), (4.0, (0.3, 0.7))]
)
def test_evaluations_are_those_that_the_network_does(
    scale: float, interval: tuple[float, float], pipeline: SynFundusPipeline
) -> None:
    setting = Setting("DPM-Solver++", 5, scale, interval)
    done = []
    hook = pipeline.unet.register_forward_pre_hook(lambda _, inputs: done.append(len(inputs[0])))
    try:
        pipeline({"is_gc": 1}, num_inference_steps=5, guidance_scale=scale, guidance_interval=interval, generator=0)
    finally:
        hook.remove()
    assert setting.evaluations == sum(done)


def test_the_default_is_what_the_model_says_and_is_compared_in_everything(bundled: SynFundusPipeline) -> None:
    default = default_setting(bundled)
    assert default.num_inference_steps == bundled.config.default_num_inference_steps
    assert isinstance(bundled.scheduler, SOLVERS[default.solver][0])
    for compared in (compared_solvers(default), compared_guidance(default)):
        assert default in compared and len(set(compared)) == len(compared)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_solver_clips_the_latents(solver: str, bundled: SynFundusPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "scheduler", make_solver(solver, bundled.scheduler.config))
    latents = bundled({"is_gc": 1}, num_inference_steps=4, generator=0, output_type="latent").images
    assert latents.abs().max() > 1.2


def test_the_photographs_themselves_are_at_no_distance_and_spoiled_ones_are(sweep: Sweep) -> None:
    images = sweep.held_out.images
    same, dark = sweep.measure(images), sweep.measure((images // 4).astype(np.uint8))
    assert same[0] == pytest.approx(0, abs=1e-2) and same[2] > 0.7
    assert dark[0] > same[0] + 1 and dark[1] > same[1]


def test_the_sweep_is_written_and_goes_on_from_what_is_there(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_sweep, "default_setting", lambda _: Setting("DPM-Solver++", 2, 1.0))
    monkeypatch.setattr(sampling_sweep, "STEPS", (2, 3))
    monkeypatch.setattr(sampling_sweep, "SCALES", (1.0, 4.0))
    monkeypatch.setattr(sampling_sweep, "INTERVALS", ((0.0, 0.5),))
    others = draw_photographs(28, 32, 8, ("is_amd",))
    result = sampling_sweep.run(sweep, others, tmp_path, "1")
    rows = result.tables[0].rows
    assert [row[:5] for row in rows[:2]] == [["DPM-Solver++", steps, "1", "from 0% to 100%", steps] for steps in (2, 3)]
    assert rows[-1][:5] == ["DPM-Solver++", 2, "4", "from 0% to 50%", 3]
    assert all((tmp_path / figure.file).stat().st_size > 1000 for figure in result.figures)
    monkeypatch.setattr(sweep, "sample", pytest.fail)  # no image is generated again
    monkeypatch.setattr(sampling_sweep, "_draw", lambda *_: [])
    assert sampling_sweep.run(sweep, others, tmp_path, "1").tables[0].rows == rows
    default = sampling_sweep.run(sweep, others, tmp_path, "1", default_only=True)
    assert default.tables[0].rows == rows[:1]
    assert len(default.figures) == 1


def test_labels_that_cannot_be_judged_are_an_error(sweep: Sweep, pipeline: SynFundusPipeline) -> None:
    unknown = replace(sweep.held_out, codes=np.full_like(sweep.held_out.codes, -1))
    with pytest.raises(EvaluationError, match="no label has 10 clear held-out photographs"):
        Sweep(pipeline, unknown, sweep.judge, sweep.space)


def test_a_model_that_is_not_there_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        sampling_sweep.main(["--model", str(tmp_path), "--real", str(tmp_path), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and "model_index.json" in capsys.readouterr().out
