"""Editing photographs: SDEdit, inversion, masks, and the conditions before and after."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image, ImageDraw

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES, UNKNOWN_CONDITION, ConditionError
from pipeline_synfundus.photograph import read_photograph

FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "rescale_betas_zero_snr": False}
SCHEDULERS = [
    (DDPMScheduler, {}),
    (DDIMScheduler, {}),
    (DDIMScheduler, {"prediction_type": "epsilon", "rescale_betas_zero_snr": False}),
    (DPMSolverMultistepScheduler, {}),
    (DPMSolverMultistepScheduler, FLOW),
    (UniPCMultistepScheduler, FLOW),
    (EulerDiscreteScheduler, {}),
    (EulerDiscreteScheduler, {"prediction_type": "epsilon"}),
    (HeunDiscreteScheduler, {"prediction_type": "epsilon"}),
]
GC = {"is_gc": 1}


@pytest.fixture
def photograph() -> Image.Image:
    """A bright disc on a dark surround, off centre, with structure in it."""
    image = Image.new("RGB", (90, 60), (2, 2, 2))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 5, 69, 54), fill=(190, 80, 30))
    draw.ellipse((30, 20, 40, 30), fill=(240, 200, 120))
    return image


@pytest.fixture
def pipeline(tiny_pipeline: SynFundusPipeline) -> Iterator[SynFundusPipeline]:
    """The tiny pipeline, whose scheduler may be replaced."""
    scheduler = tiny_pipeline.scheduler
    yield tiny_pipeline
    tiny_pipeline.scheduler = scheduler


@pytest.fixture
def evaluations(pipeline: SynFundusPipeline) -> Iterator[list[torch.Tensor]]:
    """The input of every evaluation of the UNet."""
    seen: list[torch.Tensor] = []
    hook = pipeline.unet.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    yield seen
    hook.remove()


@pytest.fixture
def codes(pipeline: SynFundusPipeline) -> Iterator[list[torch.Tensor]]:
    """The labels that the condition encoder sees."""
    seen: list[torch.Tensor] = []
    hook = pipeline.condition_encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    yield seen
    hook.remove()


def edit(pipeline: SynFundusPipeline, image: Any, conditions: Any = GC, **options: Any) -> np.ndarray:
    settings = {"num_inference_steps": 8, "output_type": "np", "generator": 0} | options
    return pipeline(conditions, image=image, **settings).images


def reconstruct(pipeline: SynFundusPipeline, image: Any) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(read_photograph(image, 16))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        return pipeline.encode_images(pixels)


@pytest.mark.parametrize(("scheduler", "config"), SCHEDULERS)
def test_an_edit_starts_from_the_photograph_with_noise_of_the_strength(
    pipeline: SynFundusPipeline, photograph: Image.Image, evaluations: list, scheduler: type, config: dict
) -> None:
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **config)
    image = edit(pipeline, photograph, strength=0.5, guidance_scale=1)
    assert np.isfinite(image).all()
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = scheduler.from_config(pipeline.scheduler.config)
    expected.set_timesteps(8)
    start = expected.timesteps[4 * expected.order]
    noisy = expected.add_noise(reconstruct(pipeline, photograph), noise, start[None])
    assert torch.allclose(evaluations[0], expected.scale_model_input(noisy, start), atol=1e-4)
    assert len(evaluations) == len(expected.timesteps) - 4 * expected.order


@pytest.mark.parametrize(("scheduler", "config"), SCHEDULERS)
def test_inversion_without_a_change_gives_the_photograph_back(
    pipeline: SynFundusPipeline, photograph: Image.Image, scheduler: type, config: dict
) -> None:
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **config)
    same = {"dr_grade": 2}
    options = {"inversion": True, "strength": 0.25, "num_inference_steps": 48, "source_conditions": same}
    options["output_type"] = "latent"
    unchanged = edit(pipeline, photograph, same, **options)
    changed = edit(pipeline, photograph, {"dr_grade": 4}, **options)
    clean = reconstruct(pipeline, photograph)
    assert (unchanged - clean).abs().max() < 0.05 * clean.std()
    assert (changed - clean).abs().max() > 2 * (unchanged - clean).abs().max()


def test_inversion_takes_the_same_guidance_for_what_stays(pipeline: SynFundusPipeline, photograph: Image.Image) -> None:
    options = {"inversion": True, "strength": 0.5, "source_conditions": GC, "guidance_scale": 7.0}
    images = edit(pipeline, photograph, GC, **options)
    expected = edit(pipeline, photograph, GC, **options | {"guidance_scale": 1.0})
    assert np.abs(images - expected).max() < 1e-3


def test_more_strength_changes_more(pipeline: SynFundusPipeline, photograph: Image.Image) -> None:
    clean = reconstruct(pipeline, photograph)
    distances = [
        float((edit(pipeline, photograph, strength=strength, output_type="latent") - clean).abs().mean())
        for strength in (0.125, 0.5, 1.0)
    ]
    assert distances == sorted(distances)


def test_images_of_all_kinds_are_read_alike(
    pipeline: SynFundusPipeline, photograph: Image.Image, tmp_path: Path
) -> None:
    photograph.save(tmp_path / "eye.png")
    array = np.array(photograph)
    kinds = {
        "pil": photograph,
        "path": tmp_path / "eye.png",
        "list": [photograph],
        "uint8": array,
        "float": array.astype(np.float32) / 255,
        "batch": array[None],
        "tensor": torch.from_numpy(array).permute(2, 0, 1) / 255,
        "tensors": torch.from_numpy(array).permute(2, 0, 1)[None],
    }
    expected = edit(pipeline, photograph)
    for name, image in kinds.items():
        assert np.array_equal(edit(pipeline, image), expected), name


def test_one_image_serves_several_conditions_and_one_condition_several_images(
    pipeline: SynFundusPipeline, photograph: Image.Image
) -> None:
    other = photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    conditions = edit(pipeline, photograph, [GC, {"dr_grade": 4}], generator=[1, 2])
    images = edit(pipeline, [photograph, other], GC, generator=[1, 2], num_images_per_condition=1)
    assert np.abs(conditions[1] - edit(pipeline, photograph, {"dr_grade": 4}, generator=2)[0]).max() < 1e-4
    assert np.abs(images[1] - edit(pipeline, other, GC, generator=2)[0]).max() < 1e-4
    twice = edit(pipeline, [photograph, other], GC, generator=[1, 2, 3, 4], num_images_per_condition=2)
    assert np.abs(twice[2] - edit(pipeline, other, GC, generator=3)[0]).max() < 1e-4


def test_labels_left_out_are_as_in_the_photograph_and_guidance_leads_away_from_it(
    pipeline: SynFundusPipeline, photograph: Image.Image, codes: list
) -> None:
    edit(pipeline, photograph, {"dr_grade": 3, "is_em": 1}, source_conditions={"dr_grade": 1, "is_gc": 1})
    target, contrast = ({name: int(v) for name, v in zip(CONDITION_NAMES, row, strict=True)} for row in codes[0])
    assert target == UNKNOWN_CONDITION | {"dr_grade": 3, "is_gc": 1, "is_em": 1}
    assert contrast == UNKNOWN_CONDITION | {"dr_grade": 1, "is_gc": 1, "is_em": 0}


def test_outside_the_mask_the_pixels_stay(pipeline: SynFundusPipeline, photograph: Image.Image) -> None:
    mask = Image.new("L", photograph.size)
    ImageDraw.Draw(mask).rectangle((45, 0, 90, 60), fill=255)  # the right half of the disc
    square = np.asarray(read_photograph(photograph, 16)) / 255
    for inversion in (False, True):
        image = edit(pipeline, photograph, mask_image=mask, strength=1.0, inversion=inversion)[0]
        assert np.abs(image[:, :7] - square[:, :7]).max() < 1e-6
        assert np.abs(image[:, 9:] - square[:, 9:]).max() > 0.05


def test_an_empty_mask_changes_nothing_and_a_full_one_is_no_mask(
    pipeline: SynFundusPipeline, photograph: Image.Image
) -> None:
    black = np.zeros((60, 90), np.uint8)
    square = np.asarray(read_photograph(photograph, 16)) / 255
    assert np.abs(edit(pipeline, photograph, mask_image=black)[0] - square).max() < 1e-6
    assert np.array_equal(edit(pipeline, photograph, mask_image=black == 0), edit(pipeline, photograph))


def test_by_default_the_models_own_number_of_steps_is_run(
    pipeline: SynFundusPipeline, photograph: Image.Image, evaluations: list
) -> None:
    for strength in (0.2, 0.5, 0.7, None, 1.0):
        evaluations.clear()
        edit(pipeline, photograph, num_inference_steps=None, strength=strength)
        assert len(evaluations) == pipeline.config.default_num_inference_steps


@pytest.mark.parametrize("inversion", [False, True])
def test_editing_in_half_precision(tiny_pipeline_dir: Path, photograph: Image.Image, inversion: bool) -> None:
    half = SynFundusPipeline.from_pretrained(tiny_pipeline_dir, dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    image = edit(half, photograph, inversion=inversion)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()


def test_pixels_without_an_autoencoder_are_edited(
    tiny_pixel_pipeline: SynFundusPipeline, photograph: Image.Image
) -> None:
    same = {"inversion": True, "strength": 0.5, "source_conditions": GC}
    square = np.asarray(read_photograph(photograph, 8)) / 255
    assert np.abs(edit(tiny_pixel_pipeline, photograph, GC, **same)[0] - square).max() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "nowhere.png"}, r"image\[0\]: nowhere.png cannot be read as a photograph"),
        ({"image": [np.zeros((4, 4, 3)), 7]}, r"image\[1\]: the image cannot be read as a photograph"),
        ({"image": torch.full((3, 4, 4), -1.0)}, r"image\[0\]: .*allowed are 0 to 65535"),
        ({"strength": 0}, "strength is 0, but must be a number above 0, at most 1"),
        ({"strength": "half"}, "strength is 'half'"),
        ({"strength": 0.1, "num_inference_steps": 4}, "strength is 0.1 and num_inference_steps 4, so no step is left"),
        ({"inversion": 1}, "inversion is 1, but must be True or False"),
        ({"source_conditions": {"is_gx": 1}}, "source_conditions: unknown label 'is_gx'"),
        (
            {"source_conditions": [{}, {}], "conditions": [{}] * 3},
            "source_conditions has 2 entries, but must have 1 or 3",
        ),
        (
            {"mask_image": np.zeros((4, 4))},
            r"mask_image\[0\] has size \(4, 4\), but must have that of its image, \(90, 60\)",
        ),
        ({"mask_image": "nowhere.png"}, r"mask_image\[0\]: nowhere.png cannot be read"),
        ({"image": None, "strength": 0.5}, "strength given without image"),
        ({"image": None, "inversion": True, "mask_image": 1}, "mask_image and inversion given without image"),
        ({"source_conditions": {"dr_grade": 0}, "conditions": {"is_dme": 1}}, "is_dme is 1, but dr_grade"),
    ],
)
def test_a_wrong_argument_of_an_edit_is_refused_before_any_work(
    pipeline: SynFundusPipeline, photograph: Image.Image, evaluations: list, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        edit(pipeline, **{"image": photograph, "generator": None} | options)
    assert evaluations == []


def test_what_a_scheduler_predicts_may_not_be_invertible(pipeline: SynFundusPipeline, photograph: Image.Image) -> None:
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type="sample")
    with pytest.raises(ValueError, match="inversion is True, but the scheduler predicts sample; allowed are epsilon"):
        edit(pipeline, photograph, inversion=True)


def test_a_contradiction_with_the_source_is_a_condition_error(
    pipeline: SynFundusPipeline, photograph: Image.Image
) -> None:
    with pytest.raises(ConditionError, match="is_dme is 1, but dr_grade is 0"):
        edit(pipeline, photograph, {"dr_grade": 0}, source_conditions={"dr_grade": 2, "is_dme": 1})
