import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generator.model import StartError
from generator.sampling import build_sampler
from PIL import Image
from tabs.quiz_rounds import POOR_STEPS, chance_of, find_photographs, make_round


def open_png(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_a_photograph_is_asked_about_at_the_models_size_and_not_called_synthetic(model: Any, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (180, 60, 20)).save(tmp_path / "eye.jpg", quality=95)
    question = make_round(model, build_sampler(model), [tmp_path / "eye.jpg"], random.Random(1))
    photograph, generated = (open_png(question.pictures[place]) for place in (question.answer, 1 - question.answer))
    assert photograph.size == generated.size == (16, 16)
    assert "SynFundus-Synthetic" not in photograph.text
    assert generated.text["SynFundus-Synthetic"] == "true"
    assert np.abs(np.asarray(photograph, dtype=int) - (180, 60, 20)).max() < 12
    assert "generated" in question.truth


def test_without_photographs_both_are_synthetic_and_one_had_too_few_steps(model: Any) -> None:
    question = make_round(model, build_sampler(model), [], random.Random(2))
    assert all(open_png(data).text["SynFundus-Synthetic"] == "true" for data in question.pictures)
    assert question.truth == f"It was denoised in 12 steps, the other in {POOR_STEPS}. Both are synthetic."


def test_the_answer_is_on_either_side(model: Any, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "eye.png")
    rng, sample = random.Random(0), build_sampler(model)
    assert {make_round(model, sample, [tmp_path / "eye.png"], rng).answer for _ in range(4)} == {0, 1}


def test_the_chance_of_guessing_as_well() -> None:
    assert chance_of(0, 6) == 1
    assert chance_of(6, 6) == 1 / 64
    assert chance_of(5, 6) == 7 / 64


def test_photographs_are_found_in_the_folder_that_the_setting_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNFUNDUS_REAL_IMAGES", raising=False)
    assert find_photographs() == []
    monkeypatch.setenv("SYNFUNDUS_REAL_IMAGES", str(tmp_path))
    with pytest.raises(StartError, match=r"SYNFUNDUS_REAL_IMAGES is .* must be a folder that holds images"):
        find_photographs()
    (tmp_path / "notes.txt").write_text("no image")
    Image.new("RGB", (4, 4)).save(tmp_path / "eye.PNG")
    assert find_photographs() == [tmp_path / "eye.PNG"]
