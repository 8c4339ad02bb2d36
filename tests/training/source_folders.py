"""Hand-made folders in the layouts of the public sets, with a few tiny pictures each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image


def write_pictures(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6), (160, 80, 40)).save(folder / name)


def write_text(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


def write_workbook(path: Path, columns: Sequence[str], *rows: Sequence) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_excel(path, index=False)


ODIR_COLUMNS = (
    *("ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus"),
    *("Left-Diagnostic Keywords", "Right-Diagnostic Keywords", *"NDGCAHMO"),
)


def write_odir(root: Path, keywords: Sequence[tuple[str, str]]) -> Path:
    """One patient for each pair of keywords of the left and the right eye."""
    pictures = root / "ODIR-5K_Training_Images" / "ODIR-5K_Training_Dataset"
    rows = []
    for patient, (left, right) in enumerate(keywords):
        names = [f"{patient}_left.jpg", f"{patient}_right.jpg"]
        write_pictures(pictures, names)
        rows.append([patient, 60, "Female", *names, left, right, *[0] * 8])
    write_workbook(root / "ODIR-5K_Training_Annotations(Updated)_V2.xlsx", ODIR_COLUMNS, *rows)
    return root


def write_idrid(root: Path) -> Path:
    grading = root / "B. Disease Grading"
    for folder, table in (
        ("a. Training Set", "a. IDRiD_Disease Grading_Training"),
        ("b. Testing Set", "b. IDRiD_Disease Grading_Testing"),
    ):
        write_pictures(grading / "1. Original Images" / folder, ["IDRiD_001.jpg", "IDRiD_002.jpg"])
        write_text(
            grading / "2. Groundtruths" / f"{table} Labels.csv",
            "Image name,Retinopathy grade,Risk of macular edema ,,,",
            "IDRiD_001,3,2,,,",
            "IDRiD_002,0,0,,,",
            ",,,,,",
        )
    # The segmentation part has photographs of the same names, and masks.
    segmentation = root / "A. Segmentation" / "1. Original Images" / "a. Training Set"
    write_pictures(segmentation, ["IDRiD_001.jpg"])
    return root


def write_eyepacs(root: Path) -> Path:
    write_pictures(root / "train", ["10_left.jpeg", "10_right.jpeg", "13_left.jpeg"])
    write_pictures(root / "test", ["1_left.jpeg"])
    write_text(root / "trainLabels.csv", "image,level", "10_left,0", "10_right,4", "13_left,0")
    return root


def write_eyeq(root: Path) -> Path:
    header = ",image,quality,DR_grade"
    write_text(
        root / "data" / "Label_EyeQ_train.csv",
        header,
        "0,10_left.jpeg,0,0",
        "1,10_right.jpeg,1,4",
        "2,13_left.jpeg,2,0",
    )
    write_text(root / "data" / "Label_EyeQ_test.csv", header, "0,1_left.jpeg,0,2")
    return root


def write_aptos(root: Path) -> Path:
    write_pictures(root / "train_images", ["000c1434d8d7.png", "001639a390f0.png"])
    write_pictures(root / "test_images", ["0005cfc8afb6.png"])
    write_text(root / "train.csv", "id_code,diagnosis", "000c1434d8d7,2", "001639a390f0,0")
    write_text(root / "test.csv", "id_code", "0005cfc8afb6")
    return root


def write_messidor2(root: Path) -> Path:
    write_pictures(
        root / "IMAGES", ["20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png", "IM0001.JPG", "IM0002.JPG"]
    )
    write_text(
        root / "messidor-2.csv",
        "left;right",
        "20051020_43808_0100_PP.png;20051020_43832_0100_PP.png",
        "IM0001.JPG;IM0002.JPG",
    )
    write_text(
        root / "messidor_data.csv",
        "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable",
        "20051020_43808_0100_PP.png,2.0,1.0,1",
        "20051020_43832_0100_PP.png,0.0,0.0,1",
        "IM0001.jpg,0,1,1",
        "IM0002.jpg,,,0",
        encoding="utf-8-sig",
    )
    return root


RFMID_COLUMNS = (
    *("ID", "Disease_Risk", "DR", "ARMD", "MH", "DN", "MYA", "BRVO", "TSLN", "ERM", "LS", "MS", "CSR", "ODC", "CRVO"),
    *("TV", "AH", "ODP", "ODE", "ST", "AION", "PT", "RT", "RS", "CRS", "EDN", "RPEC", "MHL", "RP", "CWS", "CB", "ODPM"),
    *("PRH", "MNF", "HR", "CRAO", "TD", "CME", "PTCR", "CF", "VH", "MCA", "VS", "BRAO", "PLQ", "HPED", "CL"),
)


def rfmid_row(number: int, *present: str) -> str:
    """One line of a table: the photograph `number` with these columns 1."""
    return ",".join([str(number), *("1" if column in present else "0" for column in RFMID_COLUMNS[1:])])


def write_rfmid(root: Path, *conditions: tuple[str, ...]) -> Path:
    """As on Kaggle: a training part with these conditions, and a test part of one normal eye."""
    training, test = root / "Training_Set" / "Training_Set", root / "Test_Set" / "Test_Set"
    write_pictures(training / "Training", [f"{number}.png" for number in range(1, len(conditions) + 1)])
    rows = [rfmid_row(number, *present) for number, present in enumerate(conditions, start=1)]
    write_text(training / "RFMiD_Training_Labels.csv", ",".join(RFMID_COLUMNS), *rows)
    write_pictures(test / "Test", ["1.png"])
    write_text(test / "RFMiD_Testing_Labels.csv", ",".join(RFMID_COLUMNS), rfmid_row(1))
    return root


def write_refuge(root: Path) -> Path:
    train = root / "REFUGE-Training400" / "Training400"
    write_pictures(train / "Glaucoma", ["g0001.jpg"])
    write_pictures(train / "Non-Glaucoma", ["n0001.jpg"])
    masks = root / "Annotation-Training400" / "Annotation-Training400" / "Disc_Cup_Masks" / "Glaucoma"
    write_pictures(masks, ["g0001.bmp"])
    write_pictures(root / "REFUGE-Validation400", ["V0001.jpg", "V0002.jpg"])
    write_workbook(
        root / "REFUGE-Validation400-GT" / "Fovea_locations.xlsx",
        ("ID", "ImgName", "Fovea_X", "Fovea_Y", "Glaucoma Label"),
        (1, "V0001.jpg", 1057.3, 1105.8, 0),
        (2, "V0002.jpg", 1022.6, 1001.2, 1),
    )
    write_pictures(root / "REFUGE-Test400" / "Test400", ["T0001.jpg"])
    write_workbook(
        root / "REFUGE-Test-GT" / "Glaucoma_label_and_Fovea_location.xlsx",
        ("ID", "ImgName", "Label(Glaucoma=1)", "Fovea_X", "Fovea_Y"),
        (1, "T0001.jpg", 1, 801.1, 790.4),
    )
    return root


def write_airogs(root: Path) -> Path:
    write_pictures(root / "0", ["TRAIN000000.jpg"])
    write_pictures(root / "1", ["TRAIN017000.jpg"])
    write_text(root / "train_labels.csv", "challenge_id,class", "TRAIN000000,NRG", "TRAIN017000,RG")
    return root


def write_hygd(root: Path) -> Path:
    write_pictures(root / "Images", ["7_0.jpg", "7_1.jpg", "9_0.jpg"])
    write_text(
        root / "Labels.csv",
        "Image Name,Patient,Label,Quality Score",
        "7_0.jpg,7,GON+,4.77",
        "7_1.jpg,7,GON+,5.02",
        "9_0.jpg,9,GON-,6.11",
    )
    return root


def write_palm(root: Path) -> Path:
    write_pictures(root / "PALM-Training400" / "PALM-Training400", ["H0001.jpg", "N0001.jpg", "P0001.jpg"])
    write_pictures(root / "PALM-Validation400", ["V0001.jpg", "V0002.jpg"])
    write_workbook(
        root / "PALM-Validation-GT" / "PM_Label_and_Fovea_Location.xlsx",
        ("ID", "imgName", "Label", "Fovea_X", "Fovea_Y"),
        (1, "V0001.jpg", 0, 1057.3, 1105.8),
        (2, "V0002.jpg", 1, 1022.6, 1001.2),
    )
    return root


def write_deepdrid(root: Path) -> Path:
    regular = root / "regular_fundus_images"
    header = (
        "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
        "Clarity,Field definition,Artifact"
    )
    train = regular / "regular-fundus-training"
    write_pictures(train / "Images" / "5", ["5_l1.jpg", "5_l2.jpg", "5_r1.jpg"])
    write_text(
        train / "regular-fundus-training.csv",
        header,
        r"5,5_l1,\regular-fundus-training\5\5_l1.jpg,1,0,,3,10,10,0",
        r"5,5_l2,\regular-fundus-training\5\5_l2.jpg,0,0,,3,1,1,10",
        r"5,5_r1,\regular-fundus-training\5\5_r1.jpg,1,,3,3,8,4,0",
    )
    validation = regular / "regular-fundus-validation"
    write_pictures(validation / "Images" / "265", ["265_r1.jpg"])
    write_text(
        validation / "regular-fundus-validation.csv",
        header,
        r"265,265_r1,regular-fundus-validation\265\265_r1.jpg,0,,5,5,4,6,8",
    )
    write_pictures(root / "ultra-widefield_images" / "ultra-widefield-training" / "Images" / "1", ["1_l1.jpg"])
    return root


VIETAI_COLUMNS = (
    *("filename", "opacity", "diabetic retinopathy", "glaucoma", "macular edema", "macular degeneration"),
    *("retinal vascular occlusion", "normal"),
)


def write_vietai(root: Path) -> Path:
    rows = {
        "c24a1b14d253.jpg": "0,0,0,0,0,1,0",
        "10ee8c8a72b4.jpg": "1,1,0,1,0,0,0",
        "d7596283f399.jpg": "1,0,0,1,0,1,0",
        "4ce6599e7b20.jpg": "0,0,1,0,1,0,0",
        "da6a97be9db4.jpg": "0,0,0,0,0,0,1",
    }
    write_pictures(root / "train" / "train", rows)
    write_pictures(root / "test" / "test", ["0a1b2c3d4e5f.jpg"])
    lines = [f"{name},{values}" for name, values in rows.items()]
    write_text(root / "train.csv", ",".join(VIETAI_COLUMNS), *lines)
    return root


def write_drimdb(root: Path) -> Path:
    for quality in ("Good", "Bad", "Outlier"):
        write_pictures(root / "DRIMDB" / quality, [f"drimdb_{quality.lower()} (1).jpg"])
    return root


def write_toxoplasmosis(root: Path) -> Path:
    hospitals = ("Hospital de Clínicas Medical Center", "Hospital General Pediátrico Acosta Ñu Medical Center")
    write_pictures(root / "images", ["1.jpg", "742.jpg", "(742).jpg", "IM0203RE 2.jpg", "OD0287RE.JPG", "OS0344RE.JPG"])
    write_text(
        root / "dataset_labels.csv",
        "Image_name,Label,Source",
        f"1.jpg,healthy,{hospitals[0]}",
        f"742.jpg,active,{hospitals[0]}",
        f"(742).jpg,inactive,{hospitals[0]}",
        f"IM0203RE 2.jpg,active/inactive,{hospitals[1]}",
        f"OD0287RE.JPG,inactive,{hospitals[1]}",
        f"OS0344RE.JPG,healthy,{hospitals[1]}",
    )
    return root


def write_hrdc(root: Path) -> Path:
    """Both tasks, whose photographs have the same names."""
    for task, name, column in (
        ("1-Hypertensive Classification", "HRDC Hypertensive Classification", "Hypertensive"),
        ("2-Hypertensive Retinopathy Classification", "HRDC Hypertensive Retinopathy Classification", None),
    ):
        write_pictures(root / task / "1-Images" / "1-Training Set", ["00000ce7.png", "0003df4c.png"])
        table = root / task / "2-Groundtruths" / f"{name} Training Labels.csv"
        write_text(table, f"Image,{column or 'Hypertensive Retinopathy'}", "00000ce7.png,1", "0003df4c.png,0")
    return root
