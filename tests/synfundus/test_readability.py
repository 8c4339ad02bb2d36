from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pipeline_synfundus.labels import CONDITION_NAMES, READABILITY, complete_condition, to_codes
from synfundus.readability import FUNDUS, degrade, find_anatomy, is_clear
from tests.phantom import draw_phantom
from training.data.examples import make_examples
from training.data.prepared import PreparedData

SIZE = 128
READABLE = slice(FUNDUS, FUNDUS + len(READABILITY))


def healthy(seed: int, eye_side: int) -> tuple[np.ndarray, np.ndarray]:
    condition = complete_condition({"eye_side": eye_side})
    return draw_phantom(condition, SIZE, np.random.default_rng(seed)), np.array(to_codes(condition), dtype=np.int8)


@pytest.mark.parametrize(("eye_side", "right_half"), [(0, True), (1, False)])
def test_the_disc_is_found_on_its_side_and_the_macula_towards_the_middle(eye_side: int, right_half: bool) -> None:
    for seed in range(5):
        image, _ = healthy(seed, eye_side)
        anatomy = find_anatomy(image)
        assert anatomy is not None
        assert (anatomy.disc[1] > SIZE / 2) == right_half
        assert abs(anatomy.macula[1] - SIZE / 2) < abs(anatomy.disc[1] - SIZE / 2)


def test_sharp_and_well_exposed_photographs_are_clear() -> None:
    image, _ = healthy(0, 0)
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(6)))
    assert is_clear(image)
    assert not is_clear(blurred)
    assert not is_clear((image * 0.1).astype(np.uint8))
    assert not is_clear(np.zeros_like(image))


def test_what_is_spoiled_is_labelled_and_the_surround_stays_black() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for seed in range(60):
        image, codes = healthy(seed, seed % 2)
        result = degrade(image, codes, rng)
        assert result is not None
        spoiled, labels = result
        readable = tuple(labels[READABLE].tolist())
        seen.add(readable)
        assert 0 in readable
        assert np.abs(spoiled.astype(int) - image).max() > 20
        assert (spoiled[0, 0] == image[0, 0]).all()
        assert labels[CONDITION_NAMES.index("eye_side")] == codes[-1] or -1
        if readable[1:] == (0, 0, 0):
            assert (labels[:FUNDUS] == -1).all()
        else:
            assert (labels[:FUNDUS] == codes[:FUNDUS]).all()
    assert seen == {(1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (1, 0, 0, 0), (0, 0, 0, 0)}


def test_a_region_is_spoiled_and_the_others_are_not() -> None:
    rng = np.random.default_rng(1)
    for seed in range(40):
        image, codes = healthy(seed, 0)
        anatomy = find_anatomy(image, 0)
        spoiled, labels = degrade(image, codes, rng)
        if tuple(labels[READABLE].tolist()) == (1, 0, 1, 1):
            change = np.abs(spoiled.astype(int) - image).mean(axis=2)
            (row, column), (disc_row, disc_column) = (map(int, place) for place in (anatomy.macula, anatomy.disc))
            at_macula = change[row - 3 : row + 4, column - 3 : column + 4].mean()
            at_disc = change[disc_row - 3 : disc_row + 4, disc_column - 3 : disc_column + 4].mean()
            assert at_macula > 5 * at_disc


def test_the_share_of_spoiled_copies_and_the_sources_own_labels(tmp_path: Path) -> None:
    pairs = [healthy(seed, 0) for seed in range(20)]
    images = np.stack([image for image, _ in pairs])
    codes = np.stack([code for _, code in pairs])
    codes[:, READABLE] = -1
    codes[0, READABLE] = (1, 0, 1, 1)
    data = PreparedData(images, codes, np.arange(20).astype(str), np.full(20, "a set"), np.zeros(20, np.int32), "x")
    examples = make_examples(data, np.arange(20), 0.2, 0, tmp_path)
    assert len(examples.codes) == 25
    assert examples.codes[0, READABLE].tolist() == [1, 0, 1, 1]
    assert (examples.codes[1:20, READABLE] == 1).all()
    assert (examples.codes[20:, READABLE] == 0).any(axis=1).all()
    assert (data.codes[1:, READABLE] == -1).all()
