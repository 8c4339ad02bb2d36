"""Loads a generated dataset: label names, unknown values, filters, and batches for PyTorch.

make demo
python examples/load_dataset.py synfundus-1m
"""

from __future__ import annotations

import argparse
from collections import Counter

import datasets
import numpy as np
import torch

from pipeline_synfundus.labels import LABEL_NAMES, get_label


def collate(rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images in [-1, 1] of shape (B, 3, S, S), and the fifteen labels of shape (B, 15), -1 unknown."""
    images = np.stack([np.asarray(row["image"], dtype=np.float32) for row in rows])
    labels = torch.tensor([[row[name] for name in LABEL_NAMES] for row in rows])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, labels


def main() -> None:
    """Reads the command line and prints what the dataset holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="folder or Hub id of a generated dataset")
    options = parser.parse_args()

    # The configuration `labels` has no images: the labels of a million rows load in a second.
    labels = datasets.load_dataset(options.dataset, "labels", split="train")
    for name in LABEL_NAMES:
        label = get_label(name)
        # -1 means unknown and must not index the list of names: `names[-1]` is the last value's. `value_name` knows it.
        counts = Counter(label.value_name(value) for value in labels[name])
        print(f"{name} ({label.full_name}): {dict(counts)}")

    # `input_columns` keeps the filter from decoding the images.
    eyes = datasets.load_dataset(options.dataset, split="train")
    diabetic = eyes.filter(lambda grade: grade >= 1, input_columns="dr_grade")
    print(f"{len(diabetic)} of {len(eyes)} images show diabetic retinopathy")

    loader = torch.utils.data.DataLoader(eyes, batch_size=8, shuffle=True, collate_fn=collate)
    images, values = next(iter(loader))
    print(f"a batch: images {tuple(images.shape)}, labels {tuple(values.shape)}")


if __name__ == "__main__":
    main()
