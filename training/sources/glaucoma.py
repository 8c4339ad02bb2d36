"""Sets made for one disease of disc or macula: REFUGE, AIROGS and HYGD (glaucoma), PALM (pathological myopia).

Their graders looked for that disease only, so all others stay unknown: some "Non-Glaucoma" eyes of REFUGE, for example,
are diabetic or highly myopic.
"""

from __future__ import annotations

from training.sources.part import Part, Source
from training.sources.record import Statement, presence

REFUGE = Source(
    title="REFUGE, MICCAI 2018 challenge (Orlando et al. 2020, doi 10.1016/j.media.2019.101570)",
    layout="REFUGE-Training400/Training400/{Glaucoma,Non-Glaucoma}/*.jpg; optionally REFUGE-Validation400/*.jpg "
    "with REFUGE-Validation400-GT/Fovea_locations.xlsx, and REFUGE-Test400/Test400/*.jpg with "
    "REFUGE-Test-GT/Glaucoma_label_and_Fovea_location.xlsx",
    parts=[  # the set names no patients; masks of disc and cup are bitmaps with the same names
        Part(name="train", photographs=["training400/glaucoma/*"], always={"is_gc": 1}),
        Part(name="train", photographs=["training400/non-glaucoma/*"], always={"is_gc": 0}),
        Part(
            name="validation",
            photographs=["refuge-validation400/*"],
            table=["refuge-validation400-gt/fovea_locations.xlsx"],
            photograph_column="ImgName",
            columns={"Glaucoma Label": presence("is_gc")},
        ),
        Part(
            name="test",
            photographs=["test400/*"],
            table=["glaucoma_label_and_fovea_location.xlsx"],
            photograph_column="ImgName",
            columns={"Label(Glaucoma=1)": presence("is_gc")},
        ),
    ],
)

# The training part has only photographs that graders called gradable: disc and rim can be judged.
GRADABLE: Statement = {"is_fundus": 1, "is_optic_disc_readable": 1}

AIROGS = Source(
    title="AIROGS, Rotterdam EyePACS (de Vente et al. 2023, doi 10.1109/TMI.2023.3313786; Zenodo 5793241)",
    layout="train_labels.csv and the unpacked archives {0,1,2,3,4,5}/TRAIN*.jpg",
    # The set names no patients. They may also be in `eyepacs`, which is from the same screening programme.
    parts=[
        Part(
            name="train",
            photographs=["train[0-9]*.jp*g"],
            table=["train_labels.csv"],
            photograph_column="challenge_id",
            # Referable: signs of glaucoma with an expected loss of visual field. Not referable counts as absent, though
            # it may include a few early glaucomas.
            columns={"class": {"RG": {"is_gc": 1}, "NRG": {"is_gc": 0}}},
            always=GRADABLE,
        )
    ],
)

HYGD = Source(
    title="HYGD, Hillel Yaffe Glaucoma Dataset (Abramovich et al. 2025, doi 10.13026/z0ak-km33)",
    layout="Labels.csv and Images/*.jpg",
    parts=[
        Part(
            name="all",
            photographs=["images/*"],
            table=["labels.csv"],
            photograph_column="Image Name",
            # Glaucomatous optic neuropathy, confirmed with OCT and visual field, is glaucoma; whether it also counts as
            # an anomaly of the optic nerve stays unknown. The column Quality Score is the output of a network.
            columns={"Label": {"GON+": {"is_gc": 1}, "GON-": {"is_gc": 0}}},
            patient_column="Patient",
        )
    ],
)

# Degenerative myopia is another name for pathological myopia. SynFundus has two labels and does not define the
# difference, so the presence of one leaves the other unknown; the absence of pathology excludes both.
NO_PATHOLOGICAL_MYOPIA: Statement = {"is_pm": 0, "is_dm": 0}
PATHOLOGICAL_MYOPIA: Statement = {"is_pm": 1}

PALM = Source(
    title="PALM, iChallenge-PM (Fang et al. 2024, doi 10.1038/s41597-024-02911-2)",
    layout="PALM-Training400/PALM-Training400/{H,N,P}*.jpg; optionally PALM-Validation400/V*.jpg with "
    "PALM-Validation-GT/PM_Label_and_Fovea_Location.xlsx or labels.csv",
    parts=[  # the set names no patients; its test part has no labels
        # H: high myopia without pathology; N: no high myopia.
        Part(name="train", photographs=["palm-training400/h[0-9]*"], always=NO_PATHOLOGICAL_MYOPIA),
        Part(name="train", photographs=["palm-training400/n[0-9]*"], always=NO_PATHOLOGICAL_MYOPIA),
        Part(name="train", photographs=["palm-training400/p[0-9]*"], always=PATHOLOGICAL_MYOPIA),
        Part(
            name="validation",
            photographs=["palm-validation400/v[0-9]*"],
            table=["pm_label_and_fovea_location.xlsx", "labels.csv"],
            photograph_column="imgName",
            columns={"Label": {"0": NO_PATHOLOGICAL_MYOPIA, "1": PATHOLOGICAL_MYOPIA}},
        ),
    ],
)
