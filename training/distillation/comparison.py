"""How close a student's samples are to the guided teacher's, from the same noise with the same labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator

from training.distillation.loss import DistillationLoss
from training.loop.step import seeded_generator

BATCH = 16


@torch.no_grad()
def compare(loss: DistillationLoss, rows: Sequence[int], seed: int, accelerator: Accelerator) -> dict[str, float]:
    """Distances to the samples that the guided teacher draws with all of its steps, in units of the latents.

    Every process calls this and measures a part.

    Args:
        loss: the student and its teacher.
        rows: rows of the plan.
        seed: seed of the noise, which is the same at every call.
        accelerator: accelerate's view of the processes.

    Returns:
        Root mean squares of the differences: of the student (`validation_distance`), and of the teacher with as few
        steps as the student, without guidance, which is where training starts (`validation_distance_unguided`), and
        with it, which takes twice as many evaluations (`validation_distance_guided`).
    """
    teacher, few, many = loss.teacher, loss.student_steps, loss.teacher_steps
    totals = torch.zeros(3, device=accelerator.device)
    for start in range(0, len(rows), BATCH)[accelerator.process_index :: accelerator.num_processes]:
        codes = loss.read_labels(rows[start : start + BATCH]).to(accelerator.device)
        noise = loss.draw_noise(len(codes), seeded_generator(seed, 7, start))
        conditions = teacher.encode(codes)
        wanted = teacher.advance(noise, conditions, many, 0, len(many))
        samples = (
            loss.sample(noise, codes),
            teacher.advance(noise, conditions, few, 0, len(few), guided=False),
            teacher.advance(noise, conditions, few, 0, len(few)),
        )
        totals += torch.stack([(sample - wanted).square().mean(dim=(1, 2, 3)).sum() for sample in samples])
    distances = (accelerator.reduce(totals, "sum") / len(rows)).sqrt().tolist()
    names = ("validation_distance", "validation_distance_unguided", "validation_distance_guided")
    return dict(zip(names, distances, strict=True))
