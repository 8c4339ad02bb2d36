"""SynFundus: a conditional diffusion pipeline for retinal fundus photographs.

This folder is the Hub model repository as it stands, and the importable package. See `pipeline.SynFundusPipeline` for
the pipeline and `labels` for what can be asked of it.
"""

from .condition_encoder.condition_encoder import FundusConditionEncoder
from .pipeline import SynFundusPipeline

__all__ = ["FundusConditionEncoder", "SynFundusPipeline"]
__version__ = "0.1.0"
