import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from generator import sampling
from generator.sampling import Sampler, build_sampler
from generator.settings import check_one


@pytest.fixture
def evaluations(model: Any) -> Iterator[list[int]]:
    """Grows by one entry each time that the UNet is evaluated."""
    seen: list[int] = []
    handle = model.pipeline.unet.register_forward_hook(lambda *_: seen.append(1))
    yield seen
    handle.remove()


@pytest.fixture(scope="module")
def sample(model: Any) -> Sampler:
    """One for all tests, as the Space has one: two would run one model at the same time."""
    return build_sampler(model)


def test_a_frame_comes_each_step_every_second_with_previews_and_the_last_with_the_images(
    model: Any, sample: Sampler
) -> None:
    frames = list(sample(check_one(model, {}, 2, 0, 6)))
    assert [(frame.step, len(frame.images), frame.done) for frame in frames] == [
        (1, 2, False),
        (2, 0, False),
        (3, 2, False),
        (4, 0, False),
        (5, 2, False),
        (6, 2, True),
    ]
    assert all(image.size == (16, 16) for frame in frames for image in frame.images)


def test_the_images_are_those_of_the_pipeline_itself(model: Any, sample: Sampler) -> None:
    settings = check_one(model, {"dr_grade": 3}, 2, 7, 4)
    *_, last = sample(settings)
    images = model.pipeline({"dr_grade": 3}, num_images_per_condition=2, generator=[7, 8], num_inference_steps=4).images
    assert all(np.array_equal(a, b) for a, b in zip(last.images, images, strict=True))


def test_the_first_preview_is_the_models_prediction_of_the_image(model: Any, sample: Sampler) -> None:
    """The first step's signal-to-noise ratio is 0, where the image predicted by a velocity v is -v."""
    velocities: list[torch.Tensor] = []
    handle = model.pipeline.unet.register_forward_hook(lambda *call: velocities.append(call[2][0]))
    first = next(sample(check_one(model, {}, 1, 3, 3, 1)))
    handle.remove()
    with torch.no_grad():
        predicted = model.pipeline.decode_latents(-velocities[0])
    expected = model.pipeline.image_processor.postprocess(predicted, output_type="pil")[0]
    assert np.abs(np.asarray(first.images[0], dtype=int) - np.asarray(expected, dtype=int)).max() <= 1


def test_a_scheduler_that_keeps_no_prediction_has_previews(
    model: Any, sample: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddim = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    monkeypatch.setattr(model.pipeline, "scheduler", ddim)
    first, *_, last = sample(check_one(model, {}, 1, 3, 9))
    assert (len(first.images), first.done, last.done) == (1, False, True)


def test_closing_stops_the_model_within_two_steps(model: Any, sample: Sampler, evaluations: list[int]) -> None:
    frames = sample(check_one(model, {}, 4, 0, 50))
    assert next(frames).step == 1
    frames.close()
    at_close = len(evaluations)
    *_, last = sample(check_one(model, {}, 1, 0, 1))  # waits for the one before
    assert last.done
    assert len(evaluations) - 1 - at_close <= 2
    time.sleep(0.2)
    assert len(evaluations) - 1 - at_close <= 2


def test_a_failure_reaches_the_caller_and_the_next_request_works(
    model: Any, sample: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(model.pipeline, "decode_latents", lambda latents: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(sample(check_one(model, {}, 1, 0, 2)))
    assert list(sample(check_one(model, {}, 1, 0, 2)))[-1].done


def test_on_zerogpu_the_generator_runs_inside_its_decorator(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    durations = []

    class Spaces:
        @staticmethod
        def GPU(duration: int) -> Any:
            durations.append(duration)
            return lambda function: lambda settings: ("on a GPU", list(function(settings))[-1].done)

    monkeypatch.setattr(sampling, "spaces", Spaces)
    assert build_sampler(model)(check_one(model, {}, 1, 0, 1)) == ("on a GPU", True)
    assert durations == [sampling.GPU_SECONDS]
