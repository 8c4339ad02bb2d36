"""What the card of a distilled pipeline says about the distillation."""

from __future__ import annotations

from typing import Any


def distillation_values(record: dict[str, Any]) -> dict[str, str]:
    """The values of the template `distilled_card.md`, from the record that `training.distil` writes."""
    made, settings, stage = record["distillation"], record["config"], record["stages"]["distillation"]
    steps, teacher_steps = settings["steps"], settings["teacher_steps"]
    model = f"`{made['model']}`" + (f" at revision `{made['revision']}`" if made["revision"] else "")
    return {
        "model": model,
        "steps": str(steps),
        "teacher_steps": str(teacher_steps),
        "teacher_scale": f"{made['guidance_scale']:g}",
        "images": f"{stage['images_seen']:,.0f}",
        "parameters": f"{stage['parameters'] / 1e6:.1f} M",
        "machine": record["machine"],
        "hours": f"{stage['hours']:.2f}",
        "distance_table": "\n".join(
            f"| {name} | {evaluations} | {stage[key]:.3f} |"
            for name, evaluations, key in (
                ("this model", steps, "validation_distance"),
                ("that model without guidance", steps, "validation_distance_unguided"),
                ("that model with guidance", 2 * steps, "validation_distance_guided"),
            )
        ),
    }
