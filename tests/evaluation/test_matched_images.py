from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data.photographs import load_photographs
from evaluation.matched_images import choose_labels, main
from pipeline_synfundus.labels import CONDITION_NAMES, complete_condition
from tests.image_folder import write_image_folder
from tests.phantom import draw_phantom


@pytest.fixture()
def photographs(tmp_path: Path) -> Path:
    images = [Image.new("RGB", (64, 64), (90, 40, 20)) for _ in range(6)]
    images[3] = Image.fromarray(draw_phantom(complete_condition({}), 64, np.random.default_rng(3)))
    labels = {
        "patient": [f"p{number}" for number in range(6)],
        "is_amd": [0, 1, 0, 1, 0, 1],
        "dr_grade": [0, 1, 2, 3, None, 0],
    }
    (tmp_path / "splits.csv").write_text(
        "patient,part\n" + "".join(f"p{n},{'test' if n >= 3 else 'training'}\n" for n in range(6))
    )
    return write_image_folder(tmp_path / "photographs", images, labels)


def arguments(photographs: Path, model: Path, out: Path, count: int) -> list[str]:
    splits = str(photographs.parent / "splits.csv")
    common = ["--model", str(model), "--real", str(photographs), "--splits", splits]
    return [*common, "--size", "32", "--num-images", str(count), "--out", str(out)]


def test_images_have_the_labels_of_the_test_photographs(
    photographs: Path, tiny_pipeline_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "matched"
    main(arguments(photographs, tiny_pipeline_dir, out, 6))
    made = load_photographs(str(out), 8, tmp_path / "cache")
    asked = zip(made.label("is_amd").tolist(), made.label("dr_grade").tolist(), strict=True)
    assert sorted(asked) == sorted([(1, 3), (0, -1), (1, 0)] * 2)
    assert (made.label("is_gc") == -1).all()
    assert (made.label("is_macular_readable") == np.where(made.label("dr_grade") == 3, 1, -1)).all()
    first = (out / "000000.png").read_bytes()
    (out / "000003.png").unlink()
    (out / "000000.png").write_bytes(first)
    written = (out / "000000.png").stat().st_mtime_ns
    main(arguments(photographs, tiny_pipeline_dir, out, 6))
    assert (out / "000003.png").exists()
    assert (out / "000000.png").stat().st_mtime_ns == written
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(arguments(photographs, tiny_pipeline_dir, out, 7))
    assert "holds images of another model, other labels or another number" in capsys.readouterr().out


def test_a_folder_with_other_files_is_refused(
    photographs: Path, tiny_pipeline_dir: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments(photographs, tiny_pipeline_dir, photographs, 6))
    assert "is not empty and holds no matched.json" in capsys.readouterr().out


def test_every_photograph_is_used_before_one_is_used_again() -> None:
    codes = np.arange(5)[:, None].repeat(len(CONDITION_NAMES), axis=1)
    chosen = choose_labels(codes, 12)[:, 0]
    assert sorted(chosen[:5].tolist()) == sorted(chosen[5:10].tolist()) == [0, 1, 2, 3, 4]
