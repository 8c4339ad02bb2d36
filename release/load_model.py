"""Loads a model folder as a stranger does, and makes one image: `python -I load_model.py FOLDER`.

Run in a process of its own, in which neither the clone's code nor its packages' paths are there.
"""

import sys

import torch
from diffusers import DiffusionPipeline


def main(folder: str) -> None:
    """Raises, with a message, if no image comes out."""
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    pipeline.set_progress_bar_config(disable=True)
    pixels = pipeline({}, generator=0, num_inference_steps=2, output_type="pt").images[0]
    if not torch.isfinite(pixels).all():
        raise ValueError("the pipeline loads, but its image has values that are no numbers")
    print(f"loads and makes images of {pixels.shape[-1]}x{pixels.shape[-2]} pixels")


if __name__ == "__main__":
    main(sys.argv[1])
