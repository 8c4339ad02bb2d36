"""Sets made for diabetic retinopathy: IDRiD, EyePACS with EyeQ's quality grades, APTOS 2019, Messidor-2, DeepDRiD.

Their graders looked for diabetic retinopathy (and edema) only, so all other diseases stay unknown, also at grade 0: "no
diabetic retinopathy" does not mean healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline_synfundus.labels import UNKNOWN
from training.sources.folder import SourceFolder, read_table
from training.sources.part import LEFT, RIGHT, Part, Source, number_before_underscore, photograph_name, side_from_name
from training.sources.record import GRADES, READABLE, UNUSABLE, USABLE, Statement, presence

# Hard exudates 0: none, 1: only farther than one disc diameter from the centre of the macula, 2: closer. 1 is edema on
# the international scale ("mild"), but not by the criterion of Messidor-2 and of treatment, so it is left unknown.
IDRID_EDEMA: Mapping[str, Statement] = {"0": {"is_dme": 0}, "1": {"is_dme": UNKNOWN}, "2": {"is_dme": 1}}


def _idrid(name: str, letter: str, folder: str, table: str) -> Part:
    # The full download also has folders "a. Training Set" for segmentation and localisation.
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
    # The set names no patients, and both parts start at IDRiD_001.
    parts=[_idrid("train", "a", "training", "training"), _idrid("test", "b", "testing", "testing")],
)

EYEPACS = Source(
    title="EyePACS, Diabetic Retinopathy Detection, Kaggle 2015",
    layout="trainLabels.csv and train/*.jpeg; optionally test/*.jpeg with retinopathy_solution.csv",
    # Barely readable photographs were graded, too; EyeQ identifies them.
    parts=[
        Part(
            name=folder,
            photographs=[f"{folder}/*"],
            table=[table],
            photograph_column="image",
            columns={"level": GRADES},
            table_optional=folder == "test",  # published after the competition
            patient=number_before_underscore,
            eye_side=side_from_name,
        )
        for folder, table in (("train", "trainlabels.csv"), ("test", "retinopathy_solution.csv"))
    ],
)

EYEQ_QUALITY: Mapping[str, Statement] = {
    # Good: no quality loss, all lesions of retinopathy visible.
    "0": READABLE,
    # Usable: blur or illumination hide something, but disc, macula and lesions can be identified. The readability of
    # the rest of the retina is not stated.
    "1": {**USABLE, "is_macular_readable": 1, "is_optic_disc_readable": 1},
    # Reject: not even ophthalmologists can make a full and reliable diagnosis, or disc or macula are not in the image.
    "2": UNUSABLE,
}

EYEQ = Source(
    title="EyeQ, quality grades of EyePACS photographs (Fu et al. 2019, github.com/HzFu/EyeQ)",
    layout="data/Label_EyeQ_train.csv and data/Label_EyeQ_test.csv",
    photographs_of="eyepacs",
    parts=[
        Part(
            name=part,
            photographs=["[0-9]*_[lr]*.jp*g"],  # of both parts of EyePACS, which share no number
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
    parts=[  # the set names no patients; its test part has no labels
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
    """Reads patients and eyes from the table that pairs the photographs of each examination."""
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
                # Hard exudates within one disc diameter of the centre of the macula.
                "adjudicated_dme": {**presence("is_dme"), "": {}},
                # 0: three retina specialists agreed that it cannot be graded.
                "adjudicated_gradable": {"0": UNUSABLE, "1": USABLE},
            },
        )
    ],
)

# The column of the other eye is empty. Some tables of the set contain a 5, which is not on the scale.
DEEPDRID_GRADES: Mapping[str, Statement] = {**GRADES, "": {}, "5": {"dr_grade": UNKNOWN}}


def _silent(*values: str) -> Mapping[str, Statement]:
    """Values without information about the labels."""
    return {value: {} for value in values}


def _deepdrid_side(name: str) -> int:
    return {"l": LEFT, "r": RIGHT}.get(name.partition("_")[2][:1], UNKNOWN)


DEEPDRID = Source(
    title="DeepDRiD, ISBI 2020 challenge (Liu et al. 2022, doi 10.1016/j.patter.2022.100512)",
    layout="regular_fundus_images/regular-fundus-{training,validation}/{Images/*/*.jpg,regular-fundus-*.csv}",
    parts=[  # without the ultra-wide-field images, which come from another kind of camera
        Part(
            name=part,
            photographs=[f"regular-fundus-{part}/images/*"],
            table=[f"regular-fundus-{part}.csv"],
            photograph_column="image_id",
            columns={
                "left_eye_DR_Level": DEEPDRID_GRADES,
                "right_eye_DR_Level": DEEPDRID_GRADES,
                # 1: good enough for the diagnosis of retinal diseases. 0 does not say what is unreadable, and such
                # photographs were graded, too.
                "Overall quality": {"0": {}, "1": READABLE},
                # 1: neither disc nor macula is in the image; 4: only one of them, without saying which.
                "Field definition": {
                    "1": {"is_macular_readable": 0, "is_optic_disc_readable": 0},
                    "4": {"is_macular_readable": UNKNOWN, "is_optic_disc_readable": UNKNOWN},
                    **_silent("6", "8", "10"),
                },
                # 10: artifacts over the entire posterior pole, where the macula is.
                "Artifact": {"10": {"is_macular_readable": UNKNOWN}, **_silent("0", "1", "4", "6", "8")},
            },
            patient=number_before_underscore,
            eye_side=_deepdrid_side,
        )
        for part in ("training", "validation")
    ],
)
