"""Loads a model folder as a user without this project does, and generates an image: `python -I load_model.py FOLDER`.

The code of the folder is meant to run here: this checks what `trust_remote_code=True` will give users. It runs in an
isolated process that cannot import this project.
"""

import sys

import torch
from diffusers import DiffusionPipeline


def main(folder: str) -> None:
    """Raises an error if the model does not load or generates invalid pixels."""
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    pixels = pipeline({}, generator=0, num_inference_steps=2, output_type="pt").images[0]
    if not torch.isfinite(pixels).all():
        raise ValueError("the pipeline loads, but its image has values that are not finite")
    print(f"loads and generates images of {pixels.shape[-1]}x{pixels.shape[-2]} pixels")


if __name__ == "__main__":
    main(sys.argv[1])
