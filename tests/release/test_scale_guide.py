"""The guide to a million rows: its arithmetic, and that the script writes it."""

import json
import re
from collections.abc import Callable

import pytest
from publishing import ROOT

from benchmarks.scale_guide import main, plan_upload
from benchmarks.scale_rates import measure_encoding, measure_labels, read_pictures
from dataset_script import generate
from dataset_script.build.image_format import FORMATS
from release import push
from release.hub.upload import BYTES_A_COMMIT, FILES_A_COMMIT

TITLES = ("PNG", "lossless WebP", "JPEG")
RATES = {
    "machine": "one GPU",
    "preset": "large-512",
    "resolution": 512,
    "dtype": "bfloat16",
    "generator": {
        "num_inference_steps": 12,
        "guidance_scale": 2.0,
        "images_per_second_by_batch": {"16": 50.0, "64": 100.0},
        "images_per_second": 100.0,
    },
    "files": {name: {"bytes_per_image": 200_000, "images_per_second_and_core": 50} for name in TITLES},
    "bytes_per_label_row": 12.0,
    "sha256_bytes_per_second": 1e9,
    "pictures": "64 pictures",
}


@pytest.fixture
def guide(tmp_path) -> str:
    (tmp_path / "rates.json").write_text(json.dumps(RATES))
    main([str(tmp_path / "rates.json"), "--out", str(tmp_path / "scale.md"), "--price", "3"])
    return (tmp_path / "scale.md").read_text()


def test_a_million_rows_stay_within_the_hubs_limits() -> None:
    upload = plan_upload(1_000_000, 200_000, 12)
    assert (upload.bytes // 10**9, upload.entries, upload.files) == (200, 384, 772)
    assert 500_000_000 <= upload.largest < 550_000_000
    assert upload.files_a_commit <= FILES_A_COMMIT < 100
    assert upload.commits >= upload.bytes / BYTES_A_COMMIT
    assert upload.commits < 12


def test_devices_add_up(guide: str) -> None:
    for devices, time in ((1, "2.8 h"), (8, "21 min"), (64, "3 min")):
        assert f"| one GPU | {devices} | {time} | 2.8 h | 8 |" in guide


def test_the_cores_that_keep_up_are_named(guide: str) -> None:
    assert "| one GPU | 2.00 | 2.00 | 2.00 |" in guide


def test_the_time_of_an_upload_follows_from_the_bandwidth(guide: str) -> None:
    assert "| PNG | 4.4 h | 27 min |" in guide


def test_nothing_is_left_to_fill_in(guide: str) -> None:
    assert not re.search(r"\$\{?[a-z]", guide)
    assert "No GPU has been measured yet" not in guide


@pytest.mark.parametrize(
    ("module", "parse"), [("release.push", push._parse), ("dataset_script.generate", generate._parse)]
)
def test_the_commands_of_the_guide_are_understood(guide: str, module: str, parse: Callable) -> None:
    commands = re.findall(rf"^python -m {re.escape(module)} ([^#\n]*)", guide.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        parse(command.split())  # exits for what it does not understand


def test_encoding_and_labels_are_measured(dataset_dir) -> None:
    pictures = read_pictures(str(dataset_dir), 32, 4)
    sizes = [measure_encoding(pictures, name)["bytes_per_image"] for name in FORMATS]
    assert all(100 < size < 10_000 for size in sizes)
    assert 1 < measure_labels() < 100


def test_the_guide_in_the_repository_is_the_one_that_the_script_writes(tmp_path) -> None:
    rates = sorted(map(str, (ROOT / "benchmarks" / "results").glob("scale-*.json")))
    main([*rates, "--out", str(tmp_path / "scale.md")])
    assert (tmp_path / "scale.md").read_text() == (ROOT / "docs" / "scale.md").read_text()
