"""Presets of the form, and complete example requests."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, int]] = {
    "Healthy": {},
    "Mild NPDR": {"dr_grade": 1},
    "Moderate NPDR with edema": {"dr_grade": 2, "is_dme": 1},
    "Proliferative DR": {"dr_grade": 4},
    "Advanced glaucoma": {"is_gc": 1, "is_aon": 1},
    "Macular degeneration": {"is_amd": 1},
    "Pathological myopia": {"is_pm": 1},
    "Vein occlusion": {"is_rvo": 1},
    "Epimacular membrane": {"is_em": 1},
}
SAME_EYE = ("Healthy", "Macular degeneration", "Vein occlusion", "Pathological myopia")

# Arguments of `settings.check_one`.
EXAMPLES: dict[str, dict[str, Any]] = {
    "Four healthy left eyes": {"condition": {"eye_side": 1}, "num_images": 4, "seed": 11},
    "Severe NPDR, strong guidance": {"condition": {"dr_grade": 3}, "num_images": 4, "seed": 3, "guidance_scale": 7.0},
    "Unreadable macula": {"condition": {"is_macular_readable": 0}, "num_images": 2, "seed": 5},
    "Proliferative DR with vein occlusion": {"condition": {"dr_grade": 4, "is_rvo": 1}, "num_images": 4, "seed": 21},
}
