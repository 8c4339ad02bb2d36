"""Copies a trained pipeline into the package, as the weights that `SynFundusPipeline.from_pretrained()` loads.

    python -m training.bundle runs/fundus-512/pipeline

Copies weights, configurations and the training record, but no code, and writes the model card for the package. The
weights are committed to git: bundle only weights that were measured to be better.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from pipeline_synfundus import SynFundusPipeline
from training.card.model_card import RECORD_NAME, render_card

PACKAGE = Path(__file__).parents[1] / "pipeline_synfundus"
LARGEST_BYTES = 48_000_000
_SUFFIXES = (".json", ".safetensors")


class BundleError(ValueError):
    """A pipeline that cannot be bundled."""


def bundle(source: Path, package: Path = PACKAGE) -> None:
    """Copies a trained pipeline's weights and card into `package`.

    Raises:
        BundleError: if the folder has no pipeline with its training record, or more than 48 MB of weights.
    """
    if not (source / RECORD_NAME).is_file():
        raise BundleError(f"{source} has no {RECORD_NAME}; give the folder `pipeline` of a finished training run")
    pipeline = SynFundusPipeline.from_pretrained(source)
    files = [path for path in source.rglob("*") if path.suffix in _SUFFIXES]
    weights = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    if weights > LARGEST_BYTES:
        raise BundleError(f"the weights of {source} have {weights:,} bytes, but {LARGEST_BYTES:,} are allowed")
    for path in files:
        target = package / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    record = json.loads((source / RECORD_NAME).read_text(encoding="utf-8"))
    (package / "README.md").write_text(render_card(record, pipeline, package.name), encoding="utf-8")
    print(f"bundled {weights / 1e6:.1f} MB of weights from {source}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pipeline", type=Path, help="the folder `pipeline` of a finished training run")
    try:
        bundle(parser.parse_args().pipeline)
    except BundleError as error:
        raise SystemExit(f"error: {error}") from None
