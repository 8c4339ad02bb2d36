"""ODIR-5K: both eyes of 3,500 patients, with the doctors' keywords for each eye.

The eight flags of the set (N, D, G, C, A, H, M, O) describe the patient, not the eye, and are not used. The doctors
named all findings, so a disease without a keyword is absent; only diabetic edema has no keyword, and stays unknown in
eyes with retinopathy.
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
    # Retinopathy without a grade, suspected, or single signs that also have other causes.
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
    # Laser treatment, mostly of retinopathy or a vein occlusion; the scars reach into the choroid.
    **_each(
        (
            "laser spot",
            "post laser photocoagulation",
            "post retinal laser surgery",
            "fundus laser photocoagulation spots",
        ),
        _doubt("dr_grade", "is_rvo", "is_crp"),
    ),
    # Glaucoma makes the disc pale and thin; whether this also counts as an anomaly of the nerve is not stated.
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
    "drusen": _doubt("is_amd"),  # small ones are normal ageing, large ones early degeneration
    "hypertensive retinopathy": {"is_htr": 1},
    # Changes of the arteries by high blood pressure or age.
    **_each(
        ("arteriosclerosis", "retinal artery macroaneurysm", "vessel tortuosity", "vascular loops"), _doubt("is_htr")
    ),
    # Pathological and degenerative myopia are two names of one disease, for which SynFundus has two labels without
    # defining the difference: the label of the name used is set, the other stays unknown. The choroid is stretched and
    # thinned, too, which may or may not count as a choroidal disease.
    "pathological myopia": {"is_pm": 1, "is_dm": UNKNOWN, "is_crp": UNKNOWN},
    # Degeneration of the retina or macula by myopia.
    **_each(
        ("myopic maculopathy", "myopia retinopathy", "myopic retinopathy"),
        {"is_dm": 1, "is_pm": UNKNOWN, "is_crp": UNKNOWN},
    ),
    **_each(
        ("macular epiretinal membrane", "epiretinal membrane", "epiretinal membrane over the macula"), {"is_em": 1}
    ),
    # Suspected, on the disc instead of the macula, or another kind of membrane.
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
    # Vessels with white walls: after a vein occlusion, an inflammation, or high blood pressure.
    **_each(
        ("white vessel", "retinal vascular sheathing", "suspected retinal vascular sheathing"),
        _doubt("is_rvo", "is_htr"),
    ),
    # Atrophy, swelling, inflammation or malformation of the optic nerve head.
    **_each(("optic nerve atrophy", "optic disc edema", "optic discitis", "morning glory syndrome"), {"is_aon": 1}),
    # Myelinated nerve fibres are a harmless variant of the retinal nerve fibres, often beside the disc; sources differ
    # on whether they are an anomaly of the optic nerve. Glial remnants are in front of the disc.
    **_each(
        (
            "myelinated nerve fibers",
            "glial remnants anterior to the optic disc",
            "suspected abnormal color of optic disc",
        ),
        _doubt("is_aon"),
    ),
    # Diseases of the choroid and the retina above it.
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
    "retinochoroidal coloboma": {"is_crp": 1, "is_aon": UNKNOWN},  # sometimes including the disc
    "idiopathic choroidal neovascularization": {"is_crp": 1, "is_amd": UNKNOWN},
    # Atrophy around the disc is common in myopia and with age; whether it counts is not stated.
    "peripapillary atrophy": _doubt("is_crp", "is_pm", "is_dm"),
    # A leaking choroid detaches the retina; ICD-10 lists it under the retina (H35.7).
    "central serous chorioretinopathy": _doubt("is_crp"),
    # Atrophy and pigment changes of the retina, its pigment epithelium or an unstated layer.
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
    # Findings that concern no label. A tessellated fundus shows the vessels of the choroid and is not yet pathological
    # myopia (category 1 of META-PM). An artery occlusion is not a vein occlusion.
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
    # About the image. What a poor image does not show may still be present.
    "low image quality": _doubt(*NAMED_BY_DOCTORS),
    "no fundus image": _doubt(*NAMED_BY_DOCTORS),  # of this eye: the file may contain the other one
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
    title="ODIR-5K, Peking University challenge 2019 (Li et al. 2021, arXiv 2102.07978)",
    layout="ODIR-5K_Training_Images/ODIR-5K_Training_Dataset/*.jpg and ODIR-5K_Training_Annotations(Updated)_V2.xlsx; "
    "or, as on Kaggle, Training Images/*.jpg and data.xlsx",
    parts=[_eye("Left", LEFT), _eye("Right", RIGHT)],  # the test part has no labels
)
