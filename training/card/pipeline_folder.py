"""The folder of a finished pipeline: weights, code, training record and model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline_synfundus import SynFundusPipeline
from synfundus.files import atomic_folder, write_text
from training.card.model_card import RECORD_NAME, render_card


def save_pipeline(pipeline: SynFundusPipeline, folder: Path, record: dict[str, Any]) -> None:
    """Writes the pipeline in half precision, its card and its training record; all of it or nothing."""
    for module in (pipeline.unet, pipeline.condition_encoder, pipeline.vae):
        if module is not None:
            module.half()
    with atomic_folder(folder) as temporary:
        pipeline.save_pretrained(temporary)
        write_text(temporary / RECORD_NAME, json.dumps(record, indent=1) + "\n")
        write_text(temporary / "README.md", render_card(record, pipeline, folder.name))
