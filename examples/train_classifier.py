"""Trains a classifier of all fifteen labels on a generated dataset; unknown labels do not count in its loss.

    make demo
    python examples/train_classifier.py synfundus-1m --out classifier

The result is a `transformers` model: `AutoModelForImageClassification.from_pretrained("classifier")`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import datasets
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import ResNetConfig, ResNetForImageClassification

from pipeline_synfundus.labels import LABEL_NAMES, UNKNOWN


def collate(rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images in [-1, 1] of shape (B, 3, 64, 64), and the labels of shape (B, 15), -1 unknown.

    A label that the dataset does not have is unknown.
    """
    images = np.stack([np.asarray(row["image"].resize((64, 64)), dtype=np.float32) for row in rows])
    labels = torch.tensor([[row.get(name, UNKNOWN) for name in LABEL_NAMES] for row in rows])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, labels


def masked_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns the mean binary cross-entropy of the known labels; DR grades count as any retinopathy against none.

    Args:
        logits: shape (B, 15).
        labels: shape (B, 15), -1 unknown. Passing -1 to a loss as a target would train on a wrong value.
    """
    known = labels != UNKNOWN
    targets = (labels >= 1).float()
    losses = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def main() -> None:
    """Reads the command line and trains the classifier."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="folder or Hub id of a generated dataset")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the dataset (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("classifier"), help="folder of the result (%(default)s)")
    options = parser.parse_args()

    torch.manual_seed(0)
    eyes = datasets.load_dataset(options.dataset, split="train")
    loader = torch.utils.data.DataLoader(eyes, batch_size=16, shuffle=True, collate_fn=collate)
    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 128],
        depths=[1, 1, 1],
        layer_type="basic",
        id2label=dict(enumerate(LABEL_NAMES)),
        label2id={name: number for number, name in enumerate(LABEL_NAMES)},
        problem_type="multi_label_classification",
    )
    model = ResNetForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(options.epochs):
        losses = []
        for images, labels in loader:
            loss = masked_loss(model(images).logits, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}")
    model.save_pretrained(options.out)


if __name__ == "__main__":
    main()
