"""The model card of a trained pipeline, filled in from the record of its training: no figure is typed."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch

from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_LABELS
from synfundus.readability import FUNDUS
from training.configuration.config import TrainingConfig

TEMPLATE = Path(__file__).with_name("model_card.md")
RECORD_NAME = "training_run.json"


def _stage_record(log: Path, model: Any) -> dict[str, float]:
    """What the log of one stage says of its length, and its last held-out loss."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    seconds, seen = 0.0, 0.0
    record: dict[str, float] = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    for entry in entries:
        if "images_per_second" in entry:
            seconds += (entry["images_seen"] - seen) / entry["images_per_second"]
            seen = entry["images_seen"]
        if "validation_loss" in entry:
            record["validation_loss"] = entry["validation_loss"]
    return record | {"images_seen": seen, "hours": round(seconds / 3600, 2)}


def _count_labels(codes: np.ndarray) -> dict[str, dict[str, int]]:
    """For each label, how many rows know it, and how many have each of its values."""
    counts = {}
    for column, label in enumerate(CONDITION_LABELS):
        values = codes[:, column]
        counts[label.name] = {"known": int((values >= 0).sum())}
        counts[label.name] |= {str(value): int((values == value).sum()) for value in range(label.cardinality)}
    return counts


def make_record(
    config: TrainingConfig, pipeline: SynFundusPipeline, codes: np.ndarray, num_spoiled: int, num_held_out: int
) -> dict[str, Any]:
    """Everything the card says of a training run.

    Args:
        config: the run's configuration.
        pipeline: the trained pipeline.
        codes: labels of the photographs trained on, without spoiled copies; shape (N, 16).
        num_spoiled: spoiled copies trained on beside them.
        num_held_out: photographs held out.
    """
    output = Path(config.output_dir)
    stages = {}
    if pipeline.vae is not None:
        stages["autoencoder"] = _stage_record(output / "autoencoder" / "log.jsonl", pipeline.vae)
        if config.autoencoder is not None and config.autoencoder.decoder is not None:
            stages["decoder"] = _stage_record(output / "decoder" / "log.jsonl", pipeline.vae.decoder)
    stages["generator"] = _stage_record(output / "generator" / "log.jsonl", pipeline.unet)
    stages["generator"]["parameters"] += sum(p.numel() for p in pipeline.condition_encoder.parameters())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "config": {key: value for key, value in asdict(config).items() if key != "path"},
        "machine": gpu or f"{torch.get_num_threads()} {platform.machine()} CPU cores",
        "torch": torch.__version__.split("+")[0],
        "num_photographs": len(codes),
        "num_spoiled": num_spoiled,
        "num_held_out": num_held_out,
        "labels": _count_labels(codes),
        "stages": stages,
    }


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _architecture(record: dict[str, Any], pipeline: SynFundusPipeline) -> str:
    unet = pipeline.unet.config
    where = f"on {unet.sample_size}x{unet.sample_size}x{unet.in_channels} "
    what = "pixels" if pipeline.vae is None else "latents of an `AutoencoderKL` trained from scratch beside it"
    if (record["config"]["autoencoder"] or {}).get("decoder"):
        what += ", its decoder further against a discriminator of patches (Rombach et al. 2022)"
    return (
        f"A diffusion model {where}{what}: a `UNet2DModel` that predicts the velocity (Salimans and Ho 2022) under a "
        "schedule with zero terminal signal-to-noise ratio (Lin et al. 2024). One embedding per label and value, with "
        "one more for unknown, is summed and added to the time embedding; labels are dropped at random in training, "
        "which teaches unknown labels and classifier-free guidance alike. "
        f"Sampled with {record['config']['generator']['num_inference_steps']} steps of DPM-Solver++."
    )


def _guided_steps(pipeline: SynFundusPipeline) -> str:
    config = pipeline.config
    start, end = config.default_guidance_start, config.default_guidance_end
    part = "all" if (start, end) == (0, 1) else f"{start:.0%} to {end:.0%}"
    return f"{part} of the {config.default_num_inference_steps} steps"


def render_card(record: dict[str, Any], pipeline: SynFundusPipeline, name: str) -> str:
    """The card's text.

    Args:
        record: as `make_record` gives it.
        pipeline: the trained pipeline.
        name: the folder or Hub id in the card's example.
    """
    sources = record["config"]["data"]["sources"]
    counts = record["labels"]
    stages = record["stages"].items()
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=name,
        resolution=record["config"]["resolution"],
        guidance_scale=f"{pipeline.config.default_guidance_scale:g}",
        guided_steps=_guided_steps(pipeline),
        machine=record["machine"],
        num_photographs=f"{record['num_photographs']:,}",
        num_spoiled=f"{record['num_spoiled']:,}",
        num_held_out=f"{record['num_held_out']:,}",
        architecture=_architecture(record, pipeline),
        label_table="\n".join(
            _row(f"`{x.name}`", x.full_name, x.explanation, ", ".join(f"{i} {v}" for i, v in enumerate(x.values)))
            for x in CONDITION_LABELS
        ),
        stage_table="\n".join(
            _row(
                stage,
                f"{x['parameters'] / 1e6:.1f} M",
                f"{x['images_seen']:,.0f}",
                f"{x['hours']:.1f}",
                f"{x['validation_loss']:.4f}" if "validation_loss" in x else "not measured",
            )
            for stage, x in stages
        ),
        positives_table="\n".join(
            _row(f"`{x.name}` {value}" if x.cardinality > 2 else f"`{x.name}`", counts[x.name]["known"], number)
            for x in CONDITION_LABELS[:FUNDUS]
            for value, number in counts[x.name].items()
            if value not in ("known", "0")
        ),
        sources=Path(sources).read_text(encoding="utf-8").strip() if sources else "",
    )
