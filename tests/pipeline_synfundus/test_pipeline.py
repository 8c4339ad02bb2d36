from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback, SDCFGCutoffCallback
from PIL import Image

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES, ConditionError, complete_condition, contrast_condition, to_codes

DR = {"dr_grade": 3, "is_dme": 1}
UNKNOWN_EYE = dict.fromkeys(CONDITION_NAMES)
SCHEDULERS = [
    (DDPMScheduler, {}, {}),
    (DDIMScheduler, {}, {}),
    (DDIMScheduler, {}, {"eta": 0.7}),
    (DPMSolverMultistepScheduler, {}, {}),
    (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}, {}),
    (UniPCMultistepScheduler, {}, {}),
    (EulerDiscreteScheduler, {}, {}),
]


def run(pipeline: SynFundusPipeline, conditions: Any, **options: Any) -> np.ndarray:
    return pipeline(conditions, **({"num_inference_steps": 4, "output_type": "np"} | options)).images


@pytest.fixture
def batches(tiny_pipeline: SynFundusPipeline) -> Iterator[list[int]]:
    """The batch size of every evaluation of the UNet."""
    sizes: list[int] = []
    hook = tiny_pipeline.unet.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    yield sizes
    hook.remove()


@pytest.fixture
def swapped(tiny_pipeline: SynFundusPipeline) -> Iterator[SynFundusPipeline]:
    """The tiny pipeline, whose scheduler may be replaced."""
    scheduler = tiny_pipeline.scheduler
    yield tiny_pipeline
    tiny_pipeline.scheduler = scheduler


def test_output_types(tiny_pipeline: SynFundusPipeline) -> None:
    pil = run(tiny_pipeline, DR, output_type="pil", generator=0)
    array = run(tiny_pipeline, DR, output_type="np", generator=0)
    tensor = run(tiny_pipeline, DR, output_type="pt", generator=0)
    latent = run(tiny_pipeline, DR, output_type="latent", generator=0)
    assert isinstance(pil[0], Image.Image)
    assert pil[0].size == (16, 16)
    assert array.shape == (1, 16, 16, 3)
    assert tensor.shape == (1, 3, 16, 16)
    assert latent.shape == (1, 4, 8, 8)
    assert 0 <= array.min() < array.max() <= 1
    assert np.allclose(tensor.permute(0, 2, 3, 1).numpy(), array)
    assert np.abs(np.asarray(pil[0]) - array[0] * 255).max() <= 0.5


def test_an_unknown_eye_is_the_right_or_the_left_one_and_not_something_between(
    tiny_pipeline: SynFundusPipeline,
) -> None:
    seeds = list(range(8))
    right, left = (run(tiny_pipeline, [{"eye_side": side}] * 8, generator=seeds) for side in (0, 1))
    unknown = run(tiny_pipeline, [{}] * 8, generator=seeds)
    same = np.stack([np.isclose(unknown, eye).all(axis=(1, 2, 3)) for eye in (right, left)])
    assert same.sum(axis=0).tolist() == [1] * 8
    assert same.any(axis=1).all()
    alone = run(tiny_pipeline, {"eye_side": None}, generator=seeds[3])
    assert np.allclose(alone[0], unknown[3], atol=1 / 255)


@pytest.mark.parametrize("statistics", [True, False])
def test_latents_are_decoded_as_they_were_normalised(tiny_pipeline_dir: str, statistics: bool) -> None:
    vae = AutoencoderKL.from_pretrained(tiny_pipeline_dir, subfolder="vae")
    if statistics:
        mean, std = (torch.tensor(vae.config[name]).view(1, 4, 1, 1) for name in ("latents_mean", "latents_std"))
    else:
        vae.register_to_config(latents_mean=None, latents_std=None, scaling_factor=0.5, shift_factor=0.25)
        mean, std = 0.25, 2.0
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir, vae=vae)
    pipeline.set_progress_bar_config(disable=True)
    latents = run(pipeline, DR, generator=0, output_type="latent")
    with torch.no_grad():
        expected = vae.decode(latents * std + mean).sample / 2 + 0.5
    assert torch.allclose(run(pipeline, DR, generator=0, output_type="pt"), expected.clamp(0, 1), atol=1e-6)


def test_a_tuple_instead_of_an_output_object(tiny_pipeline: SynFundusPipeline) -> None:
    result = tiny_pipeline(DR, num_inference_steps=1, return_dict=False)
    assert isinstance(result, tuple)
    assert len(result[0]) == 1


def test_images_of_one_condition_stand_together(tiny_pipeline: SynFundusPipeline) -> None:
    both = run(tiny_pipeline, [DR, {}], num_images_per_condition=2, generator=[1, 2, 3, 4])
    first = run(tiny_pipeline, DR, num_images_per_condition=2, generator=[1, 2])
    second = run(tiny_pipeline, {}, num_images_per_condition=2, generator=[3, 4])
    assert np.abs(both - np.concatenate([first, second])).max() < 1e-4


def test_a_table_is_a_list_of_conditions(tiny_pipeline: SynFundusPipeline) -> None:
    rows = [{"dr_grade": 3, "is_dme": 1}, {"dr_grade": 0, "is_dme": 0}]
    assert np.array_equal(
        run(tiny_pipeline, pd.DataFrame(rows), generator=[1, 2]), run(tiny_pipeline, rows, generator=[1, 2])
    )


def test_labels_change_the_image_and_unknown_is_not_healthy(tiny_pipeline: SynFundusPipeline) -> None:
    conditions = [{"eye_side": 0, "is_gc": value} for value in (0, 1, None)] + [{"eye_side": 1}]
    images = run(tiny_pipeline, conditions, generator=[5] * len(conditions))
    for one in range(len(images)):
        for other in range(one):
            assert np.abs(images[one] - images[other]).max() > 1e-4


@pytest.mark.parametrize(("scheduler", "config", "options"), SCHEDULERS)
def test_an_image_is_the_same_alone_as_in_a_batch_with_any_scheduler(
    swapped: SynFundusPipeline, scheduler: type, config: dict, options: dict
) -> None:
    swapped.scheduler = scheduler.from_config(swapped.scheduler.config, **config)
    assert swapped.scheduler.config.prediction_type == "v_prediction"
    batch = run(swapped, [{}, DR, {"is_gc": 1}], generator=[7, 8, 9], **options)
    alone = run(swapped, DR, generator=[8], **options)
    assert np.isfinite(batch).all()
    assert np.abs(batch[1] - alone[0]).max() < 1e-4
    assert np.abs(batch[1] - batch[2]).max() > 1e-3


@pytest.mark.parametrize(("scheduler", "config", "options"), SCHEDULERS)
def test_a_perfect_prediction_gives_the_image_with_any_scheduler(
    tiny_pixel_pipeline: SynFundusPipeline, scheduler: type, config: dict, options: dict
) -> None:
    """If all photographs were this one, v would be known exactly, and sampling would have to end at it."""
    photograph = torch.linspace(-0.9, 0.9, 3 * 8 * 8).reshape(1, 3, 8, 8)
    pipeline = SynFundusPipeline(**tiny_pixel_pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **config)
    alphas_cumprod = DDPMScheduler.from_config(pipeline.scheduler.config).alphas_cumprod
    samples = []

    def predict(module: Any, inputs: tuple, output: Any) -> tuple[torch.Tensor]:
        sample, timestep = inputs
        samples.append(sample)
        alpha, sigma = alphas_cumprod[int(timestep)].sqrt(), (1 - alphas_cumprod[int(timestep)]).sqrt()
        return (alpha * (sample - alpha * photograph) / sigma - sigma * photograph,)

    hook = pipeline.unet.register_forward_hook(predict)
    try:
        images = run(pipeline, DR, generator=1, num_inference_steps=3, output_type="latent", **options)
    finally:
        hook.remove()
    noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(samples[0][:1], noise, atol=1e-3), "the UNet is to see noise of variance 1 first"
    assert (images - photograph).abs().max() < 1e-3


def test_eta_makes_ddim_random(swapped: SynFundusPipeline) -> None:
    swapped.scheduler = DDIMScheduler.from_config(swapped.scheduler.config)
    straight, noisy = (run(swapped, DR, generator=[1], eta=eta) for eta in (0.0, 1.0))
    assert np.abs(straight - noisy).max() > 1e-3


def test_seeds_and_generators_are_the_same(tiny_pipeline: SynFundusPipeline) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    by_generator = run(tiny_pipeline, [DR, DR], generator=generators)
    by_seed = run(tiny_pipeline, [DR, DR], generator=[1, 2])
    assert np.array_equal(by_generator, by_seed)
    assert np.array_equal(run(tiny_pipeline, [DR, DR], generator=list(np.arange(1, 3))), by_seed)
    assert np.array_equal(run(tiny_pipeline, DR, generator=1), run(tiny_pipeline, DR, generator=[1]))
    assert np.abs(by_seed[0] - by_seed[1]).max() > 1e-3


def test_latents_can_be_given(tiny_pipeline: SynFundusPipeline) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    assert np.array_equal(run(tiny_pipeline, DR, latents=latents), run(tiny_pipeline, DR, generator=3))
    with pytest.raises(ValueError, match=r"latents has shape \(1, 4, 8, 8\), but must have shape \(2, 4, 8, 8\)"):
        run(tiny_pipeline, [DR, DR], latents=latents)


def test_guidance_is_one_doubled_forward_in_its_interval_and_free_without(
    tiny_pipeline: SynFundusPipeline, batches: list[int]
) -> None:
    run(tiny_pipeline, [DR, DR], guidance_scale=1)
    assert batches == [2, 2, 2, 2]
    batches.clear()
    run(tiny_pipeline, [DR, DR], guidance_scale=3.0)
    assert batches == [4, 4, 4, 4]
    batches.clear()
    run(tiny_pipeline, [DR, DR], guidance_scale=3.0, guidance_interval=(0.25, 0.75))
    assert batches == [2, 4, 4, 2]


def test_guidance_in_an_empty_interval_is_no_guidance(tiny_pipeline: SynFundusPipeline) -> None:
    without = run(tiny_pipeline, DR, generator=1, guidance_scale=1)
    assert np.array_equal(run(tiny_pipeline, DR, generator=1, guidance_scale=3, guidance_interval=(0.5, 0.5)), without)
    assert np.abs(run(tiny_pipeline, DR, generator=1, guidance_scale=3) - without).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "negative"),
    [
        ({}, contrast_condition(complete_condition(DR | {"eye_side": 1}))),
        ({"negative_conditions": UNKNOWN_EYE}, UNKNOWN_EYE),
        ({"negative_conditions": [{"is_gc": 1}]}, {"is_gc": 1}),
    ],
)
def test_guidance_is_the_published_formula(tiny_pipeline: SynFundusPipeline, options: dict, negative: dict) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    options = options | {"num_inference_steps": 1, "guidance_scale": 2.5, "output_type": "latent"}
    wanted = DR | {"eye_side": 1}
    guided = run(tiny_pipeline, wanted, latents=latents, **options)

    scheduler = DPMSolverMultistepScheduler.from_config(tiny_pipeline.scheduler.config)
    scheduler.set_timesteps(1)
    (timestep,) = scheduler.timesteps
    codes = torch.tensor([to_codes(complete_condition(condition)) for condition in (wanted, negative)])
    with torch.no_grad():
        with_labels, without = (
            tiny_pipeline.unet(latents, timestep, class_labels=tiny_pipeline.condition_encoder(row[None])).sample
            for row in codes
        )
    assert (with_labels - without).abs().max() > 1e-2
    prediction = without + 2.5 * (with_labels - without)
    expected = scheduler.step(prediction, timestep, latents).prev_sample
    assert torch.allclose(guided, expected, atol=1e-5)


def test_negative_conditions_are_one_for_all_or_one_for_each(tiny_pipeline: SynFundusPipeline) -> None:
    conditions, healthy = [DR, {"is_gc": 1}], {"dr_grade": 0}
    once = run(tiny_pipeline, conditions, generator=[1, 2], negative_conditions=healthy)
    each = run(tiny_pipeline, conditions, generator=[1, 2], negative_conditions=[healthy, healthy])
    assert np.array_equal(once, each)
    with pytest.raises(ValueError, match="negative_conditions has 3 entries, but must have 1 or, as conditions, 2"):
        run(tiny_pipeline, conditions, negative_conditions=[healthy] * 3)
    with pytest.raises(ConditionError, match="negative_conditions: unknown label 'is_gx'"):
        run(tiny_pipeline, conditions, negative_conditions={"is_gx": 1})


def test_the_callback_sees_and_changes_the_latents(tiny_pipeline: SynFundusPipeline) -> None:
    seen = []

    def blank(pipeline: Any, step: int, timestep: int, tensors: dict) -> dict:
        seen.append((step, int(timestep), tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])}

    images = run(tiny_pipeline, DR, callback_on_step_end=blank, output_type="latent")
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert seen[0][1] == 999
    assert seen[0][2] == (1, 4, 8, 8)
    assert not images.any()


def test_the_callback_can_interrupt(tiny_pipeline: SynFundusPipeline, batches: list[int]) -> None:
    def stop(pipeline: Any, step: int, timestep: int, tensors: dict) -> dict:
        pipeline._interrupt = step == 1
        return tensors

    assert run(tiny_pipeline, DR, callback_on_step_end=stop, guidance_scale=1).shape == (1, 16, 16, 3)
    assert batches == [1, 1]
    batches.clear()
    run(tiny_pipeline, DR, guidance_scale=1)
    assert batches == [1, 1, 1, 1], "an interruption must not outlast its call"


def test_the_callback_can_end_guidance(tiny_pipeline: SynFundusPipeline, batches: list[int]) -> None:
    def end(pipeline: Any, step: int, timestep: int, tensors: dict) -> dict:
        pipeline._guidance_scale = 3.0 if step < 1 else 1.0
        return tensors

    run(tiny_pipeline, DR, callback_on_step_end=end, guidance_scale=3.0)
    assert batches == [2, 2, 1, 1]


class Blank(PipelineCallback):
    """One of diffusers' callback objects, which name the tensors that they want."""

    tensor_inputs: ClassVar[list[str]] = ["latents"]

    def callback_fn(self, pipeline: Any, step_index: int, timesteps: int, callback_kwargs: dict) -> dict:
        return {"latents": torch.zeros_like(callback_kwargs["latents"])}


def test_callback_objects_of_diffusers_name_their_tensors(tiny_pipeline: SynFundusPipeline, batches: list[int]) -> None:
    options = {"callback_on_step_end_tensor_inputs": [], "output_type": "latent"}
    for callback in (Blank(), MultiPipelineCallbacks([Blank()])):
        assert not run(tiny_pipeline, DR, callback_on_step_end=callback, **options).any()
    batches.clear()
    with pytest.raises(ValueError, match=r"has \['prompt_embeds'\], but may have \['latents'\]"):
        run(tiny_pipeline, DR, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=0.5))
    assert batches == []


def test_pixels_without_an_autoencoder(tiny_pixel_pipeline: SynFundusPipeline) -> None:
    assert tiny_pixel_pipeline.vae is None
    assert run(tiny_pixel_pipeline, [DR, {}], generator=[1, 2]).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(("scheduler", "count"), [(DPMSolverMultistepScheduler, 3), (HeunDiscreteScheduler, 5)])
def test_the_progress_bar_counts_evaluations_of_the_unet(
    swapped: SynFundusPipeline,
    batches: list[int],
    capsys: pytest.CaptureFixture[str],
    scheduler: type,
    count: int,
) -> None:
    swapped.scheduler = scheduler.from_config(swapped.scheduler.config)
    swapped.set_progress_bar_config(disable=False)
    try:
        run(swapped, DR, num_inference_steps=3)
    finally:
        swapped.set_progress_bar_config(disable=True)
    assert len(batches) == swapped.num_timesteps == count
    assert f"{count}/{count}" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(tiny_pipeline_dir: str, dtype: torch.dtype) -> None:
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.condition_encoder.dtype == dtype
    images = run(pipeline, [DR, {}], generator=[1, 2])
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    full = run(SynFundusPipeline.from_pretrained(tiny_pipeline_dir), [DR, {}], generator=[1, 2])
    assert np.abs(images - full).mean() < 0.1


def test_components_may_differ_in_precision(tiny_pipeline_dir: str) -> None:
    pipeline = SynFundusPipeline.from_pretrained(
        tiny_pipeline_dir, dtype={"unet": torch.bfloat16, "default": torch.float32}
    )
    pipeline.set_progress_bar_config(disable=True)
    assert (pipeline.unet.dtype, pipeline.vae.dtype) == (torch.bfloat16, torch.float32)
    assert np.isfinite(run(pipeline, DR, generator=1)).all()


def test_offloading_changes_no_image(tiny_pipeline_dir: str) -> None:
    """The hooks are those of CUDA; here they move the components from the CPU to the CPU."""
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    expected = run(pipeline, DR, generator=[1])
    pipeline.enable_model_cpu_offload(device="cpu")
    assert all(hasattr(module, "_hf_hook") for module in (pipeline.condition_encoder, pipeline.unet, pipeline.vae))
    for _ in range(2):
        assert np.array_equal(run(pipeline, DR, generator=[1]), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("offload", [False, True])
def test_cuda_gives_the_image_of_the_cpu(tiny_pipeline_dir: str, offload: bool) -> None:
    pipeline = SynFundusPipeline.from_pretrained(tiny_pipeline_dir)
    expected = run(pipeline, DR, generator=[1])
    if offload:
        pipeline.enable_model_cpu_offload()
    else:
        pipeline.to("cuda")
    assert np.abs(run(pipeline, DR, generator=[1]) - expected).max() < 1e-2
    assert pipeline.unet.device.type == pipeline.vae.device.type == ("cpu" if offload else "cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images_per_condition": 0}, "num_images_per_condition is 0, but must be an integer of 1 or more"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5, but must be an integer of 1 or more"),
        ({"num_inference_steps": True}, "num_inference_steps is True"),
        ({"guidance_scale": -1}, "guidance_scale is -1, but must be a number of 0 or more"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_interval": (0.8, 0.2)}, r"guidance_interval is \(0.8, 0.2\), but must be \(lo, hi\)"),
        ({"guidance_interval": (0, 2)}, r"guidance_interval is \(0, 2\)"),
        ({"guidance_interval": 0.5}, r"guidance_interval is 0.5, but must be \(lo, hi\)"),
        ({"guidance_interval": ("0", "1")}, r"guidance_interval is \('0', '1'\), but must be \(lo, hi\)"),
        ({"guidance_scale": "2"}, "guidance_scale is '2', but must be a number of 0 or more"),
        ({"eta": 2}, r"eta is 2, but must be in \[0, 1\]"),
        ({"eta": None}, r"eta is None, but must be in \[0, 1\]"),
        ({"eta": float("nan")}, r"eta is nan, but must be in \[0, 1\]"),
        ({"output_type": "jpg"}, "output_type is 'jpg', but must be one of pil, np, pt, latent"),
        ({"generator": [1, 2]}, "generator has 2 entries, but 1 images are asked for"),
        ({"generator": "seed"}, "generator is 'seed', but must be a torch.Generator, a seed, or a list of them"),
        ({"generator": 1.5}, "generator is 1.5"),
        ({"generator": [None]}, r"generator is \[None\], but must be a torch.Generator, a seed, or a list of them"),
        ({"generator": [[1]]}, r"generator is \[\[1\]\]"),
        ({"generator": [True]}, r"generator is \[True\]"),
        ({"latents": torch.zeros(1, 4, 4, 4)}, r"latents has shape \(1, 4, 4, 4\), but must have shape \(1, 4, 8, 8\)"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, r"has \['noise'\], but may have \['latents'\]"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_work(
    tiny_pipeline: SynFundusPipeline, batches: list[int], options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(tiny_pipeline, {}, **options)
    assert batches == []


def test_numbers_of_numpy_are_numbers(tiny_pipeline: SynFundusPipeline, batches: list[int]) -> None:
    run(tiny_pipeline, {}, num_inference_steps=np.int64(2), guidance_scale=np.float32(2), eta=np.float64(0))
    assert batches == [2, 2]


def test_a_wrong_condition_is_refused_before_any_work(tiny_pipeline: SynFundusPipeline, batches: list[int]) -> None:
    with pytest.raises(ConditionError, match="did you mean 'dr_grade'"):
        run(tiny_pipeline, {"dr_grad": 2})
    assert batches == []
