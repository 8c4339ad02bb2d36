"""SynFundus: a conditional diffusion pipeline for retinal fundus photographs.

This folder is the Hub model repository as it stands, and the importable package. See `pipeline.SynFundusPipeline` for
the pipeline and `labels` for what can be asked of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .condition_encoder.condition_encoder import FundusConditionEncoder
    from .pipeline import SynFundusPipeline

__all__ = ["FundusConditionEncoder", "SynFundusPipeline"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports torch and diffusers only when a model is asked for: `labels` needs neither."""
    if name == "FundusConditionEncoder":
        from .condition_encoder.condition_encoder import FundusConditionEncoder

        return FundusConditionEncoder
    if name == "SynFundusPipeline":
        from .pipeline import SynFundusPipeline

        return SynFundusPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
