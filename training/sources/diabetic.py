"""Sets made for diabetic retinopathy: IDRiD, EyePACS with EyeQ's quality grades, APTOS 2019, Messidor-2, DeepDRiD.

Their graders looked for diabetic retinopathy (and edema) only, so every other disease stays unknown, also in eyes of
grade 0: "no diabetic retinopathy" does not mean healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline_synfundus.labels import UNKNOWN
from training.sources.folder import SourceFolder, read_table
from training.sources.part import LEFT, RIGHT, Part, Source, number_before_underscore, photograph_name, side_from_name
from training.sources.record import GRADES, READABLE, UNUSABLE, USABLE, Statement

# Hard exudates 0: none, 1: only farther than one disc diameter from the macula's centre, 2: within it. 1 is edema on
# the international scale ("mild") but not by the criterion of Messidor-2 and of treatment, so it is left unknown.
IDRID_EDEMA: Mapping[str, Statement] = {"0": {"is_dme": 0}, "1": {"is_dme": UNKNOWN}, "2": {"is_dme": 1}}


def _idrid(name: str, letter: str, folder: str, table: str) -> Part:
    # The full download has folders "a. Training Set" for segmentation and localisation as well.
    return Part(
        name=name,
        photographs=[f"*disease grading/1. original images/{letter}. {folder} set/idrid_*"],
        table=[f"{letter}. idrid_disease grading_{table} labels.csv"],
        photograph_column="Image name",
        columns={"Retinopathy grade": GRADES, "Risk of macular edema": IDRID_EDEMA},
    )


IDRID = Source(
    title="IDRiD, Indian Diabetic Retinopathy Image Dataset, part B (Porwal et al. 2018, doi 10.3390/data3030025)",
    layout="B. Disease Grading/1. Original Images/{a. Training Set,b. Testing Set}/IDRiD_*.jpg and "
    "B. Disease Grading/2. Groundtruths/{a. IDRiD_Disease Grading_Training Labels.csv,"
    "b. IDRiD_Disease Grading_Testing Labels.csv}",
    # It names no patients, and counts from IDRiD_001 in both parts.
    parts=[_idrid("train", "a", "training", "training"), _idrid("test", "b", "testing", "testing")],
)

EYEPACS = Source(
    title="EyePACS, Kaggle's Diabetic Retinopathy Detection of 2015",
    layout="trainLabels.csv and train/*.jpeg; also test/*.jpeg with retinopathy_solution.csv, if wanted",
    # Photographs that can hardly be read were graded all the same; EyeQ tells which.
    parts=[
        Part(
            name=folder,
            photographs=[f"{folder}/*"],
            table=[table],
            photograph_column="image",
            columns={"level": GRADES},
            table_optional=folder == "test",  # the competition kept it back, and published it later
            patient=number_before_underscore,
            eye_side=side_from_name,
        )
        for folder, table in (("train", "trainlabels.csv"), ("test", "retinopathy_solution.csv"))
    ],
)

EYEQ_QUALITY: Mapping[str, Statement] = {
    # Good: no low quality factors, all retinopathy lesions visible.
    "0": READABLE,
    # Usable: blur or light hide something, but disc, macula and lesions can be told. How much of the rest of the
    # retina can be read, it does not say.
    "1": {**USABLE, "is_macular_readable": 1, "is_optic_disc_readable": 1},
    # Reject: no full and reliable diagnosis even by ophthalmologists, or no disc or macula in the picture.
    "2": UNUSABLE,
}

EYEQ = Source(
    title="EyeQ, quality grades of EyePACS photographs (Fu et al. 2019, github.com/HzFu/EyeQ)",
    layout="data/Label_EyeQ_train.csv and data/Label_EyeQ_test.csv",
    photographs_of="eyepacs",
    parts=[
        Part(
            name=part,
            photographs=["[0-9]*_[lr]*.jp*g"],  # of EyePACS' training and test photographs, whose numbers all differ
            table=[f"label_eyeq_{part}.csv"],
            photograph_column="image",
            columns={"quality": EYEQ_QUALITY, "DR_grade": GRADES},
            patient=number_before_underscore,
            eye_side=side_from_name,
        )
        for part in ("train", "test")
    ],
)

APTOS = Source(
    title="APTOS 2019 Blindness Detection, Kaggle (Aravind Eye Hospital)",
    layout="train.csv and train_images/*.png",
    parts=[  # it names no patients; its test part has no labels
        Part(
            name="train",
            photographs=["train_images/*"],
            table=["train.csv"],
            photograph_column="id_code",
            columns={"diagnosis": GRADES},
        )
    ],
)


def _pair_eyes(folder: SourceFolder, part: Part) -> Part:
    """Takes patients and eyes from the table that pairs the photographs of each examination."""
    table = folder.find_table(["messidor-2.csv"])
    if table is None:
        raise folder.missing("messidor-2.csv")
    patients: dict[str, str] = {}
    sides: dict[str, int] = {}
    for row in read_table(folder.name, table, ["left", "right"]):
        left, right = photograph_name(row["left"]), photograph_name(row["right"])
        patients |= {left: left, right: left}
        sides |= {left: LEFT, right: RIGHT}
    return replace(part, patient=lambda name: patients.get(name, name), eye_side=lambda name: sides.get(name, UNKNOWN))


MESSIDOR2 = Source(
    title="Messidor-2 (Decenciere et al. 2014; Abramoff et al. 2013), grades of Krause et al. 2018 (Kaggle)",
    layout="IMAGES/*.{png,JPG} and messidor-2.csv of the set, and messidor_data.csv of the grades",
    adapt=_pair_eyes,
    parts=[
        Part(
            name="all",
            photographs=["images/*"],
            table=["messidor_data.csv"],
            photograph_column="image_id",
            columns={
                "adjudicated_dr_grade": {**GRADES, "": {}},  # empty where ungradable
                # Hard exudates within one disc diameter of the macula's centre.
                "adjudicated_dme": {"0": {"is_dme": 0}, "1": {"is_dme": 1}, "": {}},
                # Three retina specialists together found no way to grade it.
                "adjudicated_gradable": {"0": UNUSABLE, "1": USABLE},
            },
        )
    ],
)

# One eye's column is filled, the other's empty. Some tables of the set hold a 5, which is no grade of the scale.
DEEPDRID_GRADES: Mapping[str, Statement] = {**GRADES, "": {}, "5": {"dr_grade": UNKNOWN}}


def _silent(*values: str) -> Mapping[str, Statement]:
    """Values that say nothing about the labels."""
    return {value: {} for value in values}


def _deepdrid_side(name: str) -> int:
    return {"l": LEFT, "r": RIGHT}.get(name.partition("_")[2][:1], UNKNOWN)


DEEPDRID = Source(
    title="DeepDRiD, ISBI 2020 challenge (Liu et al. 2022, doi 10.1016/j.patter.2022.100512)",
    layout="regular_fundus_images/regular-fundus-{training,validation}/{Images/*/*.jpg,regular-fundus-*.csv}",
    parts=[  # without the ultra-wide-field pictures: another kind of camera
        Part(
            name=part,
            photographs=[f"regular-fundus-{part}/images/*"],
            table=[f"regular-fundus-{part}.csv"],
            photograph_column="image_id",
            columns={
                "left_eye_DR_Level": DEEPDRID_GRADES,
                "right_eye_DR_Level": DEEPDRID_GRADES,
                # 1: good enough for the diagnosis of retinal diseases. 0 does not say what is lost, and such
                # photographs were graded all the same.
                "Overall quality": {"0": {}, "1": READABLE},
                # 1: neither disc nor macula in the picture, 4: only one of them, and not which.
                "Field definition": {
                    "1": {"is_macular_readable": 0, "is_optic_disc_readable": 0},
                    "4": {"is_macular_readable": UNKNOWN, "is_optic_disc_readable": UNKNOWN},
                    **_silent("6", "8", "10"),
                },
                # Artifacts over the entire posterior pole, where the macula is, whatever the overall quality says.
                "Artifact": {"10": {"is_macular_readable": UNKNOWN}, **_silent("0", "1", "4", "6", "8")},
            },
            patient=number_before_underscore,
            eye_side=_deepdrid_side,
        )
        for part in ("training", "validation")
    ],
)
