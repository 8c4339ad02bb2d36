"""The model card of a trained pipeline. All figures come from the record of its training."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline_synfundus import FundusAutoencoder, SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_LABELS
from synfundus.readability import FUNDUS
from training.card.adaptation import adaptation_values
from training.card.distillation import distillation_values
from training.configuration.config import TrainingConfig

TEMPLATE = Path(__file__).with_name("model_card.md")
ADAPTED_TEMPLATE = Path(__file__).with_name("adapted_card.md")
DISTILLED_TEMPLATE = Path(__file__).with_name("distilled_card.md")
RECORD_NAME = "training_run.json"
_OBJECTIVES = {
    "flow_prediction": "the flow from noise to latents (rectified flow, Liu et al. 2023)",
    "v_prediction": "the velocity (Salimans and Ho 2022) under a noise schedule with zero terminal signal-to-noise "
    "ratio (Lin et al. 2024)",
}
_SPACINGS = {"scheduler": "", "cosine": ", closer together at both ends (as quantiles of a beta distribution)"}


def stage_record(log: Path, modules: list[nn.Module]) -> dict[str, float]:
    """The length of one stage from its log, and the last figures measured on validation photographs."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    seconds, seen = 0.0, 0.0
    record: dict[str, float] = {"parameters": sum(p.numel() for module in modules for p in module.parameters())}
    for entry in entries:
        if "images_per_second" in entry:
            seconds += (entry["images_seen"] - seen) / entry["images_per_second"]
            seen = entry["images_seen"]
        record |= {key: value for key, value in entry.items() if key.startswith("validation_")}
    return record | {"images_seen": seen, "hours": round(seconds / 3600, 2)}


def _count_labels(codes: np.ndarray) -> dict[str, dict[str, int]]:
    """For each label, the number of rows where it is known and the number of rows with each value."""
    counts = {}
    for column, label in enumerate(CONDITION_LABELS):
        values = codes[:, column]
        counts[label.name] = {"known": int((values >= 0).sum())}
        counts[label.name] |= {str(value): int((values == value).sum()) for value in range(label.cardinality)}
    return counts


def make_record(
    config: TrainingConfig,
    pipeline: SynFundusPipeline,
    codes: np.ndarray,
    num_spoiled: int,
    num_held_out: int,
    made_from: dict[str, Any],
) -> dict[str, Any]:
    """Returns everything that the card states about a training run.

    Args:
        config: the run's configuration.
        pipeline: the trained pipeline.
        codes: labels of the photographs trained on, without spoiled copies; shape (N, 16).
        num_spoiled: number of degraded copies in the training data.
        num_held_out: number of photographs held out.
        made_from: everything that the weights depend on, by name; `was_made_from` compares it.
    """
    stages = {}
    for name, model in _trained(pipeline).items():
        log = Path(config.output_dir) / name / "log.jsonl"
        if log.is_file():
            stages[name] = stage_record(log, model)
    return describe_machine() | {
        "config": {key: value for key, value in asdict(config).items() if key != "path"},
        "num_photographs": len(codes),
        "num_spoiled": num_spoiled,
        "num_held_out": num_held_out,
        "labels": _count_labels(codes),
        "stages": stages,
        "earlier_runs": earlier_runs(config.generator.pretrained),
        "made_from": made_from,
    }


def describe_machine() -> dict[str, str]:
    """The machine and the version of torch, for a record."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    cores = f"{torch.get_num_threads()} {platform.machine()} CPU cores"
    return {"machine": gpu or cores, "torch": torch.__version__.split("+")[0]}


def was_made_from(folder: Path, made_from: dict[str, Any]) -> bool:
    """Whether the record in a finished folder says that it was made from exactly this."""
    path = folder / RECORD_NAME
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("made_from") == made_from


def _trained(pipeline: SynFundusPipeline) -> dict[str, list[nn.Module]]:
    """What each stage trains, by the name of the stage's folder."""
    generator = [pipeline.unet, pipeline.condition_encoder]
    stages = {"generator-half": generator, "generator": generator, "adaptation": generator, "distillation": generator}
    if isinstance(pipeline.vae, FundusAutoencoder):
        vae = pipeline.vae
        stages = {"autoencoder": [vae], "decoder": [vae.decoder, vae.synthesis]} | stages
    return stages


def earlier_runs(pretrained: str | None) -> list[dict[str, Any]]:
    """The runs that produced the weights from which this run started, oldest first: stages and machine of each."""
    path = Path(pretrained or "") / RECORD_NAME
    if pretrained is None or not path.is_file():
        return []
    record = json.loads(path.read_text(encoding="utf-8"))
    return [*record.get("earlier_runs", []), {key: record[key] for key in ("stages", "machine", "torch")}]


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _architecture(record: dict[str, Any], pipeline: SynFundusPipeline) -> str:
    unet, objective = pipeline.unet.config, pipeline.scheduler.config.prediction_type
    what = "pixels"
    if pipeline.vae is not None:
        what = f"latents of the bundled `{type(pipeline.vae).__name__}`"
    if any("decoder" in run["stages"] for run in _runs(record)):
        what += ", its decoder trained further against a discriminator of patches (Rombach et al. 2022)"
    return (
        f"A diffusion model on {unet.sample_size}x{unet.sample_size}x{unet.in_channels} {what}: a `UNet2DModel` that "
        f"predicts {_OBJECTIVES[objective]}. One embedding per label and value, with one more for unknown, is summed "
        "and added to the time embedding; labels are dropped at random in training, which teaches unknown labels and "
        f"classifier-free guidance alike. By default it samples with {pipeline.config.default_num_inference_steps} "
        f"steps of DPM-Solver++{_SPACINGS[pipeline.config.step_spacing]}."
    )


def _guided_steps(pipeline: SynFundusPipeline) -> str:
    config = pipeline.config
    start, end = config.default_guidance_start, config.default_guidance_end
    part = "all" if (start, end) == (0, 1) else f"{start:.0%} to {end:.0%}"
    colour = ", and keeps the average colour of an image" if config.guidance_keeps_colour else ""
    return f"{part} of the {config.default_num_inference_steps} steps{colour}"


def _runs(record: dict[str, Any]) -> list[dict[str, Any]]:
    """All the runs that led to the weights, oldest first."""
    return [*record.get("earlier_runs", []), record]


def _stage_table(record: dict[str, Any]) -> str:
    """A row per stage of every run that led to the weights, oldest first."""
    rows = []
    for number, run in enumerate(_runs(record), start=1):
        for stage, x in run["stages"].items():
            measured = [f"loss {x['validation_loss']:.4f}"] if "validation_loss" in x else []
            measured += [f"PSNR {x['validation_psnr']:.1f} dB"] if "validation_psnr" in x else []
            size = f"{x['parameters'] / 1e6:.1f} M"
            cells = (f"{x['images_seen']:,.0f}", f"{x['hours']:.1f}", run["machine"], ", ".join(measured) or "-")
            rows.append(_row(number, stage, size, *cells))
    return "\n".join(rows)


def render_card(record: dict[str, Any], pipeline: SynFundusPipeline, name: str) -> str:
    """Returns the text of the card.

    Args:
        record: as returned by `make_record`, or written by `training.adapt` or `training.distil`.
        pipeline: the trained pipeline.
        name: the folder or Hub id in the card's example.
    """
    template, values = TEMPLATE, {}
    if "adaptation" in record:
        template, values = ADAPTED_TEMPLATE, adaptation_values(record)
    elif "distillation" in record:
        template, values = DISTILLED_TEMPLATE, distillation_values(record)
    return Template(template.read_text(encoding="utf-8")).substitute(
        values,
        name=name,
        resolution=pipeline.image_size[0],
        guidance_scale=f"{pipeline.config.default_guidance_scale:g}",
        guided_steps=_guided_steps(pipeline),
        architecture=_architecture(record, pipeline),
        label_table="\n".join(
            _row(f"`{x.name}`", x.full_name, x.explanation, ", ".join(f"{i} {v}" for i, v in enumerate(x.values)))
            for x in CONDITION_LABELS
        ),
        stage_table=_stage_table(record),
        **_photograph_values(record),
    )


def _photograph_values(record: dict[str, Any]) -> dict[str, str]:
    """What the card says about the photographs that were trained on; nothing where there were none."""
    if "labels" not in record:
        return {}
    sources, counts = record["config"]["data"]["sources"], record["labels"]
    return {
        "num_photographs": f"{record['num_photographs']:,}",
        "num_spoiled": f"{record['num_spoiled']:,}",
        "num_held_out": f"{record['num_held_out']:,}",
        "positives_table": "\n".join(
            _row(f"`{x.name}` {value}" if x.cardinality > 2 else f"`{x.name}`", counts[x.name]["known"], number)
            for x in CONDITION_LABELS[:FUNDUS]
            for value, number in counts[x.name].items()
            if value not in ("known", "0")
        ),
        "sources": Path(sources).read_text(encoding="utf-8").strip() if sources else "",
    }
