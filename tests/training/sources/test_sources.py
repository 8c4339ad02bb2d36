"""Each public set, in a tiny hand-made folder of its real layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_synfundus.labels import DISEASES, UNKNOWN, complete_condition
from tests.training import source_folders
from training.harmonize import read_sources
from training.sources import SOURCES
from training.sources.odir import KEYWORDS

HEALTHY = {label.name: 0 for label in DISEASES}
LEFT, RIGHT = {"eye_side": 1}, {"eye_side": 0}
COMMA = "\uff0c"  # full-width, as in ODIR's workbook
READABLE = {"is_macular_readable": 1, "is_optic_disc_readable": 1, "is_retinal_region_readable": 1}
UNUSABLE = {"is_fundus": 0, **dict.fromkeys(READABLE, 0)}


def read_known(**roots: Path) -> dict[str, dict[str, int]]:
    """Patient and photograph to the labels that are known; checks that they keep the project's rules."""
    result = {}
    for photograph in read_sources(roots).photographs:
        labels = photograph.labels | {"eye_side": photograph.eye_side}
        assert complete_condition(labels) == labels
        known = {name: value for name, value in labels.items() if value != UNKNOWN}
        result[f"{photograph.patient} {photograph.path.name}"] = known
    return result


def without(labels: dict[str, int], *names: str) -> dict[str, int]:
    return {name: value for name, value in labels.items() if name not in names}


def read_odir(tmp_path: Path, keywords: str) -> dict[str, int]:
    root = source_folders.write_odir(tmp_path, [(keywords, "normal fundus")])
    return without(read_known(odir=root)["0 0_left.jpg"], "eye_side")


def test_odir_reads_each_eye_by_its_own_keywords(tmp_path: Path) -> None:
    root = source_folders.write_odir(
        tmp_path, [("normal fundus", f"lens dust{COMMA}severe nonproliferative retinopathy")]
    )
    assert read_known(odir=root) == {
        "0 0_left.jpg": HEALTHY | LEFT,
        "0 0_right.jpg": without(HEALTHY, "is_dme") | {"dr_grade": 3} | RIGHT,
    }


def test_odir_is_read_as_kaggle_packs_it(tmp_path: Path) -> None:
    source_folders.write_pictures(tmp_path / "ODIR-5K" / "Training Images", ["4_left.jpg", "4_right.jpg"])
    row = (4, 53, "Male", "4_left.jpg", "4_right.jpg", "glaucoma", "glaucoma", *[0] * 8)
    source_folders.write_workbook(tmp_path / "ODIR-5K" / "data.xlsx", source_folders.ODIR_COLUMNS, row)
    known = read_known(odir=tmp_path)
    assert [labels["is_gc"] for labels in known.values()] == [1, 1]


@pytest.mark.parametrize(
    ("keywords", "changed"),
    [
        ("pathological myopia", {"is_pm": 1, "is_dm": None, "is_crp": None}),
        ("myelinated nerve fibers", {"is_aon": None}),
        (f"optic disc edema{COMMA}myelinated nerve fibers", {"is_aon": 1}),
        ("drusen", {"is_amd": None}),
        ("drusen, wet age-related macular degeneration", {"is_amd": 1}),
        (
            f"branch retinal vein occlusion{COMMA}laser spot",
            {"dr_grade": None, "is_dme": None, "is_rvo": 1, "is_crp": None},
        ),
        ("suspected abnormal color of  optic disc", {"is_aon": None}),
        ("low image quality", dict.fromkeys(HEALTHY)),
        (f"low image quality{COMMA}glaucoma", dict.fromkeys(HEALTHY) | {"is_gc": 1}),
        ("anterior segment image", dict.fromkeys(HEALTHY) | UNUSABLE),
        ("optic disk photographically invisible", {"is_optic_disc_readable": 0, "is_gc": None, "is_aon": None}),
    ],
)
def test_odir_keywords_mean(tmp_path: Path, keywords: str, changed: dict[str, int | None]) -> None:
    expected = {name: value for name, value in (HEALTHY | changed).items() if value is not None}
    assert read_odir(tmp_path, keywords) == expected


def test_every_odir_keyword_names_labels_and_values_that_exist() -> None:
    for statement in KEYWORDS.values():
        complete_condition(dict.fromkeys(HEALTHY, UNKNOWN) | statement)


def test_idrid(tmp_path: Path) -> None:
    severe, healthy = {"dr_grade": 3, "is_dme": 1}, {"dr_grade": 0, "is_dme": 0}
    assert read_known(idrid=source_folders.write_idrid(tmp_path)) == {
        "train/idrid_001 IDRiD_001.jpg": severe,
        "train/idrid_002 IDRiD_002.jpg": healthy,
        "test/idrid_001 IDRiD_001.jpg": severe,
        "test/idrid_002 IDRiD_002.jpg": healthy,
    }


def test_eyepacs_without_the_labels_of_its_test_part(tmp_path: Path) -> None:
    assert read_known(eyepacs=source_folders.write_eyepacs(tmp_path)) == {
        "10 10_left.jpeg": {"dr_grade": 0, "is_dme": 0} | LEFT,
        "10 10_right.jpeg": {"dr_grade": 4} | RIGHT,
        "13 13_left.jpeg": {"dr_grade": 0, "is_dme": 0} | LEFT,
    }


def test_eyepacs_with_the_labels_of_its_test_part(tmp_path: Path) -> None:
    root = source_folders.write_eyepacs(tmp_path)
    source_folders.write_text(root / "retinopathy_solution.csv", "image,level,Usage", "1_left,1,Private")
    assert read_known(eyepacs=root)["1 1_left.jpeg"] == {"dr_grade": 1} | LEFT


def test_eyeq_adds_readability_to_eyepacs_and_takes_back_what_a_rejected_picture_cannot_show(tmp_path: Path) -> None:
    eyepacs = source_folders.write_eyepacs(tmp_path / "eyepacs")
    eyeq = source_folders.write_eyeq(tmp_path / "eyeq")
    usable = {"is_fundus": 1, "is_macular_readable": 1, "is_optic_disc_readable": 1}
    assert read_known(eyeq=eyeq, eyepacs=eyepacs) == {
        "10 10_left.jpeg": {"dr_grade": 0, "is_dme": 0, "is_fundus": 1} | READABLE | LEFT,
        "10 10_right.jpeg": {"dr_grade": 4} | usable | RIGHT,
        "13 13_left.jpeg": UNUSABLE | LEFT,
        "1 1_left.jpeg": {"dr_grade": 2, "is_fundus": 1} | READABLE | LEFT,
    }


def test_aptos(tmp_path: Path) -> None:
    assert read_known(aptos=source_folders.write_aptos(tmp_path)) == {
        "train/000c1434d8d7 000c1434d8d7.png": {"dr_grade": 2},
        "train/001639a390f0 001639a390f0.png": {"dr_grade": 0, "is_dme": 0},
    }


def test_messidor2_pairs_eyes_and_doubts_edema_without_retinopathy(tmp_path: Path) -> None:
    assert read_known(messidor2=source_folders.write_messidor2(tmp_path)) == {
        "20051020_43808_0100_pp 20051020_43808_0100_PP.png": {"dr_grade": 2, "is_dme": 1, "is_fundus": 1} | LEFT,
        "20051020_43808_0100_pp 20051020_43832_0100_PP.png": {"dr_grade": 0, "is_dme": 0, "is_fundus": 1} | RIGHT,
        "im0001 IM0001.JPG": {"dr_grade": 0, "is_fundus": 1} | LEFT,
        "im0001 IM0002.JPG": UNUSABLE | RIGHT,
    }


def test_deepdrid_reads_its_quality_scores(tmp_path: Path) -> None:
    assert read_known(deepdrid=source_folders.write_deepdrid(tmp_path)) == {
        "5 5_l1.jpg": {"dr_grade": 0, "is_dme": 0, "is_fundus": 1} | READABLE | LEFT,
        "5 5_l2.jpg": {"dr_grade": 0, "is_macular_readable": 0, "is_optic_disc_readable": 0} | LEFT,
        "5 5_r1.jpg": {"dr_grade": 3, "is_fundus": 1, "is_retinal_region_readable": 1} | RIGHT,
        "265 265_r1.jpg": RIGHT,
    }


RFMID_DENIED = without(HEALTHY, "is_htr")  # no column for it


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), HEALTHY),
        (("Disease_Risk", "MH"), RFMID_DENIED),
        (("Disease_Risk", "DR", "EDN"), without(RFMID_DENIED, "dr_grade", "is_dme", "is_amd", "is_rvo")),
        (("Disease_Risk", "CRVO", "ARMD", "DN"), RFMID_DENIED | {"is_rvo": 1, "is_amd": 1}),
        (("Disease_Risk", "ODC"), without(RFMID_DENIED, "is_gc", "is_aon")),
        (("Disease_Risk", "TD", "MNF"), RFMID_DENIED | {"is_aon": 1}),
        (("Disease_Risk", "MNF"), without(RFMID_DENIED, "is_aon")),
        (("Disease_Risk", "MYA"), without(RFMID_DENIED, "is_pm", "is_dm")),
        (("Disease_Risk", "CSR"), without(RFMID_DENIED, "is_crp")),
    ],
)
def test_rfmid_columns_mean(tmp_path: Path, present: tuple[str, ...], expected: dict[str, int]) -> None:
    known = read_known(rfmid=source_folders.write_rfmid(tmp_path, present))
    assert known == {"train/1 1.png": expected, "test/1 1.png": HEALTHY}


def test_rfmid_is_read_as_ieee_dataport_packs_it(tmp_path: Path) -> None:
    source_folders.write_pictures(tmp_path / "1. Original Images" / "b. Validation Set", ["1.png"])
    table = tmp_path / "2. Groundtruths" / "b. RFMiD_Validation_Labels.csv"
    header = ",".join(source_folders.RFMID_COLUMNS)
    source_folders.write_text(table, header, source_folders.rfmid_row(1, "Disease_Risk", "ERM"))
    assert read_known(rfmid=tmp_path) == {"validation/1 1.png": RFMID_DENIED | {"is_em": 1}}


def test_refuge(tmp_path: Path) -> None:
    assert read_known(refuge=source_folders.write_refuge(tmp_path)) == {
        "train/g0001 g0001.jpg": {"is_gc": 1},
        "train/n0001 n0001.jpg": {"is_gc": 0},
        "validation/v0001 V0001.jpg": {"is_gc": 0},
        "validation/v0002 V0002.jpg": {"is_gc": 1},
        "test/t0001 T0001.jpg": {"is_gc": 1},
    }


def test_airogs(tmp_path: Path) -> None:
    gradable = {"is_fundus": 1, "is_optic_disc_readable": 1}
    assert read_known(airogs=source_folders.write_airogs(tmp_path)) == {
        "train/train000000 TRAIN000000.jpg": {"is_gc": 0} | gradable,
        "train/train017000 TRAIN017000.jpg": {"is_gc": 1} | gradable,
    }


def test_hygd_names_its_patients(tmp_path: Path) -> None:
    assert read_known(hygd=source_folders.write_hygd(tmp_path)) == {
        "7 7_0.jpg": {"is_gc": 1},
        "7 7_1.jpg": {"is_gc": 1},
        "9 9_0.jpg": {"is_gc": 0},
    }


def test_palm(tmp_path: Path) -> None:
    healthy = {"is_pm": 0, "is_dm": 0}
    assert read_known(palm=source_folders.write_palm(tmp_path)) == {
        "train/h0001 H0001.jpg": healthy,
        "train/n0001 N0001.jpg": healthy,
        "train/p0001 P0001.jpg": {"is_pm": 1},
        "validation/v0001 V0001.jpg": healthy,
        "validation/v0002 V0002.jpg": {"is_pm": 1},
    }


def test_palm_is_read_from_a_copy_with_one_csv_file(tmp_path: Path) -> None:
    source_folders.write_pictures(tmp_path / "PALM-Validation400", ["V0001.jpg"])
    source_folders.write_text(
        tmp_path / "labels.csv", "ID,imgName,Label,Fovea_X,Fovea_Y", "1,V0001.jpg,1,1157.74,1019.87"
    )
    assert read_known(palm=tmp_path) == {"validation/v0001 V0001.jpg": {"is_pm": 1}}


def test_vietai_grades_no_retinopathy_and_counts_edema_only_beside_it(tmp_path: Path) -> None:
    absent = {"dr_grade": 0, "is_gc": 0, "is_dme": 0, "is_amd": 0, "is_rvo": 0}
    assert read_known(vietai=source_folders.write_vietai(tmp_path)) == {
        "train/c24a1b14d253 c24a1b14d253.jpg": absent | {"is_rvo": 1},
        "train/10ee8c8a72b4 10ee8c8a72b4.jpg": without(absent, "dr_grade") | {"is_dme": 1},
        "train/d7596283f399 d7596283f399.jpg": without(absent, "is_dme") | {"is_rvo": 1},
        "train/4ce6599e7b20 4ce6599e7b20.jpg": absent | {"is_gc": 1, "is_amd": 1},
        "train/da6a97be9db4 da6a97be9db4.jpg": HEALTHY,
    }


def test_drimdb_reads_quality_from_its_folders(tmp_path: Path) -> None:
    assert read_known(drimdb=source_folders.write_drimdb(tmp_path)) == {
        "good/drimdb_good (1) drimdb_good (1).jpg": {"is_fundus": 1} | READABLE,
        "bad/drimdb_bad (1) drimdb_bad (1).jpg": UNUSABLE,
        "outlier/drimdb_outlier (1) drimdb_outlier (1).jpg": UNUSABLE,
    }


def test_toxoplasmosis(tmp_path: Path) -> None:
    assert read_known(toxoplasmosis=source_folders.write_toxoplasmosis(tmp_path)) == {
        "all/1 1.jpg": {"is_crp": 0},
        "all/742 742.jpg": {"is_crp": 1},
        "all/(742) (742).jpg": {"is_crp": 1},
        "all/im0203re 2 IM0203RE 2.jpg": {"is_crp": 1},
        "all/od0287re OD0287RE.JPG": {"is_crp": 1} | RIGHT,
        "all/os0344re OS0344RE.JPG": {"is_crp": 0} | LEFT,
    }


def test_hrdc_reads_retinopathy_not_hypertension(tmp_path: Path) -> None:
    labelled = {"train/00000ce7 00000ce7.png": {"is_htr": 1}, "train/0003df4c 0003df4c.png": {"is_htr": 0}}
    root = source_folders.write_hrdc(tmp_path)
    assert read_known(hrdc=root) == labelled
    assert read_known(hrdc=root / "2-Hypertensive Retinopathy Classification") == labelled


def test_hrdc_without_its_table_has_photographs_without_labels(tmp_path: Path) -> None:
    source_folders.write_pictures(tmp_path / "Images", ["00000ce7.png"])
    assert read_known(hrdc=tmp_path) == {"unlabelled/00000ce7 00000ce7.png": {}}


def test_a_subset_of_eyepacs_with_all_quality_grades_is_read_when_unusable_ones_are_skipped(tmp_path: Path) -> None:
    eyepacs = source_folders.write_eyepacs(tmp_path / "eyepacs")
    eyeq = source_folders.write_eyeq(tmp_path / "eyeq")
    (eyepacs / "train" / "10_right.jpeg").unlink()
    harmonized = read_sources({"eyepacs": eyepacs, "eyeq": eyeq}, skip_unusable=True)
    assert [item.path.name for item in harmonized.photographs] == ["10_left.jpeg", "13_left.jpeg", "1_left.jpeg"]
    assert len(harmonized.left_out) == 2  # in trainLabels.csv and in Label_EyeQ_train.csv


def test_every_set_is_tested_here() -> None:
    writers = {name.removeprefix("write_") for name in dir(source_folders) if name.startswith("write_")}
    assert set(SOURCES) <= writers


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"odir", "rfmid", "eyeq"}))
def test_a_set_is_found_from_a_folder_above_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    # Names that occur in the sets' own layouts.
    inside = tmp_path / "train" / "images" / "test400"
    getattr(source_folders, f"write_{name}")(inside / "set")
    assert read_known(**{name: inside}) == read_known(**{name: inside / "set"})
