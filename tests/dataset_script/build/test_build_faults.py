import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from light_build import SHARD_ROWS, SHARDS, make_source, record, single_split_plan

from dataset_script.build.folder import BuildFolder, open_build
from dataset_script.build.shards import build_missing_shards
from dataset_script.plan.condition_plan import load_plan
from synfundus.files import locked

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("light_build.py")


def start(
    python: Path | str, out: Path, workers: int = 1, pause: float = 0.0, killed: Path | str = "", **options
) -> subprocess.Popen:
    command = [python, str(SCRIPT), str(out), str(workers), str(pause), str(killed)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)


def parquet(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def hidden(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".build").iterdir()}


def begin(folder: Path) -> BuildFolder:
    return open_build(folder, record(load_plan().hash))


def build_here(folder: Path) -> None:
    build_missing_shards(begin(folder), single_split_plan(), make_source(0.0, None, "cpu"), 4)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    """The result of an undisturbed build."""
    folder = tmp_path_factory.mktemp("unbroken") / "dataset"
    build_here(folder)
    return folder


def assert_same(folder: Path, unbroken: Path) -> None:
    """The same shards byte for byte, the same manifests, and no lock or partial file."""
    assert parquet(folder) == parquet(unbroken)
    assert len(parquet(folder)) == 3 * SHARDS
    assert hidden(folder) == hidden(unbroken)
    assert {path.name for path in (folder / "data").iterdir()} == {path.name for path in (unbroken / "data").iterdir()}
    for name in hidden(folder):
        assert (folder / ".build" / name).read_text() == (unbroken / ".build" / name).read_text()


def test_a_build_killed_repeatedly_completes_the_same_dataset(warm_python, tmp_path, unbroken):
    """The build is killed at a random moment after each complete shard."""
    out, chance = tmp_path / "dataset", random.Random(0)
    kills = 0
    while True:
        complete = len(list((out / ".build").glob("train-*.json"))) if out.exists() else 0
        process = start(warm_python, out, pause=0.05)
        while process.poll() is None and len(list((out / ".build").glob("train-*.json"))) <= complete:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        if process.poll() is not None:
            break
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        kills += 1
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert kills >= 4
    assert_same(out, unbroken)


def test_two_builds_at_once_make_one_dataset(warm_python, tmp_path, unbroken):
    out = tmp_path / "dataset"
    processes = [start(warm_python, out, pause=0.05) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    assert_same(out, unbroken)


def test_when_a_worker_is_killed_the_others_make_its_shard(warm_python, tmp_path, unbroken):
    out, killed = tmp_path / "dataset", tmp_path / "killed"
    process = start(warm_python, out, workers=2, pause=0.02, killed=killed)
    assert process.communicate(timeout=90)[1] == ""
    assert process.returncode == 0
    assert killed.exists()
    assert_same(out, unbroken)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    out = tmp_path / "dataset"
    process = start(sys.executable, out, workers=2, pause=0.4)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not list the children of a process")
    end = time.monotonic() + 60
    while not list(out.glob("data/.*.tmp")) and time.monotonic() < end:
        time.sleep(0.01)
    workers = [Path(f"/proc/{child}") for child in children.read_text().split()]
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    while any(map(running, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(running, workers))


def running(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, unbroken):
    """A limit on the file size stops the writer as a full disk would."""
    out = tmp_path / "dataset"
    whole = (unbroken / "data" / "train-00000.parquet").stat().st_size

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole // 2, whole // 2))

    process = start(sys.executable, out, preexec_fn=limit)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "File too large" in errors
    assert "Traceback" not in errors
    assert parquet(out) == {}
    assert hidden(out) == {"build.json"}
    assert list((out / "data").iterdir()) == []
    build_here(out)
    assert_same(out, unbroken)


def test_a_truncated_shard_is_built_again(tmp_path, unbroken):
    out = tmp_path / "dataset"
    build_here(out)
    cut = out / "data" / "train-00003.parquet"
    with open(cut, "r+b") as file:
        file.truncate(1000)
    assert begin(out).missing_shards() == [begin(out).record.shards[3]]
    build_here(out)
    assert_same(out, unbroken)


def test_the_lock_file_of_a_dead_process_does_not_block(tmp_path, unbroken):
    out = tmp_path / "dataset"
    begin(out)
    for name in ("build.lock", "train-00000.lock", "train-00005.lock"):
        (out / ".build" / name).write_text("4194304")
    build_here(out)
    with begin(out).locked_folder() as mine:
        assert mine
    assert_same(out, unbroken)


def test_a_build_waits_for_a_shard_that_another_process_builds(tmp_path):
    folder = begin(tmp_path / "dataset")
    third = folder.record.shards[2]
    build = threading.Thread(target=build_here, args=(folder.path,), daemon=True)
    with folder.locked_shard(third) as mine:
        assert mine
        build.start()
        end = time.monotonic() + 60
        while folder.missing_shards() != [third] and time.monotonic() < end:
            time.sleep(0.01)
        build.join(timeout=0.3)
        assert build.is_alive()
        assert folder.missing_shards() == [third]
    build.join(timeout=60)
    assert folder.missing_shards() == []


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    path, inside, most = tmp_path / "new" / "lock", 0, 0

    def hold() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0002)
                inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not path.exists()


def test_a_lock_held_elsewhere_is_awaited_only_on_request(tmp_path):
    with locked(tmp_path / "lock"):
        with locked(tmp_path / "lock", wait=False) as mine:
            assert not mine
        assert (tmp_path / "lock").exists()


def test_the_manifest_describes_the_files(unbroken):
    folder = begin(unbroken)
    for shard in folder.record.shards:
        manifest = folder.read_manifest(shard)
        assert (manifest["first_row"], manifest["rows"]) == (shard.number * SHARD_ROWS, SHARD_ROWS)
        for config, described in manifest["files"].items():
            assert described["rows"] == SHARD_ROWS
            table = pq.read_table(folder.file(config, shard))
            assert described["arrow_bytes"] == pytest.approx(table.nbytes, rel=0.05)
    assert json.loads((unbroken / ".build" / "build.json").read_text())["image_format"] == "png"
