from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import sampling_sweep
from evaluation.classifier import Schedule
from evaluation.errors import EvaluationError
from evaluation.features import imagenet_space
from evaluation.images import Photographs
from evaluation.label_fidelity import train_judge
from evaluation.sampling_sweep import SOLVERS, Setting, Sweep, settings
from pipeline_synfundus import SynFundusPipeline
from tests.evaluation.studies import draw_photographs


@pytest.fixture(scope="module")
def pipeline() -> SynFundusPipeline:
    return SynFundusPipeline.from_pretrained()


@pytest.fixture(scope="module")
def held_out() -> Photographs:
    return draw_photographs(40, 64, 3, ("is_amd", "eye_side"))


@pytest.fixture(scope="module")
def sweep(pipeline: SynFundusPipeline, held_out: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    cache = tmp_path_factory.mktemp("cache")
    judge = train_judge(draw_photographs(160, 64, 1, ("is_amd",)), cache, "resnet", Schedule(1600, learning_rate=2e-3))
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


def test_every_setting_is_another_and_all_solvers_are_compared_at_the_same_scale() -> None:
    found = list(settings(4.0))
    assert len(set(found)) == len(found)
    assert {setting.solver for setting in found if setting.guidance_scale == 4.0} == set(SOLVERS)


def test_the_photographs_themselves_are_at_no_distance_and_spoiled_ones_are(sweep: Sweep) -> None:
    images = sweep.held_out.images
    same, dark = sweep.measure(images), sweep.measure((images // 4).astype(np.uint8))
    assert same[0] == pytest.approx(0, abs=1e-2) and same[2] > 0.7
    assert dark[0] > same[0] + 1 and dark[1] > same[1]


def test_the_sweep_is_written_and_goes_on_from_what_is_there(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [Setting("DPM-Solver++", 2, 1.0), Setting("DDIM", 2, 4.0, (0.0, 0.5))]
    monkeypatch.setattr(sampling_sweep, "settings", lambda scale: iter(two))
    others = draw_photographs(50, 64, 8, ("is_amd",))
    result = sampling_sweep.run(sweep, others, 4.0, tmp_path, "1")
    rows = result.tables[0].rows
    assert [row[:3] for row in rows] == [["DPM-Solver++, scale 1", 2, 2], ["DDIM, scale 4, 0 to 0.5", 2, 3]]
    assert all((tmp_path / figure.file).stat().st_size > 1000 for figure in result.figures)
    monkeypatch.setattr(sweep, "pipeline", None)  # nothing is drawn again
    assert sampling_sweep.run(sweep, others, 4.0, tmp_path, "1").tables[0].rows == rows


def test_labels_that_cannot_be_judged_are_an_error(sweep: Sweep, pipeline: SynFundusPipeline) -> None:
    unknown = replace(sweep.held_out, codes=np.full_like(sweep.held_out.codes, -1))
    with pytest.raises(EvaluationError, match="no label has 10 clear held-out photographs"):
        Sweep(pipeline, unknown, sweep.judge, sweep.space)


def test_a_model_that_is_not_there_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        sampling_sweep.main(["--model", str(tmp_path), "--real", str(tmp_path), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and "model_index.json" in capsys.readouterr().out
