"""Small sets made for one question: DRIMDB (image quality), ocular toxoplasmosis, HRDC (hypertensive retinopathy).

What a set was not made for stays unknown in all its photographs.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_synfundus.labels import UNKNOWN
from training.sources.part import LEFT, RIGHT, Part, Source
from training.sources.record import READABLE, UNUSABLE, Statement, presence

DRIMDB = Source(
    title="DRIMDB, Diabetic Retinopathy Images Database (Sevik et al. 2014, doi 10.1117/1.JBO.19.4.046006)",
    layout="{Good,Bad,Outlier}/drimdb_*.jpg",
    parts=[  # the set names no patients
        # An expert's judgement. Good: suitable for the diagnosis of diabetic retinopathy. Bad: not suitable; most of
        # these show nothing of the retina. Outlier: no fundus photograph, for example of the outer eye.
        Part(name="good", photographs=["good/drimdb_good*"], always=READABLE),
        Part(name="bad", photographs=["bad/drimdb_bad*"], always=UNUSABLE),
        Part(name="outlier", photographs=["outlier/drimdb_outlier*"], always=UNUSABLE),
    ],
)

# Toxoplasmosis inflames retina and choroid and leaves scars that reach into the choroid.
RETINOCHOROIDITIS: Mapping[str, Statement] = {
    "healthy": {"is_crp": 0},
    **{activity: {"is_crp": 1} for activity in ("active", "inactive", "active/inactive")},
}


def _side_before_number(name: str) -> int:
    """The eye of photographs named like `OD0287RE` and `OS0344RE`; other names have none."""
    return {"od": RIGHT, "os": LEFT}.get(name[:2], UNKNOWN)


TOXOPLASMOSIS = Source(
    title="Fundus images for the diagnosis of ocular toxoplasmosis (Cardozo et al. 2023, Data in Brief 48, 109056)",
    layout="dataset_labels.csv and images/*.{jpg,JPG}",
    parts=[  # the set names no patients
        Part(
            name="all",
            photographs=["images/*"],
            table=["dataset_labels.csv"],
            photograph_column="Image_name",
            columns={"Label": RETINOCHOROIDITIS},
            eye_side=_side_before_number,
        )
    ],
)

_HRDC_TASK, _HRDC_TABLE = "2-hypertensive retinopathy classification", "hrdc hypertensive retinopathy classification"

HRDC = Source(
    title="HRDC, Hypertensive Retinopathy Diagnosis Challenge, CGI 2023 (Qian et al. 2023)",
    layout="2-Hypertensive Retinopathy Classification/{1-Images/1-Training Set/*.png,2-Groundtruths/HRDC Hypertensive "
    "Retinopathy Classification Training Labels.csv}; or, without labels, Images/*.png",
    parts=[  # the set names no patients
        # The first task of the challenge labels hypertension, which need not be visible in the fundus.
        Part(
            name="train",
            photographs=[f"{_HRDC_TASK}/1-images/1-training set/*", "1-images/1-training set/*"],
            table=[f"{_HRDC_TABLE} training labels.csv", f"{_HRDC_TABLE} training labels.xlsx"],
            photograph_column="Image",
            columns={"Hypertensive Retinopathy": presence("is_htr")},
        ),
        Part(name="unlabelled", photographs=["images/[0-9a-f]*"]),
    ],
)
