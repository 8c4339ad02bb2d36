"""Trains a classifier on binary questions with unknown answers, and predicts answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm.auto import tqdm

from evaluation.data.images import Images
from synfundus.images import to_tensor

PREDICTION_BATCH = 128
LAYOUT = torch.channels_last  # convolutions are 1.2 to 1.4 times as fast with it, on CPUs too
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Schedule:
    """Length and settings of a training run.

    Attributes:
        images_seen: number of images seen in training.
        batch_size: images per step.
        learning_rate: the maximum; the rate rises for a tenth of the steps and then decays along a cosine.
        seed: of order and augmentation.
    """

    images_seen: int = 12_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0


def train_classifier(
    model: Network,
    images: np.ndarray | Images,
    targets: np.ndarray,
    schedule: Schedule,
    watch: Callable[[int, nn.Module], None] | None = None,
    watch_every: int = 0,
) -> Network:
    """Trains on binary questions with unknown answers; on a GPU in bfloat16 through accelerate.

    Args:
        model: from tensors of shape (B, 3, S, S) to logits of shape (B, Q).
        images: uint8, shape (N, S, S, 3), in memory or on disk.
        targets: 0, 1 or NaN, shape (N, Q).
        schedule: length and settings.
        watch: called with the number of images seen and the model in evaluation mode.
        watch_every: images between two calls.

    Returns:
        The model in evaluation mode.
    """
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    steps = max(1, schedule.images_seen // schedule.batch_size)
    model.to(memory_format=LAYOUT)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=0.02)
    model, optimizer = accelerator.prepare(model, optimizer)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total_steps=steps + 1, pct_start=0.1)
    rng = np.random.default_rng(schedule.seed)
    torch.manual_seed(schedule.seed)  # of dropout
    order = np.empty(0, dtype=np.int64)
    model.train()
    for step in tqdm(range(1, steps + 1), desc="classifier", unit="step", leave=False):
        while len(order) < schedule.batch_size:
            order = np.concatenate([order, rng.permutation(len(images))])
        rows, order = order[: schedule.batch_size], order[schedule.batch_size :]
        batch = augment(to_tensor(images[rows], accelerator.device), rng).contiguous(memory_format=LAYOUT)
        with accelerator.autocast():
            loss = masked_loss(model(batch), torch.from_numpy(targets[rows]).to(accelerator.device))
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        decay.step()
        seen = step * schedule.batch_size
        if watch is not None and (seen % watch_every < schedule.batch_size or step == steps):
            watch(seen, model.eval())
            model.train()
    trained = accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
    return trained.to(memory_format=torch.contiguous_format)  # as a network that is loaded, to the last digit


def masked_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy averaged over known answers; 0 where none is known. Both of shape (B, Q)."""
    known = ~targets.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets.nan_to_num(), weight=known.float(), reduction="sum"
    )
    return losses / known.sum().clamp(min=1)


def augment(batch: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Flips half of the images left to right, and shifts and brightens each a little. Shape (B, 3, S, S)."""
    size = batch.shape[-1]
    flipped = torch.from_numpy(rng.random(len(batch)) < 0.5).to(batch.device)
    batch = torch.where(flipped[:, None, None, None], batch.flip(-1), batch)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (len(batch), 1, 1, 1)).astype(np.float32)).to(batch.device)
    down, right = rng.integers(-(size // 16), size // 16 + 1, 2).tolist()
    return torch.roll((batch + 1) * gain - 1, (down, right), dims=(2, 3))


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray | Images) -> np.ndarray:
    """Probabilities of the answer yes, float32 of shape (N, Q), of uint8 images of shape (N, S, S, 3)."""
    device = next(model.parameters()).device
    starts = range(0, len(images), PREDICTION_BATCH)
    batches = (to_tensor(images[start : start + PREDICTION_BATCH], device) for start in starts)
    logits = (model(batch.contiguous(memory_format=LAYOUT)).float() for batch in batches)
    return np.concatenate([torch.sigmoid(values).cpu().numpy() for values in logits])
