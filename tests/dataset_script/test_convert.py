import shutil
import signal
import subprocess
import time
from pathlib import Path

import datasets
import pytest
from small_release import ROWS, check_rows, labels, png, write_annotation, write_release

from dataset_script import convert
from dataset_script.convert import main
from pipeline_synfundus.labels import CONDITION_NAMES

ROOT = Path(__file__).parents[2]


def parquet(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_the_command_creates_a_folder_that_loads_by_its_name(release, warm_python, tmp_path, monkeypatch):
    out = tmp_path / "synfundus-1m"
    done = subprocess.run(
        [warm_python, "-m", "dataset_script.convert", release, "--out", out, "--shard-rows", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "complete: 5 rows in 3 shards." in done.stdout
    monkeypatch.chdir(tmp_path)
    for streaming in (False, True):
        check_rows(datasets.load_dataset("synfundus-1m", split="train", streaming=streaming))
    assert list(datasets.load_dataset("synfundus-1m", "labels", split="train")) == ROWS
    card = (out / "README.md").read_text()
    assert "There is no photograph in this dataset" in card
    assert "identical to the published ones, byte for byte" in " ".join(card.split())
    assert "$" not in card


def test_a_complete_conversion_is_left_alone(release, tmp_path, capsys):
    command = [str(release), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert main(command) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.002)


def test_after_an_interrupt_a_kill_and_unpacked_zips_the_command_completes_the_same_dataset(warm_python, tmp_path):
    release, count = tmp_path / "release", 40
    write_release(release, ["00.zip"] * count)
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    options = ["--shard-rows", "1"]
    command = [warm_python, "-m", "dataset_script.convert", str(release), "--out", str(broken), *options]
    for shard, stop in ((0, signal.SIGINT), (2, signal.SIGKILL)):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_for(broken / ".build" / f"train-0000{shard}.json", process)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        if stop == signal.SIGINT:
            assert process.returncode == 130
            assert "Interrupted. Run the same command again to continue" in errors
            assert "Traceback" not in errors
        else:
            assert process.returncode == -signal.SIGKILL
    written = {path: path.stat().st_mtime_ns for path in (broken / ".build").glob("train-*.json")}
    assert 3 <= len(written) < count
    assert not (broken / "README.md").exists()
    shutil.unpack_archive(release / "00.zip", release / "00")
    (release / "00.zip").unlink()
    for folder in (broken, unbroken):
        assert main([str(release), "--out", str(folder), *options]) == 0
    assert parquet(broken) == parquet(unbroken)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_release_with_problems_is_refused_and_all_are_listed_in_a_file(release, tmp_path, capsys):
    out = tmp_path / "out"
    write_annotation(release, [*ROWS, *({"idx": idx, **labels(idx)} for idx in range(100, 120))])
    message = refused(capsys, release, "--out", out)
    assert "20 missing files" in message
    assert "and 15 more" in message
    assert "All problems are listed in" in message
    listed = (tmp_path / "out.problems.txt").read_text()
    assert all(f"line {idx - 93}: {idx}.png\n" in listed for idx in range(100, 120))
    assert not out.exists()


def test_rows_with_problems_are_omitted_on_request(release, tmp_path, capsys):
    (release / "02" / "3.png").unlink()
    assert main([str(release), "--out", str(tmp_path / "out"), "--skip-problems"]) == 0
    assert "1 missing files" in capsys.readouterr().err
    assert datasets.load_dataset(str(tmp_path / "out"), "labels", split="train")["idx"][:] == [0, 1, 2, 4]
    assert "3.png" in (tmp_path / "out.problems.txt").read_text()


def test_a_release_without_a_usable_row_creates_nothing(tmp_path, capsys):
    write_annotation(tmp_path / "release", ROWS)
    assert "5 missing files" in refused(capsys, tmp_path / "release", "--out", tmp_path / "out", "--skip-problems")
    assert not (tmp_path / "out").exists()


def test_a_bad_image_blocks_only_its_shard_and_can_be_replaced(release, tmp_path, capsys):
    out = tmp_path / "out"
    command = [str(release), "--out", str(out), "--shard-rows", "2"]
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx)[:-30])
    message = refused(capsys, *command)
    assert "2 bad images" in message
    assert "02/3.png (idx 3) is truncated" in message
    assert "02/4.png (idx 4) is truncated" in message
    assert set(parquet(out)) == {f"{folder}/train-00000.parquet" for folder in ("data", "labels", "index")}
    assert not (out / "README.md").exists()
    for idx in (3, 4):
        (release / "02" / f"{idx}.png").write_bytes(png(idx))
    assert main(command) == 0
    check_rows(datasets.load_dataset(str(out), split="train"))


@pytest.mark.parametrize(
    ("change", "said"),
    [(["--shard-rows", "3"], "shard_rows was 1000, now it is 3"), ([], "rows_sha256 was")],
)
def test_another_conversion_is_refused_in_a_begun_folder(release, tmp_path, capsys, change, said):
    out = tmp_path / "out"
    assert main([str(release), "--out", str(out)]) == 0
    before = parquet(out)
    if not change:
        write_annotation(release, [{**row, "is_gc": 1} for row in ROWS])
    assert said in refused(capsys, release, "--out", out, *change)
    assert parquet(out) == before


def test_a_wrong_number_and_a_folder_with_something_else_are_refused(release, tmp_path, capsys):
    assert "--shard-rows is 0" in refused(capsys, release, "--out", tmp_path / "out", "--shard-rows", 0)
    assert not (tmp_path / "out").exists()
    assert "holds no build" in refused(capsys, release, "--out", release)


def test_two_conversions_at_once_make_one_dataset(warm_python, tmp_path):
    write_release(tmp_path / "release", ["00.zip"] * 24)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    command = [warm_python, "-m", "dataset_script.convert", str(tmp_path / "release"), "--shard-rows", "2"]
    processes = [subprocess.Popen([*command, "--out", str(shared)], cwd=ROOT) for _ in range(2)]
    assert main([*command[3:], "--out", str(alone)]) == 0
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert parquet(shared) == parquet(alone)
    assert len(parquet(shared)) == 36


def test_a_disk_that_is_too_small_is_detected_first(release, tmp_path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda path: usage)
    assert "GB more, but its disk has 0.0 GB free" in refused(capsys, release, "--out", tmp_path / "out")
    assert not parquet(tmp_path / "out")


def test_the_command_and_the_card_count_the_unknown_labels(release, tmp_path, capsys):
    assert main([str(release), "--out", str(tmp_path / "out")]) == 0
    counts = {name: sum(row[name] == -1 for row in ROWS) for name in CONDITION_NAMES}
    said = "Unknown (-1) in " + ", ".join(f"{name}: {count} rows" for name, count in counts.items() if count) + "."
    assert "is_amd: 1 rows" in said
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "out" / "README.md").read_text()
    known = [{name: max(value, 0) for name, value in row.items()} for row in ROWS]
    write_annotation(release, known)
    assert main([str(release), "--out", str(tmp_path / "known")]) == 0
    assert "No label is unknown." in capsys.readouterr().out
