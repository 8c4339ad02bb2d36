"""Distilling a generator: a student of a tiny one takes 2 steps where its guided teacher takes 4."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.torch import load_file
from torch import nn

from dataset_script.plan.condition_plan import load_plan
from pipeline_synfundus import SynFundusPipeline
from tests.tiny_pipelines import build_tiny_networks
from training.configuration.config import ConfigError
from training.distil import distil, main
from training.distillation.loss import DistillationLoss
from training.distillation.sampling import Steps, Teacher, student_scheduler
from training.distillation.settings import DistillationSettings
from training.loop.checkpoint import CheckpointError
from training.loop.stopping import TrainingStopped
from training.loop.trainer import Trainer

FLOW = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=2.0)
PLAN = """
seed: 1
strata:
  - {name: healthy, share: 0.5, labels: {eye_side: 0}}
  - {name: glaucoma, share: 0.5, labels: {is_gc: 1, eye_side: 0}}
"""
VELOCITY = DPMSolverMultistepScheduler(
    prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
)


def build_generator(scheduler: object = FLOW) -> SynFundusPipeline:
    """A generator of 8x8 pixels with random weights, whose images change much with the labels and with guidance."""
    torch.manual_seed(0)
    unet, encoder = build_tiny_networks(3)
    with torch.no_grad():
        encoder.mlp[-1].weight *= 3
    pipeline = SynFundusPipeline(unet, encoder, scheduler, None, default_guidance_scale=4.0)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    build_generator().save_pretrained(folder)
    (folder / "plan.yaml").write_text(PLAN)
    return folder


def settings(generator: Path, out: Path, **changes: object) -> DistillationSettings:
    few = {"plan": str(generator / "plan.yaml"), "steps": 2, "teacher_steps": 4}
    few |= {"images": 160, "batch_size": 16, "learning_rate": 5e-4}
    return DistillationSettings(str(out), str(generator), **few | changes)


@pytest.fixture(scope="module")
def distilled(generator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("distilled")
    distil(settings(generator, out))
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return {
        f"{network}.{name}": tensor
        for network in ("unet", "condition_encoder")
        for name, tensor in load_file(out / "pipeline" / network / "diffusion_pytorch_model.safetensors").items()
    }


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def count_evaluations(unet: nn.Module) -> list[int]:
    """A list that gets the number of images of each evaluation of the network."""
    counts: list[int] = []
    unet.register_forward_hook(lambda module, inputs, output: counts.append(len(inputs[0])))
    return counts


def test_the_student_is_closer_to_the_guided_teacher_than_the_teacher_with_as_many_evaluations(
    generator: Path, distilled: Path
) -> None:
    """Measured on the finished folders, with noise that was not trained on."""
    teacher, student = (SynFundusPipeline.from_pretrained(folder) for folder in (generator, distilled / "pipeline"))
    teacher.scheduler = student_scheduler(teacher.scheduler)
    noise = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(123))
    conditions = [{"is_gc": number % 2, "eye_side": 0} for number in range(16)]

    def sample(pipeline: SynFundusPipeline, **options: object) -> torch.Tensor:
        return pipeline(conditions, latents=noise, output_type="latent", **options).images

    def distance(images: torch.Tensor) -> float:
        return (images - wanted).square().mean().sqrt().item()

    wanted = sample(teacher, num_inference_steps=4)
    assert distance(sample(student)) < 0.9 * distance(sample(teacher, num_inference_steps=2, guidance_scale=1.0))


def test_the_folder_samples_without_guidance_in_few_evaluations_in_a_clean_process(
    distilled: Path, tmp_path: Path, warm_python: Path
) -> None:
    """With the code in the folder, as users of the Hub load it."""
    script = """
import sys
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
counts = []
pipe.cpu_backend = "torch"
pipe.unet.register_forward_hook(lambda module, inputs, output: counts.append(len(inputs[0])))
images = pipe([{"is_gc": 1}, {"dr_grade": 4}], generator=[1, 2]).images
assert not any(name.split(".")[0] == "training" for name in sys.modules)
print(counts, [image.size for image in images], pipe.config.default_guidance_scale)
"""
    command = [warm_python, "-c", script, str(distilled / "pipeline")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "[2, 2] [(8, 8), (8, 8)] 1.0", done.stderr


def test_the_card_has_the_distances_and_the_defaults(generator: Path, distilled: Path) -> None:
    card = (distilled / "pipeline" / "README.md").read_text()
    measured = json.loads((distilled / "distillation" / "log.jsonl").read_text().splitlines()[-1])
    record = json.loads((distilled / "pipeline" / "training_run.json").read_text())
    assert f"It is `{generator}`, distilled with" in " ".join(card.split())
    assert f"| this model | 2 | {measured['validation_distance']:.3f} |" in card
    assert f"| that model with guidance | 4 | {measured['validation_distance_guided']:.3f} |" in card
    assert re.search(r"\| 1 \| distillation \| \S+ M \| 160 \|", card)
    assert record["distillation"]["guidance_scale"] == 4.0
    assert "$" not in card


def test_a_finished_run_is_left_as_it_is(generator: Path, distilled: Path) -> None:
    before = state(distilled / "pipeline")
    distil(settings(generator, distilled))
    assert state(distilled / "pipeline") == before


def test_an_interrupted_run_continues_to_the_same_weights(
    generator: Path, distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Trainer._save_and_sample

    def interrupt(trainer: Trainer, signal_received: int) -> None:
        original(trainer, signal.SIGTERM if trainer.state.images_seen == 80 else signal_received)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_and_sample", interrupt)
        with pytest.raises(TrainingStopped, match="SIGTERM"):
            distil(settings(generator, tmp_path))
    assert not (tmp_path / "pipeline").exists()
    distil(settings(generator, tmp_path))
    unbroken, continued = weights(distilled), weights(tmp_path)
    assert all(torch.equal(continued[name], tensor) for name, tensor in unbroken.items())


def test_other_settings_or_another_generator_within_a_run_are_refused_by_name(
    generator: Path, distilled: Path, tmp_path: Path
) -> None:
    shutil.copytree(distilled, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"guidance_scale was 4\.0 and is now 5\.0"):
        distil(settings(generator, tmp_path / "run", guidance_scale=5.0))
    other = build_generator()
    nn.init.ones_(other.unet.conv_out.bias)
    other.save_pretrained(tmp_path / "other")
    shutil.copy(generator / "plan.yaml", tmp_path / "other")
    with pytest.raises(CheckpointError, match="generator_sha256 was"):
        distil(settings(tmp_path / "other", tmp_path / "run"))


def test_an_unfinished_run_can_be_finished_early(generator: Path, distilled: Path, tmp_path: Path) -> None:
    shutil.copytree(distilled / "distillation", tmp_path / "distillation")
    (tmp_path / "distillation" / "samples.png").unlink()
    distil(settings(generator, tmp_path, images=10**6), finish=True)
    record = json.loads((tmp_path / "pipeline" / "training_run.json").read_text())
    assert record["made_from"]["images_seen"] == 112  # the newest checkpoint before the cool-down


@pytest.mark.parametrize("scheduler", [FLOW, VELOCITY], ids=["flow", "velocity"])
def test_the_levels_are_those_of_the_scheduler_and_shared_with_the_teacher(scheduler: object) -> None:
    """Training steps exactly as the pipeline of the student will."""
    pipeline = build_generator(scheduler)
    pipeline.scheduler = student_scheduler(pipeline.scheduler)
    few, many = (Steps(student_scheduler(scheduler), count) for count in (4, 8))
    assert torch.equal(few.timesteps, many.timesteps[::2])
    assert torch.equal(few.levels.noise[:4], many.levels.noise[:8:2])
    noise = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    loss = DistillationLoss(pipeline, Teacher(pipeline, 3.0), load_plan(), few, many)
    codes = loss.read_labels(range(4))
    conditions = [load_plan().row(number).condition for number in range(4)]
    sampled = pipeline(
        conditions, num_inference_steps=4, guidance_scale=1.0, latents=noise, output_type="latent"
    ).images
    assert torch.allclose(loss.sample(noise, codes), sampled, atol=1e-5)
    guided = pipeline(conditions, num_inference_steps=8, guidance_scale=3.0, latents=noise, output_type="latent").images
    assert torch.allclose(loss.teacher.advance(noise, loss.teacher.encode(codes), many, 0, 8), guided, atol=1e-4)


def test_a_student_that_arrives_where_the_teacher_does_has_no_loss() -> None:
    pipeline = build_generator(VELOCITY)
    steps = Steps(student_scheduler(pipeline.scheduler), 4)
    loss = DistillationLoss(pipeline, Teacher(pipeline, 1.0), load_plan(), steps, steps)
    generator = torch.Generator().manual_seed(0)
    assert loss(torch.arange(8).numpy(), generator)["loss"].item() == pytest.approx(0, abs=1e-8)
    with torch.no_grad():
        pipeline.unet.conv_out.bias += 0.5
    assert loss(torch.arange(8).numpy(), generator)["loss"].item() == pytest.approx(0.25, rel=1e-3)


def test_the_guidance_interval_of_the_generator_is_kept() -> None:
    pipeline = build_generator()
    pipeline.register_to_config(default_guidance_start=0.25, default_guidance_end=0.75)
    teacher, steps = Teacher(pipeline, 3.0), Steps(student_scheduler(pipeline.scheduler), 8)
    counts = count_evaluations(teacher.unet)
    teacher.advance(torch.zeros(1, 3, 8, 8), teacher.encode(torch.zeros(1, 16, dtype=torch.long)), steps, 0, 8)
    assert counts == [1, 1, 2, 2, 2, 2, 1, 1]


def test_the_teacher_keeps_the_colour_if_the_generator_does() -> None:
    pipeline = build_generator()
    steps = Steps(student_scheduler(pipeline.scheduler), 1)
    averages = {}
    for keeps_colour in (False, True):
        pipeline.register_to_config(guidance_keeps_colour=keeps_colour)
        for scale in (1.0, 5.0):
            teacher = Teacher(pipeline, scale)
            conditions = teacher.encode(torch.full((1, 16), 1))
            image = teacher.advance(torch.zeros(1, 3, 8, 8), conditions, steps, 0, 1)
            averages[keeps_colour, scale] = image.mean(dim=(2, 3))
    assert torch.allclose(averages[True, 5.0], averages[True, 1.0], atol=1e-5)
    assert not torch.allclose(averages[False, 5.0], averages[False, 1.0], atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, r"--steps is 5, but must be 1 to 4"),
        ({"teacher_steps": 6}, r"--teacher-steps is 6, but must be a positive multiple of --steps, which is 4"),
        ({"images": 0}, r"--images is 0, but must be positive"),
        ({"learning_rate": -1.0}, r"--learning-rate is -1\.0, but must be positive"),
        ({"guidance_scale": -1.0}, r"--guidance-scale is -1\.0, but must be a number of 0 or more"),
        ({"mixed_precision": "fp8"}, r"--mixed-precision is 'fp8', but must be no, bf16"),
        ({"log_with": ["wandb"]}, r"--log-with is \['wandb'\], but must be some of tensorboard, trackio"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillationSettings("out", **changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], r"error: --model is 'nowhere', but cannot be loaded"),
        (["--plan", "nowhere.yaml"], r"error: --plan: the plan nowhere\.yaml cannot be read: "),
        (["--finish"], r"error: there is no checkpoint in "),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_is_written(
    generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = [] if "--model" in arguments else ["--model", str(generator)]
    monkeypatch.setattr(sys, "argv", ["distil", "--out", "run", *defaults, *arguments])
    with pytest.raises(SystemExit, match=message):
        main()
    assert not list(tmp_path.glob("run/pipeline"))
