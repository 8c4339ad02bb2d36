"""Runs the generator as a stream of frames that can be stopped between two steps."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from generator.model import Model
from generator.settings import Settings

try:
    import spaces  # ZeroGPU's package, installed on GPU Spaces of the Hub only
except ImportError:
    spaces = None

GPU_SECONDS = 60
PREVIEW_EVERY = 2


@dataclass(frozen=True)
class Frame:
    """The state of the images after a step.

    Attributes:
        step: completed steps.
        steps: total steps.
        images: RGB images in the order of the conditions: previews (after every second step, else empty), or with
            `done` the final images.
        done: whether this is the last frame.
    """

    step: int
    steps: int
    images: list[Image.Image]
    done: bool = False


Sampler = Callable[[Settings], Iterator[Frame]]


def build_sampler(model: Model) -> Sampler:
    """Returns the function that generates images with this model.

    It yields one `Frame` per step. When it is closed, on Cancel and when a visitor leaves, the model stops after the
    current step. It is closed between two frames, hence one per step. Requests are served one at a
    time, because the scheduler has a state.
    """
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sampling")

    def sample(settings: Settings) -> Iterator[Frame]:
        previews: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        stop = threading.Event()
        job = worker.submit(_run, model, settings, previews.put, stop)
        job.add_done_callback(lambda _: previews.put(None))
        try:
            while (frame := previews.get()) is not None:
                yield frame
            yield job.result()
        finally:
            stop.set()

    # The model is in the closure: ZeroGPU sends arguments to another process.
    return sample if spaces is None else spaces.GPU(duration=GPU_SECONDS)(sample)


def _run(model: Model, settings: Settings, show: Callable[[Frame], None], stop: threading.Event) -> Frame:
    steps = settings.num_inference_steps

    def after_step(pipeline: Any, step: int, timestep: int, tensors: dict) -> dict:
        if stop.is_set():
            pipeline._interrupt = True  # diffusers' way to skip the remaining steps
        elif step + 1 < steps:
            wanted = settings.previews and step % PREVIEW_EVERY == 0
            show(Frame(step + 1, steps, _preview(pipeline, tensors["latents"]) if wanted else []))
        return tensors

    images = model.pipeline(**settings.arguments(), callback_on_step_end=after_step).images
    return Frame(steps, steps, images, done=True)


def _preview(pipeline: Any, latents: torch.Tensor) -> list[Image.Image]:
    """The images predicted at this step, or the noisy ones if the scheduler keeps no prediction."""
    kept = getattr(pipeline.scheduler, "model_outputs", None)
    predicts_images = str(pipeline.scheduler.config.get("algorithm_type")).endswith("dpmsolver++")
    if predicts_images and kept is not None and kept[-1] is not None:
        latents = kept[-1].to(latents.dtype)
    return pipeline.image_processor.postprocess(pipeline.decode_latents(latents), output_type="pil")
