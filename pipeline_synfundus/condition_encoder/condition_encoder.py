"""The condition encoder: labels to the class embedding of a stock `UNet2DModel`.

It is driven by its config alone and imports nothing of this project, because diffusers loads it from its own folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn


class FundusConditionEncoder(ModelMixin, ConfigMixin):
    """Sums one learned embedding per (label, value), with one more value for unknown, and applies a small MLP.

    The result feeds `UNet2DModel(class_embed_type="identity")` as `class_labels`. All labels unknown is the
    unconditional branch of classifier-free guidance (Ho and Salimans 2022).

    An ordinal label is encoded cumulatively ("thermometer" encoding): value v is the sum of the embeddings of the
    values 0 to v. Grades 2, 3 and 4 then share what they have in common, and rare grades learn from common ones.

    Args:
        label_names: names of the labels, in the order of the columns of the input.
        cardinalities: number of known values of each label.
        width: width of the embedding; `4 * block_out_channels[0]` of the UNet it feeds.
        ordinal_labels: names of the labels whose values are ordered.

    Raises:
        ValueError: if the numbers of names and cardinalities differ, or an ordinal label is not among the names.
    """

    @register_to_config
    def __init__(
        self, label_names: list[str], cardinalities: list[int], width: int, ordinal_labels: Sequence[str] = ()
    ) -> None:
        super().__init__()
        if len(label_names) != len(cardinalities):
            raise ValueError(f"{len(label_names)} label_names, but {len(cardinalities)} cardinalities are given")
        if not set(ordinal_labels) <= set(label_names):
            raise ValueError(f"ordinal_labels is {list(ordinal_labels)}, but label_names is {list(label_names)}")
        # The last row of each table is the value for unknown.
        tables = [nn.Embedding(count + 1, width) for count in cardinalities]
        self.embeddings = nn.ModuleList(tables)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        for table in tables:
            nn.init.normal_(table.weight, std=len(cardinalities) ** -0.5)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Encodes labels.

        Args:
            codes: integers of shape (B, number of labels): 0 to cardinality - 1, or -1 for unknown.

        Returns:
            Embeddings of shape (B, width).

        Raises:
            ValueError: if `codes` has another number of columns.
        """
        if codes.ndim != 2 or codes.shape[1] != len(self.embeddings):
            raise ValueError(f"codes has shape {tuple(codes.shape)}, but must have shape (B, {len(self.embeddings)})")
        columns = zip(self.config.label_names, self.embeddings, codes.unbind(dim=1), strict=True)
        embedded = [self._embed(name, table, column) for name, table, column in columns]
        return self.mlp(torch.stack(embedded).sum(dim=0))

    def _embed(self, name: str, table: Any, column: torch.Tensor) -> torch.Tensor:
        """The embeddings of one label's values; shape (B, width)."""
        unknown = table.num_embeddings - 1
        if name not in self.config.ordinal_labels:
            return table(torch.where(column < 0, unknown, column))
        values = torch.arange(unknown, device=column.device)
        reached = (column[:, None] >= values).to(table.weight.dtype)
        unknown_share = (column[:, None] < 0).to(table.weight.dtype)
        return torch.cat([reached, unknown_share], dim=1) @ table.weight
