"""RFMiD: 45 conditions, annotated by two retina specialists in every photograph.

The graders looked for all 45, so a 0 means that the condition is absent. Where several columns concern one label, a
finding takes precedence over doubt, and doubt over absence, see `training.sources.record.conclude`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_synfundus.labels import UNKNOWN
from training.sources.part import Part, Source
from training.sources.record import NO_DISEASE, Statement, presence


def _raises_doubt(*labels: str) -> Mapping[str, Statement]:
    """The condition may be one of the labels or hide them; its absence says nothing."""
    return {"0": {}, "1": dict.fromkeys(labels, UNKNOWN)}


COLUMNS: Mapping[str, Mapping[str, Statement]] = {
    # 0: both specialists called the retina normal, so all diseases are absent. 1 excludes nothing.
    "Disease_Risk": {"0": NO_DISEASE, "1": {}},
    # Diabetic retinopathy without a grade; 0 means grade 0.
    "DR": {"0": {"dr_grade": 0}, "1": {"dr_grade": UNKNOWN}},
    "ARMD": presence("is_amd"),
    "DN": _raises_doubt("is_amd"),  # drusen: small ones are normal ageing, large ones early degeneration
    "BRVO": presence("is_rvo"),
    "CRVO": presence("is_rvo"),
    "ERM": presence("is_em"),
    # "Myopia", as visible in the fundus, pathological or not.
    "MYA": {"0": {"is_pm": 0, "is_dm": 0}, "1": {"is_pm": UNKNOWN, "is_dm": UNKNOWN}},
    # Cupping of the disc is the sign of glaucoma, but a large cup may be healthy. Without cupping there is no glaucoma.
    "ODC": {"0": {"is_gc": 0}, "1": {"is_gc": UNKNOWN, "is_aon": UNKNOWN}},
    # Pallor, edema, anterior ischaemic neuropathy, pit and tilt of the disc: damage or malformation of the nerve head.
    "ODP": presence("is_aon"),
    "ODE": presence("is_aon"),
    "AION": presence("is_aon"),
    "ODPM": presence("is_aon"),
    "TD": presence("is_aon"),
    # Myelinated nerve fibres are a harmless variant of the retinal nerve fibres, often beside the disc. Sources differ
    # on whether they are an anomaly of the optic nerve.
    "MNF": _raises_doubt("is_aon"),
    "ST": _raises_doubt("is_aon", "is_rvo"),  # optociliary shunt vessels: after a vein occlusion, or from the nerve
    # Chorioretinitis and choroidal folds are diseases of the choroid.
    "CRS": presence("is_crp"),
    "CF": presence("is_crp"),
    "CB": {"0": {}, "1": {"is_crp": 1, "is_aon": UNKNOWN}},  # coloboma: a gap in the choroid, sometimes in the disc
    # Central serous retinopathy: fluid under the retina from a leaking choroid; a retinal disease in ICD-10 (H35.7).
    "CSR": _raises_doubt("is_crp"),
    # Scars, pigment changes, pigment epithelial detachment, subretinal haemorrhage, retinitis and dystrophy may or may
    # not involve the choroid; those of the macula may come from degeneration.
    "LS": _raises_doubt("is_crp", "dr_grade", "is_rvo"),  # laser scars: mostly treatment of one of these two
    "MS": _raises_doubt("is_crp", "is_amd"),
    "RPEC": _raises_doubt("is_crp", "is_amd"),
    "HPED": _raises_doubt("is_crp", "is_amd"),
    "RS": _raises_doubt("is_crp"),
    "RP": _raises_doubt("is_crp"),
    "PT": _raises_doubt("is_amd"),  # parafoveal telangiectasia, easily mistaken for degeneration
    # Exudation and cystoid edema have diabetic, venous or degenerative causes.
    "EDN": _raises_doubt("is_dme", "is_amd", "is_rvo"),
    "CME": _raises_doubt("is_dme", "is_rvo", "is_em"),
    "RT": _raises_doubt("is_em"),  # traction on the retina, often by a membrane
    # Cotton wool spots, haemorrhagic retinopathy, preretinal or vitreous haemorrhage, new or sheathed vessels: from
    # diabetes, hypertension or a vein occlusion.
    "CWS": _raises_doubt("dr_grade", "is_rvo"),
    "HR": _raises_doubt("dr_grade", "is_rvo"),  # not hypertensive: the set has no column for that
    "PRH": _raises_doubt("dr_grade", "is_rvo"),
    "VH": _raises_doubt("dr_grade", "is_rvo"),
    "CL": _raises_doubt("is_rvo"),  # collateral vessels
    "VS": _raises_doubt("is_rvo"),
    # Not used, because none of them is a label: MH media haze, TSLN tessellation, AH asteroid hyalosis, TV tortuous
    # vessels, MHL macular hole, CRAO and BRAO artery occlusions, PTCR post-traumatic, MCA macroaneurysm, PLQ plaque.
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
