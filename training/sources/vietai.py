"""The retinal disease set of VietAI's Kaggle competition: six findings and "normal", several per photograph.

The source of the photographs and the graders are not published. Photographs of one eye that were taken in succession
disagree in about 7 % of the pairs, and part of the normal ones come from EyePACS, so label and camera are confounded.
"""

from __future__ import annotations

from pipeline_synfundus.labels import UNKNOWN
from training.sources.part import Part, Source
from training.sources.record import NO_DISEASE, READABLE, presence

VIETAI = Source(
    title="VietAI Advance Course - Retinal Disease Detection, Kaggle 2020",
    layout="train.csv and train/train/*.jpg",
    parts=[  # the set names no patients; its test part has no labels
        Part(
            name="train",
            photographs=["train/train/*"],
            table=["train.csv"],
            photograph_column="filename",
            columns={
                # Cloudy media. Most of these photographs still show disc, macula and vessels, so nothing is certain.
                "opacity": {"0": {}, "1": dict.fromkeys(READABLE, UNKNOWN)},
                "diabetic retinopathy": {"0": {"dr_grade": 0}, "1": {"dr_grade": UNKNOWN}},  # without a grade
                "glaucoma": presence("is_gc"),
                # Of any cause. Without diabetic retinopathy, the rules between labels make it unknown.
                "macular edema": presence("is_dme"),
                "macular degeneration": presence("is_amd"),
                # Of veins or arteries. Occluded veins are several times as frequent, so it counts as one.
                "retinal vascular occlusion": presence("is_rvo"),
                "normal": {"0": {}, "1": NO_DISEASE},
            },
        )
    ],
)
