"""RFMiD: 45 conditions, marked by two retina specialists in every photograph.

All 45 were looked for, so a 0 denies what the column covers. Where several columns bear on one label, what is of note
wins over doubt, and doubt over absence, see `training.sources.record.conclude`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_synfundus.labels import UNKNOWN
from training.sources.part import Part, Source
from training.sources.record import NO_DISEASE, Statement


def _shows(label: str) -> Mapping[str, Statement]:
    """The column is the label, or one form of it."""
    return {"0": {label: 0}, "1": {label: 1}}


def _raises_doubt(*labels: str) -> Mapping[str, Statement]:
    """The column may belong to the labels, or hide them; its absence says nothing."""
    return {"0": {}, "1": dict.fromkeys(labels, UNKNOWN)}


COLUMNS: Mapping[str, Mapping[str, Statement]] = {
    # 0 is a retina that both specialists called normal: none of the diseases. 1 denies nothing.
    "Disease_Risk": {"0": NO_DISEASE, "1": {}},
    # Diabetic retinopathy of an unstated grade. Without it there is none.
    "DR": {"0": {"dr_grade": 0}, "1": {"dr_grade": UNKNOWN}},
    "ARMD": _shows("is_amd"),
    "DN": _raises_doubt("is_amd"),  # drusen: small ones are ordinary ageing, large ones early degeneration
    "BRVO": _shows("is_rvo"),
    "CRVO": _shows("is_rvo"),
    "ERM": _shows("is_em"),
    # "Myopia", as far as it shows in the fundus. Whether it is pathological it does not say.
    "MYA": {"0": {"is_pm": 0, "is_dm": 0}, "1": {"is_pm": UNKNOWN, "is_dm": UNKNOWN}},
    # Cupping of the disc is the sign of glaucoma, and a large cup may be healthy: suspicion. Without it, no glaucoma.
    "ODC": {"0": {"is_gc": 0}, "1": {"is_gc": UNKNOWN, "is_aon": UNKNOWN}},
    # Pallor, edema, anterior ischaemic neuropathy, pit and tilt of the disc: damage or malformation of the nerve head.
    "ODP": _shows("is_aon"),
    "ODE": _shows("is_aon"),
    "AION": _shows("is_aon"),
    "ODPM": _shows("is_aon"),
    "TD": _shows("is_aon"),
    # Myelinated nerve fibres: a harmless variant of the retina's nerve fibres, often beside the disc and not in it.
    # Opinions differ on whether that is an anomaly of the optic nerve.
    "MNF": _raises_doubt("is_aon"),
    "ST": _raises_doubt("is_aon", "is_rvo"),  # optociliary shunt vessels: after a blocked vein, or from the nerve
    # Chorioretinitis and choroidal folds are disease of the choroid.
    "CRS": _shows("is_crp"),
    "CF": _shows("is_crp"),
    "CB": {"0": {}, "1": {"is_crp": 1, "is_aon": UNKNOWN}},  # coloboma: a gap in the choroid, at times in the disc
    # Central serous retinopathy: fluid under the retina from a leaking choroid. ICD-10 has it under the retina (H35.7).
    "CSR": _raises_doubt("is_crp"),
    # Scars, pigment change, detached pigment epithelium, haemorrhage below the retina, retinitis and dystrophy reach
    # into the choroid or not; those of the macula may come from degeneration.
    "LS": _raises_doubt("is_crp", "dr_grade", "is_rvo"),  # laser scars: treated, mostly for one of these two
    "MS": _raises_doubt("is_crp", "is_amd"),
    "RPEC": _raises_doubt("is_crp", "is_amd"),
    "HPED": _raises_doubt("is_crp", "is_amd"),
    "RS": _raises_doubt("is_crp"),
    "RP": _raises_doubt("is_crp"),
    "PT": _raises_doubt("is_amd"),  # parafoveal telangiectasia, which is easily mistaken for degeneration
    # Exudation and cystoid edema are diabetic, venous or degenerative.
    "EDN": _raises_doubt("is_dme", "is_amd", "is_rvo"),
    "CME": _raises_doubt("is_dme", "is_rvo", "is_em"),
    "RT": _raises_doubt("is_em"),  # traction on the retina, often by a membrane
    # Cotton wool spots, haemorrhagic retinopathy, bleeding before the retina or in the vitreous, new or sheathed
    # vessels: diabetes, hypertension or a blocked vein.
    "CWS": _raises_doubt("dr_grade", "is_rvo"),
    "HR": _raises_doubt("dr_grade", "is_rvo"),  # not hypertensive: the set has no column for that
    "PRH": _raises_doubt("dr_grade", "is_rvo"),
    "VH": _raises_doubt("dr_grade", "is_rvo"),
    "CL": _raises_doubt("is_rvo"),  # collateral vessels
    "VS": _raises_doubt("is_rvo"),
    # Not used: MH media haze, TSLN tessellation, AH asteroid hyalosis, TV tortuous vessels, MHL macular hole, CRAO and
    # BRAO blocked arteries, PTCR post-traumatic, MCA macroaneurysm, PLQ plaque. None of them is one of the labels.
}


def _part(name: str, kaggle: str, letter: str, ieee: str, table: str) -> Part:
    return Part(
        name=name,
        photographs=[f"*_set/{kaggle}/*", f"1. original images/{letter}. {ieee} set/*"],
        table=[f"rfmid_{table}_labels.csv", f"{letter}. rfmid_{table}_labels.csv"],
        photograph_column="ID",
        columns=COLUMNS,
    )


RFMID = Source(
    title="RFMiD, Retinal Fundus Multi-disease Image Dataset (Pachade et al. 2021, doi 10.3390/data6020014)",
    layout="Training_Set/{Training/*.png,RFMiD_Training_Labels.csv}, Evaluation_Set/{Validation/*.png,"
    "RFMiD_Validation_Labels.csv}, Test_Set/{Test/*.png,RFMiD_Testing_Labels.csv}; or, as on IEEE DataPort, "
    "1. Original Images/{a. Training Set,b. Validation Set,c. Testing Set}/*.png and 2. Groundtruths/*.csv",
    parts=[  # it names no patients, and counts from 1 in each part
        _part("train", "training", "a", "training", "training"),
        _part("validation", "validation", "b", "validation", "validation"),
        _part("test", "test", "c", "testing", "testing"),
    ],
)
