"""ODIR-5K: both eyes of 3,500 patients, with the doctors' keywords for each eye.

The set's eight flags (N, D, G, C, A, H, M, O) are the patient's, not the eye's, and are not used. The doctors named all
they saw, so what no keyword names is absent; only diabetic edema has no keyword at all, and stays unknown in eyes with
retinopathy.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_synfundus.labels import UNKNOWN
from training.sources.part import LEFT, RIGHT, Part, Source, number_before_underscore
from training.sources.record import NO_DISEASE, Statement

NAMED_BY_DOCTORS: Statement = {name: 0 for name in NO_DISEASE if name != "is_dme"}


def _each(keywords: tuple[str, ...], statement: Statement) -> Mapping[str, Statement]:
    return dict.fromkeys(keywords, statement)


def _doubt(*labels: str) -> Statement:
    return dict.fromkeys(labels, UNKNOWN)


KEYWORDS: Mapping[str, Statement] = {
    "mild nonproliferative retinopathy": {"dr_grade": 1},
    "moderate non proliferative retinopathy": {"dr_grade": 2},
    "severe nonproliferative retinopathy": {"dr_grade": 3},
    **_each(("proliferative diabetic retinopathy", "severe proliferative diabetic retinopathy"), {"dr_grade": 4}),
    # Retinopathy without a grade, suspected, or seen as single signs that have other causes as well.
    **_each(
        (
            "diabetic retinopathy",
            "suspected diabetic retinopathy",
            "suspicious diabetic retinopathy",
            "suspected moderate non proliferative retinopathy",
            "intraretinal microvascular abnormality",
            "suspected microvascular anomalies",
        ),
        _doubt("dr_grade"),
    ),
    "intraretinal hemorrhage": _doubt("dr_grade", "is_htr", "is_rvo"),
    # Treated with laser, mostly for retinopathy or a blocked vein, and the scars reach into the choroid.
    **_each(
        (
            "laser spot",
            "post laser photocoagulation",
            "post retinal laser surgery",
            "fundus laser photocoagulation spots",
        ),
        _doubt("dr_grade", "is_rvo", "is_crp"),
    ),
    # Glaucoma pales and thins the disc; whether that is counted as an anomaly of the nerve as well is not said.
    "glaucoma": {"is_gc": 1, "is_aon": UNKNOWN},
    "suspected glaucoma": _doubt("is_gc", "is_aon"),
    **_each(
        (
            "age-related macular degeneration",
            "dry age-related macular degeneration",
            "wet age-related macular degeneration",
        ),
        {"is_amd": 1},
    ),
    "drusen": _doubt("is_amd"),  # small ones are ordinary ageing, large ones early degeneration
    "hypertensive retinopathy": {"is_htr": 1},
    # Changed arteries: from pressure or from age.
    **_each(
        ("arteriosclerosis", "retinal artery macroaneurysm", "vessel tortuosity", "vascular loops"), _doubt("is_htr")
    ),
    # Pathological and degenerative myopia are two names of one disease, of which SynFundus makes two labels without
    # saying where they part. So the name that is used counts, and the other label stays unknown; and with the retina
    # the choroid is stretched and thinned, which may or may not be counted as its disease.
    "pathological myopia": {"is_pm": 1, "is_dm": UNKNOWN, "is_crp": UNKNOWN},
    # Degeneration of the retina or macula by myopia.
    **_each(
        ("myopic maculopathy", "myopia retinopathy", "myopic retinopathy"),
        {"is_dm": 1, "is_pm": UNKNOWN, "is_crp": UNKNOWN},
    ),
    **_each(
        ("macular epiretinal membrane", "epiretinal membrane", "epiretinal membrane over the macula"), {"is_em": 1}
    ),
    # Suspected, on the disc and not on the macula, or a membrane of another kind.
    **_each(
        (
            "suspected macular epimacular membrane",
            "optic disk epiretinal membrane",
            "spotted membranous change",
            "retina fold",
        ),
        _doubt("is_em"),
    ),
    **_each(
        (
            "branch retinal vein occlusion",
            "central retinal vein occlusion",
            "old branch retinal vein occlusion",
            "old central retinal vein occlusion",
        ),
        {"is_rvo": 1},
    ),
    # Vessels of white walls: after a blocked vein, an inflammation, or high pressure.
    **_each(
        ("white vessel", "retinal vascular sheathing", "suspected retinal vascular sheathing"),
        _doubt("is_rvo", "is_htr"),
    ),
    # Atrophy, swelling, inflammation or malformation of the optic nerve's head.
    **_each(("optic nerve atrophy", "optic disc edema", "optic discitis", "morning glory syndrome"), {"is_aon": 1}),
    # Myelinated nerve fibres are a harmless variant of the retina's nerve fibres, often beside the disc and not in it;
    # opinions differ on whether that is an anomaly of the optic nerve. Glial remnants lie before the disc.
    **_each(
        (
            "myelinated nerve fibers",
            "glial remnants anterior to the optic disc",
            "suspected abnormal color of optic disc",
        ),
        _doubt("is_aon"),
    ),
    # Disease of the choroid, with the retina above it.
    **_each(
        (
            "chorioretinal atrophy",
            "diffuse chorioretinal atrophy",
            "chorioretinal atrophy with pigmentation proliferation",
            "old chorioretinopathy",
            "old choroiditis",
            "punctate inner choroidopathy",
            "choroidal nevus",
            "congenital choroidal coloboma",
        ),
        {"is_crp": 1},
    ),
    "retinochoroidal coloboma": {"is_crp": 1, "is_aon": UNKNOWN},  # at times with the disc
    "idiopathic choroidal neovascularization": {"is_crp": 1, "is_amd": UNKNOWN},
    # Atrophy around the disc is common in myopia and in age; whether it counts is not said.
    "peripapillary atrophy": _doubt("is_crp", "is_pm", "is_dm"),
    # A leaking choroid lifts the retina; ICD-10 has it under the retina (H35.7).
    "central serous chorioretinopathy": _doubt("is_crp"),
    # Atrophy and pigment change of the retina, its pigment epithelium or an unstated layer.
    **_each(
        (
            "atrophy",
            "atrophic change",
            "diffuse retinal atrophy",
            "oval yellow-white atrophy",
            "retinal pigment epithelium atrophy",
            "depigmentation of the retinal pigment epithelium",
            "pigment epithelium proliferation",
            "retinal pigment epithelial hypertrophy",
            "retinal pigmentation",
            "abnormal pigment",
            "pigmentation disorder",
            "macular pigmentation disorder",
            "macular coloboma",
            "retinitis pigmentosa",
            "suspected retinitis pigmentosa",
        ),
        _doubt("is_crp", "is_amd"),
    ),
    # Any disease of the macula.
    "maculopathy": _doubt("is_amd", "is_crp", "is_dm", "is_em"),
    # Nothing that bears on the labels. A tessellated fundus shows the choroid's vessels, and is not yet pathological
    # myopia (category 1 of META-PM). A blocked artery is no blocked vein.
    **_each(
        (
            "normal fundus",
            "tessellated fundus",
            "macular hole",
            "branch retinal artery occlusion",
            "central retinal artery occlusion",
            "retinal detachment",
            "rhegmatogenous retinal detachment",
            "wedge-shaped change",
            "wedge white line change",
            "cataract",
            "suspected cataract",
            "vitreous degeneration",
            "vitreous opacity",
            "asteroid hyalosis",
            "silicone oil eye",
            "refractive media opacity",
            "lens dust",
            "image offset",
        ),
        {},
    ),
    # About the picture. What a poor one does not show is not absent.
    "low image quality": _doubt(*NAMED_BY_DOCTORS),
    "no fundus image": _doubt(*NAMED_BY_DOCTORS),  # of this eye: the file may hold the other one
    "anterior segment image": {"is_fundus": 0},
    "optic disk photographically invisible": {"is_optic_disc_readable": 0},
}


def _eye(name: str, side: int) -> Part:
    return Part(
        name="train",
        photographs=["odir-5k_training_dataset/*", "odir-5k_training_images/*", "training images/*"],
        table=["odir-5k_training_annotations*.xlsx", "data.xlsx"],
        photograph_column=f"{name}-Fundus",
        columns={f"{name}-Diagnostic Keywords": KEYWORDS},
        separators="\uff0c,",  # the full-width comma of Chinese text, and the plain one
        always=NAMED_BY_DOCTORS,
        patient=number_before_underscore,
        eye_side=lambda photograph: side,
    )


ODIR = Source(
    title="ODIR-5K, Peking University's challenge of 2019 (Li et al. 2021, arXiv 2102.07978)",
    layout="ODIR-5K_Training_Images/ODIR-5K_Training_Dataset/*.jpg and ODIR-5K_Training_Annotations(Updated)_V2.xlsx; "
    "or, as on Kaggle, Training Images/*.jpg and data.xlsx",
    parts=[_eye("Left", LEFT), _eye("Right", RIGHT)],  # the test part has no labels
)
