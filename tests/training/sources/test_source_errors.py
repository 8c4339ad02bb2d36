from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.training import source_folders
from training.harmonize import parse_sets, read_sources
from training.sources.record import SourceError


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["odir"], "--set is 'odir', but must be like odir=path"),
        (["odir="], "--set is 'odir=', but must be like"),
        (["odir=a", "odir=b"], "--set odir is given twice: a and b"),
    ],
)
def test_a_wrong_set_argument_is_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_sets(assignments)


def test_an_unknown_set_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="unknown set 'kaggle'; allowed are odir, rfmid, idrid"):
        read_sources({"kaggle": tmp_path})


def test_eyeq_needs_eyepacs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="eyeq labels the photographs of eyepacs; give --set eyepacs="):
        read_sources({"eyeq": source_folders.write_eyeq(tmp_path)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["Image Name,Patient,Labels", "7_0.jpg,7,GON+"], "Labels.csv has no column 'Label'; found are 'Image Name'"),
        (["Image Name,Patient,Label"], "Labels.csv has no rows"),
        (
            ["Image Name,Patient,Label", "7_0.jpg,7,GON+", "7_1.jpg,7,maybe"],
            r"Labels.csv, row 3, column 'Label': found 'maybe'; allowed are 'GON\+', 'GON-'",
        ),
        (["Image Name,Patient,Label", "7_0.jpg,,GON+"], "row 2, column 'Patient': is empty; a patient is needed"),
        (["Image Name,Patient,Label", ",7,GON+"], "row 2, column 'Image Name': the name '' is empty"),
        (
            ["Image Name,Patient,Label", "7_0.jpg,7,GON+", "7_0.JPG,7,GON-"],
            "row 3, column 'Image Name': the name '7_0' is listed twice",
        ),
        (["Image Name,Patient,Label", '"7_0.jpg,7,GON+'], "Labels.csv cannot be read as a table"),
    ],
)
def test_a_malformed_table_names_set_file_row_and_column(tmp_path: Path, content: list[str], message: str) -> None:
    root = source_folders.write_hygd(tmp_path)
    source_folders.write_text(root / "Labels.csv", *content)
    with pytest.raises(SourceError, match=f"^hygd: .*{message}"):
        read_sources({"hygd": root})


def test_a_broken_workbook_is_named(tmp_path: Path) -> None:
    root = source_folders.write_palm(tmp_path)
    table = root / "PALM-Validation-GT" / "PM_Label_and_Fovea_Location.xlsx"
    table.write_bytes(b"no archive")
    with pytest.raises(SourceError, match=r"^palm: .*Location.xlsx cannot be read as a table"):
        read_sources({"palm": root})


def test_an_unknown_keyword_is_refused_not_read_as_healthy(tmp_path: Path) -> None:
    root = source_folders.write_odir(tmp_path, [("normal fundus", "macular star")])
    with pytest.raises(SourceError, match="row 2, column 'Right-Diagnostic Keywords': found 'macular star'; allowed"):
        read_sources({"odir": root})


def test_photographs_without_their_table_are_an_error(tmp_path: Path) -> None:
    root = source_folders.write_palm(tmp_path)
    (root / "PALM-Validation-GT" / "PM_Label_and_Fovea_Location.xlsx").unlink()
    with pytest.raises(SourceError, match=r"palm: no pm_label_and_fovea_location.xlsx under .*; expected are PALM-Tr"):
        read_sources({"palm": root})


def test_an_empty_folder_is_an_error_that_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"aptos: no labelled photograph under .*; expected are train.csv and train_"):
        read_sources({"aptos": tmp_path})


def test_two_tables_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path)
    source_folders.write_text(root / "copy" / "Labels.csv", "Image Name,Patient,Label")
    with pytest.raises(SourceError, match=r"hygd: .*Labels.csv and .*Labels.csv both exist; keep one of them"):
        read_sources({"hygd": root})


def test_a_missing_photograph_is_an_error_or_left_out_and_reported(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path / "hygd")
    (root / "Images" / "7_1.jpg").unlink()
    message = r"1 of 3 photographs cannot be used:\n  hygd: .*row 3: there is no photograph '7_1.jpg'\ncomplete or repl"
    with pytest.raises(SourceError, match=message):
        read_sources({"hygd": root})
    harmonized = read_sources({"hygd": root}, skip_unusable=True)
    assert [photograph.path.name for photograph in harmonized.photographs] == ["7_0.jpg", "9_0.jpg"]
    assert len(harmonized.left_out) == 1


def test_unusable_photographs_are_one_error_that_lists_all_or_left_out_and_reported(tmp_path: Path) -> None:
    hygd, airogs = source_folders.write_hygd(tmp_path / "hygd"), source_folders.write_airogs(tmp_path / "airogs")
    (hygd / "Images" / "9_0.jpg").write_bytes(b"")
    whole = (hygd / "Images" / "7_1.jpg").read_bytes()
    (hygd / "Images" / "7_1.jpg").write_bytes(whole[:-20])  # the header is sound
    (airogs / "1" / "TRAIN017000.jpg").unlink()
    (airogs / "1" / "TRAIN017000.jpg").symlink_to("nowhere.jpg")
    roots = {"hygd": hygd, "airogs": airogs}
    with pytest.raises(SourceError, match="3 of 5 photographs cannot be used:\n") as caught:
        read_sources(roots)
    for name in ("9_0.jpg", "7_1.jpg", "TRAIN017000.jpg"):
        assert f"{name} cannot be read as a photograph: " in str(caught.value)
    harmonized = read_sources(roots, skip_unusable=True)
    assert [photograph.path.name for photograph in harmonized.photographs] == ["TRAIN000000.jpg", "7_0.jpg"]
    assert len(harmonized.left_out) == 3


def test_symbolic_links_that_form_a_loop_are_followed_once(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path / "hygd")
    (root / "Images" / "back").symlink_to(root)
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "a" / "to b").symlink_to(root / "b")
    (root / "b" / "to a").symlink_to(root / "a")
    assert len(read_sources({"hygd": root}).photographs) == 3


def test_a_set_behind_a_symbolic_link_is_read(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path / "elsewhere" / "hygd")
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "hygd").symlink_to(root)
    assert len(read_sources({"hygd": tmp_path / "downloads"}).photographs) == 3


def test_hidden_copies_of_macos_are_passed_over(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path / "hygd")
    source_folders.write_text(root / "__MACOSX" / "Labels.csv", "nothing")
    (root / "Images" / "._7_0.jpg").write_bytes(b"nothing")
    assert len(read_sources({"hygd": root}).photographs) == 3


def test_two_photographs_of_one_name_are_an_error(tmp_path: Path) -> None:
    root = source_folders.write_hygd(tmp_path / "hygd")
    Image.new("RGB", (4, 4)).save(root / "Images" / "7_0.png")
    with pytest.raises(SourceError, match=r"7_0.jpg and .*7_0.png have the same name; keep one of them"):
        read_sources({"hygd": root})
