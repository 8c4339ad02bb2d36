"""SynFundus: a conditional diffusion pipeline for retinal fundus photographs.

This folder is the Hub model repository as it stands, and the importable package. See `pipeline.SynFundusPipeline` for
the pipeline and `labels` for what can be asked of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .condition_encoder.condition_encoder import FundusConditionEncoder
    from .pipeline import SynFundusPipeline
    from .vae.autoencoder import FundusAutoencoder

__all__ = ["FundusAutoencoder", "FundusConditionEncoder", "SynFundusPipeline"]
__version__ = "0.1.0"


_MODULES = {
    "FundusAutoencoder": "vae.autoencoder",
    "FundusConditionEncoder": "condition_encoder.condition_encoder",
    "SynFundusPipeline": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Imports torch and diffusers only when a model is asked for: `labels` needs neither."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
