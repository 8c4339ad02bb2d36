from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.guidance import guide


def two_predictions() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    without, with_labels = (torch.randn(2, 3, 8, 8, generator=generator) + shift for shift in (0, 1))
    return without, with_labels


@pytest.mark.parametrize("keeps_colour", [False, True])
def test_a_scale_of_one_is_no_guidance(keeps_colour: bool) -> None:
    without, with_labels = two_predictions()
    assert torch.allclose(guide(without, with_labels, 1.0, keeps_colour), with_labels, atol=1e-6)


def test_the_average_stays_and_the_rest_is_guided() -> None:
    without, with_labels = two_predictions()
    plain, kept = (guide(without, with_labels, 4.0, keeps_colour) for keeps_colour in (False, True))
    average = kept.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(average, with_labels.mean(dim=(2, 3), keepdim=True), atol=1e-5)
    assert torch.allclose(kept - average, plain - plain.mean(dim=(2, 3), keepdim=True), atol=1e-5)
    assert (plain - kept).abs().min() > 1  # the labels shift the average by 1


def test_a_model_that_keeps_the_colour_is_saved_as_one(tiny_pipeline: SynFundusPipeline, tmp_path: Path) -> None:
    SynFundusPipeline(**tiny_pipeline.components, guidance_keeps_colour=True).save_pretrained(tmp_path)
    pipelines = tiny_pipeline, SynFundusPipeline.from_pretrained(tmp_path)

    def averages(scale: float) -> list[np.ndarray]:
        options = {"num_inference_steps": 1, "generator": 0, "output_type": "latent", "guidance_scale": scale}
        return [pipe({"dr_grade": 4}, **options).images.mean(dim=(2, 3)).numpy() for pipe in pipelines]

    (plain, kept), (unguided, _) = averages(5.0), averages(1.0)
    assert kept == pytest.approx(unguided, abs=1e-5)
    assert np.abs(plain - unguided).max() > 1e-3
