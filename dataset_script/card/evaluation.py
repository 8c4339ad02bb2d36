"""The evaluation of the generator in the card of a dataset, from the results in the metadata of the generator's card.

`evaluation.model_index` writes these results there (`model-index`) from the results files of an evaluation report.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import ModelCard

NONE = "The card of the generator has no evaluation results."


def evaluation_text(model_card: Path | None) -> str:
    """Returns the evaluation results of a generator as a Markdown table.

    Args:
        model_card: the generator's `README.md`, which need not exist.
    """
    if model_card is None or not model_card.is_file():
        return NONE
    results = ModelCard.load(model_card).data.eval_results
    if not results:
        return NONE
    sources = ", ".join(dict.fromkeys(result.dataset_name for result in results))
    lines = [f"| {result.metric_name or result.metric_type} | {result.metric_value} |" for result in results]
    return "\n".join(
        [
            f"Other images of the same generator were compared with real photographs ({sources}). The card of the "
            "generator and its report say how.",
            "",
            "| measure | value |",
            "| --- | ---: |",
            *lines,
        ]
    )
