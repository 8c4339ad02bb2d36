from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from pipeline_synfundus.labels import CONDITION_NAMES, LABEL_NAMES
from tests.training import source_folders
from training.configuration.config import DataConfig
from training.data.prepared import prepare_data
from training.harmonize import read_sources
from training.sources.output import Harmonized, choose_split, write_dataset
from training.sources.record import Photograph, SourceError, conclude
from training.sources.report import build_report, format_table


def make_photograph(source: str, patient: str, **labels: int) -> Photograph:
    return Photograph(source, Path(f"/{source}/{patient}.jpg"), patient, conclude([labels]))


def read_hygd(root: Path) -> Harmonized:
    return read_sources({"hygd": source_folders.write_hygd(root)})


def test_datasets_loads_the_result_with_pictures_labels_patients_and_splits(tmp_path: Path) -> None:
    sets = {
        "hygd": source_folders.write_hygd(tmp_path / "h"),
        "deepdrid": source_folders.write_deepdrid(tmp_path / "d"),
    }
    report = write_dataset(read_sources(sets), tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: counts["photographs"] for split, counts in report["splits"].items()
    }
    rows = [row for split in loaded.values() for row in split]
    assert list(rows[0]) == ["image", *CONDITION_NAMES, "patient", "source", "split", "native_px"]
    assert all(row["image"].size == (8, 6) and row["native_px"] == 8 for row in rows)
    labels = {(row["patient"], row["image"].filename.rsplit("/")[-1]): row["is_gc"] for row in rows}
    assert labels["hygd/7", "7_0.jpg"] == 1
    assert labels["deepdrid/5", "5_l1.jpg"] == -1
    features = next(iter(loaded.values())).features
    assert features["dr_grade"].names[2] == "moderate NPDR"


def test_training_reads_the_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = write_dataset(read_hygd(tmp_path / "hygd"), out)
    split = "+".join(report["splits"])
    columns = {"group_column": "patient", "source_column": "source", "native_size_column": "native_px"}
    data = prepare_data(DataConfig(str(out), split=split, **columns), 16, tmp_path / "cache")
    assert sorted(data.codes[:, CONDITION_NAMES.index("is_gc")].tolist()) == [0, 1, 1]
    assert len(set(data.groups.tolist())) == 2
    assert set(data.sources.tolist()) == {"hygd"}
    assert set(data.native_sizes.tolist()) == {8}
    assert data.images.max() > 100


def test_the_photographs_are_not_copied(tmp_path: Path) -> None:
    write_dataset(read_hygd(tmp_path / "hygd"), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name for name in names if not name.endswith(".parquet")} == {"README.md", "report.json"}
    path = next((tmp_path / "out" / "data").glob("*.parquet"))
    cell = datasets.Dataset.from_parquet(str(path)).cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert cell["bytes"] is None
    assert Path(cell["path"]).is_absolute()


def test_with_a_copy_the_result_needs_the_sets_no_longer(tmp_path: Path) -> None:
    write_dataset(read_hygd(tmp_path / "hygd"), tmp_path / "out", copy=True)
    shutil.rmtree(tmp_path / "hygd")
    rows = [row for split in datasets.load_dataset(str(tmp_path / "out")).values() for row in split]
    assert [row["image"].size for row in rows] == [(8, 6)] * 3


def test_the_split_depends_on_set_and_patient_alone() -> None:
    eyes = [make_photograph("odir", str(number)) for number in range(4000)]
    splits = [choose_split(eye) for eye in eyes]
    assert splits == [choose_split(replace(eye, path=Path("elsewhere.png"), eye_side=1)) for eye in eyes]
    assert splits != [choose_split(replace(eye, source="hygd")) for eye in eyes]
    shares = [splits.count(split) / len(splits) for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.85, 0.05, 0.10], abs=0.02)
    # Written down, so that a change of the rule, which would mix training and test patients, does not go unnoticed.
    assert splits[:20] == FIRST_SPLITS


FIRST_SPLITS = ["train"] * 20
FIRST_SPLITS[0] = FIRST_SPLITS[10] = FIRST_SPLITS[12] = "test"
FIRST_SPLITS[4] = FIRST_SPLITS[14] = "validation"


def test_the_report_counts_every_value_of_every_label() -> None:
    train = [make_photograph("a", "1", dr_grade=3, is_gc=0), make_photograph("a", "1", dr_grade=1)]
    test = [make_photograph("b", "1", is_gc=1)]
    report = build_report({"train": train, "validation": [], "test": test}, ["b: gone"])
    assert report["splits"] == {"train": {"photographs": 2, "patients": 1}, "test": {"photographs": 1, "patients": 1}}
    assert report["sources"] == {"a": {"photographs": 2, "patients": 1}, "b": {"photographs": 1, "patients": 1}}
    assert report["labels"]["dr_grade"] == {"0": 0, "1": 1, "2": 0, "3": 1, "4": 0, "-1": 1}
    assert report["labels"]["is_gc"] == {"0": 1, "1": 1, "-1": 1}
    assert set(report["labels"]) == {*LABEL_NAMES, "eye_side"}
    lines = {line.split()[0]: line.split()[1:] for line in format_table(report).splitlines() if line}
    assert lines["dr_grade"][:3] == ["2", "0", "1"]
    assert lines["is_gc"] == ["1", "1", "1"]
    assert lines["left"] == ["out:", "1,", "the", "first:", "b:", "gone"]


def run_command(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "training.harmonize", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_the_command_prints_the_report_and_leaves_it_as_json(warm_python: Path, tmp_path: Path) -> None:
    source_folders.write_hygd(tmp_path / "hygd")
    source_folders.write_palm(tmp_path / "palm")
    out = tmp_path / "new" / "out"
    sets = [f"--set=hygd={tmp_path / 'hygd'}", f"--set=palm={tmp_path / 'palm'}"]
    done = run_command(warm_python, *sets, f"--out={out}")
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["labels"]["is_pm"] == {"0": 3, "1": 2, "-1": 3}
    assert format_table(report) in done.stdout
    assert "checking photographs" in done.stderr
    readme = (out / "README.md").read_text()
    assert "- HYGD, Hillel Yaffe" in readme
    assert "- PALM, iChallenge-PM" in readme


def test_the_command_refuses_in_one_line(warm_python: Path, tmp_path: Path) -> None:
    done = run_command(warm_python, "--set", f"hygd={tmp_path / 'nowhere'}", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: hygd: {tmp_path / 'nowhere'} is not a folder; give the one with Labels.csv")
    assert done.stderr.count("\n") == 1


def test_a_second_run_replaces_the_result_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_dataset(read_hygd(tmp_path / "hygd"), out)
    write_dataset(read_sources({"palm": source_folders.write_palm(tmp_path / "palm")}), out)
    assert list(json.loads((out / "report.json").read_text())["sources"]) == ["palm"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hygd", "out", "palm"]


def test_datasets_never_gives_back_the_rows_of_another_result_of_the_same_name(tmp_path: Path) -> None:
    def count_rows(out: Path) -> int:
        return sum(len(rows) for rows in datasets.load_dataset(str(out)).values())

    hygd, palm = read_hygd(tmp_path / "hygd"), read_sources({"palm": source_folders.write_palm(tmp_path / "palm")})
    first, second = tmp_path / "one" / "out", tmp_path / "two" / "out"
    write_dataset(hygd, first)
    write_dataset(palm, second)
    assert (count_rows(first), count_rows(second)) == (3, 5)
    write_dataset(palm, first)
    assert count_rows(first) == 5


def test_what_a_killed_run_left_behind_does_no_harm(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left_behind = tmp_path / ".out.tmp" / "data" / "train.parquet"
    source_folders.write_text(left_behind, "half of a fi")
    harmonized = read_hygd(tmp_path / "hygd")
    write_dataset(harmonized, out)
    assert sum(len(rows) for rows in datasets.load_dataset(str(out)).values()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hygd", "out"]


def test_another_folder_is_not_overwritten(tmp_path: Path) -> None:
    harmonized = read_hygd(tmp_path / "hygd")
    with pytest.raises(SourceError, match=r"--out .*hygd already exists and was not created by this command"):
        write_dataset(harmonized, tmp_path / "hygd")
    assert (tmp_path / "hygd" / "Labels.csv").is_file()


def test_a_failed_run_leaves_the_earlier_result_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    harmonized = read_hygd(tmp_path / "hygd")
    write_dataset(harmonized, out)
    before = (out / "report.json").read_text()

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.sources.output.json.dumps", fail)  # after the Parquet files, before the report
    with pytest.raises(KeyboardInterrupt):
        write_dataset(replace(harmonized, photographs=harmonized.photographs[:1]), out)
    assert (out / "report.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hygd", "out"]
