"""What the card of an adapted pipeline says about the adaptation."""

from __future__ import annotations

from typing import Any


def adaptation_values(record: dict[str, Any]) -> dict[str, str]:
    """The values of the template `adapted_card.md`, from the record's section `adaptation` (see `training.adapt`)."""
    made = record["adaptation"]
    start, best = made["start"], made["best"]
    model = f"`{made['model']}`" + (f" at revision `{made['revision']}`" if made["revision"] else "")
    return {
        "model": model,
        "trained_parameters": f"{made['trained_parameters'] / 1e6:.1f} M",
        "adapted_images": f"{best['images_seen']:,}",
        "adapted_minutes": f"{made['minutes']:.1f}",
        "machine": record["machine"],
        "stopped_because": made["stopped_because"],
        "floor": f"{best['memorisation']['floor']:.3f}",
        "samples": str(best["memorisation"]["samples"]),
        "adaptation_table": "\n".join(
            f"| {name} | {before} | {after} |"
            for name, before, after in (
                ("loss on validation photographs", f"{start['validation_loss']:.4f}", f"{best['validation_loss']:.4f}"),
                *(_compared(name, key, start, best) for name, key in _SEARCHED),
            )
        ),
    }


_SEARCHED = (
    ("copies", "copies"),
    ("near copies", "near_copies"),
    ("smallest distance to a training photograph", "nearest"),
    ("median distance to the nearest training photograph", "median"),
)


def _compared(name: str, key: str, start: dict[str, Any], best: dict[str, Any]) -> tuple[str, str, str]:
    values = [entry["memorisation"][key] for entry in (start, best)]
    before, after = (str(value) if isinstance(value, int) else f"{value:.3f}" for value in values)
    return name, before, after
