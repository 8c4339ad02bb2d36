import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.data.photographs import concatenate, equalise
from evaluation.data.study import Study
from evaluation.errors import NotMeasurable
from evaluation.experiments import privacy
from evaluation.experiments.privacy import describe_with, find_copies, membership_auc
from evaluation.measures.copies import Copies, copy_distance
from evaluation.measures.features import FeatureSpace, imagenet_space
from evaluation.measures.neighbours import (
    FEATURE_CROPS,
    Describe,
    Neighbours,
    describe_layout,
    describe_thumbnail,
    nearest,
)
from evaluation.measures.statistics import Interval
from evaluation.report_page.results import Result
from synfundus.layouts import LAYOUT_CROPS
from synfundus.thumbnails import THUMBNAIL_CROPS
from tests.evaluation.studies import draw_photographs, make_individual

NAMES = ("dr_grade", "is_amd", "is_gc", "is_htr", "is_rvo", "eye_side")
PLANTED, COPIED = 17, 33


@pytest.fixture(scope="module")
def clean(few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """64-pixel phantoms with shadings of their own, so that no two look alike."""
    drawn = [draw_photographs(rows, 64, seed, NAMES, 2) for rows, seed in ((30, 1), (40, 2), (30, 3))]
    parts = [replace(part, images=make_individual(part.images, seed)) for seed, part in enumerate(drawn)]
    return Study(*parts, held_out_known=True, folder=tmp_path_factory.mktemp("report"), seed=0)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> FeatureSpace:
    return imagenet_space(tmp_path_factory.mktemp("features"))


def plant(study: Study, planted: Sequence[np.ndarray]) -> Study:
    """The study with these images among the synthetic ones."""
    images = study.synthetic.images.copy()
    images[PLANTED : PLANTED + len(planted)] = planted
    return replace(study, synthetic=replace(study.synthetic, images=images))


def flip(image: np.ndarray) -> np.ndarray:
    return image[:, ::-1]


def darken_and_compress(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).point(lambda value: round(value * 0.85)).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def reframe(image: np.ndarray) -> np.ndarray:
    return equalise(Image.fromarray(image), len(image))


def crop_corner(image: np.ndarray) -> np.ndarray:
    side = round(len(image) * 0.85)
    return np.asarray(Image.fromarray(image[:side, :side]).resize((len(image),) * 2, Image.Resampling.BICUBIC))


def flip_and_recolour(image: np.ndarray) -> np.ndarray:
    """Flips an image and gives it other colours and another lighting, as a generator may redraw a photograph."""
    lighting = np.linspace(0.8, 1.2, len(image))[:, None, None]
    recoloured = (flip(image) / 255) ** [0.7, 1.4, 1.2] * [0.8, 1.1, 1.5] * lighting
    return (recoloured.clip(0, 1) * 255).astype(np.uint8)


CHANGES = (np.copy, flip, darken_and_compress, reframe, crop_corner)


@pytest.fixture(scope="module")
def planted(clean: Study) -> Study:
    """A changed copy of another photograph for each of `CHANGES`; the search treats every image by itself."""
    return plant(clean, [change(clean.train.images[COPIED + number]) for number, change in enumerate(CHANGES)])


@pytest.fixture(scope="module")
def found(planted: Study) -> Copies:
    return find_copies(planted, describe_thumbnail, THUMBNAIL_CROPS)


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=[change.__name__ for change in CHANGES])
def test_a_planted_copy_is_found_whatever_was_done_to_it(number: int, found: Copies) -> None:
    assert PLANTED + number in found.copies
    assert found.synthetic.row[PLANTED + number] == COPIED + number


def test_no_other_image_is_found(found: Copies) -> None:
    assert sorted(found.copies) == [PLANTED + number for number in range(len(CHANGES))]


def test_planted_copies_are_found_in_the_features_of_a_network(planted: Study, space: FeatureSpace) -> None:
    found = find_copies(planted, describe_with(space), FEATURE_CROPS)
    unchanged = [PLANTED + CHANGES.index(change) for change in (np.copy, flip)]
    assert set(unchanged) <= set(found.near)
    assert [found.synthetic.row[row] - COPIED for row in unchanged] == [row - PLANTED for row in unchanged]
    assert sorted(np.argsort(found.synthetic.distance)[:2]) == unchanged


def test_a_recoloured_copy_is_found_by_its_layout_and_not_in_thumbnails(clean: Study) -> None:
    study = plant(clean, [flip_and_recolour(clean.train.images[COPIED])])
    found = find_copies(study, describe_layout, LAYOUT_CROPS)
    assert list(found.copies) == [PLANTED]
    assert found.synthetic.row[PLANTED] == COPIED
    assert PLANTED not in find_copies(study, describe_thumbnail, THUMBNAIL_CROPS).copies


@pytest.mark.parametrize("describe", [describe_thumbnail, describe_layout])
def test_images_of_nobody_are_no_copies(clean: Study, describe: Describe) -> None:
    assert len(find_copies(clean, describe, LAYOUT_CROPS).copies) == 0


def test_a_patients_own_photographs_are_not_taken_for_another_patients(clean: Study) -> None:
    train = clean.train
    doubled = np.concatenate([train.images[:1], train.images[:1], train.images[2:]])
    found = nearest(doubled, doubled, describe_thumbnail, FEATURE_CROPS, train.patients, train.patients)
    assert train.patients[0] == train.patients[1] and found.distance[0] > 0.05
    assert (train.patients[found.row] != train.patients).all()


def test_what_is_much_nearer_to_one_patient_than_to_the_next_is_a_near_copy() -> None:
    distance, next_distance = np.array([0.5, 0.5, 0.3]), np.array([0.9, 0.55, 0.31])
    found = Neighbours(distance, np.arange(3), next_distance)
    copies = Copies(found, found, floor=0.1, threshold=0.4, relative_threshold=0.6)
    assert list(copies.near) == [2, 0]
    assert copies.verdicts(np.array([1, 0])) == ["", "near copy"]
    assert len(copies.copies) == 0


def test_membership_is_inferred_from_copies_and_not_from_images_of_nobody(clean: Study) -> None:
    learned = replace(clean, synthetic=clean.train)
    inferred, none = (membership_auc(study, describe_thumbnail, FEATURE_CROPS) for study in (learned, clean))
    assert isinstance(inferred, Interval) and isinstance(none, Interval)
    assert inferred.value == 1.0
    assert none.low < 0.5 < none.high


@pytest.fixture(scope="module")
def failing(clean: Study, space: FeatureSpace) -> tuple[Study, Result]:
    study = plant(clean, clean.train.images[COPIED : COPIED + 1])
    return study, privacy.run(study, space)


def test_one_copy_fails_the_report_and_stands_first_in_its_list(failing: tuple[Study, Result]) -> None:
    study, result = failing
    assert any("1 synthetic images are copies of training photographs (thumbnails)" in line for line in result.failures)
    nearest_pairs = next(table for table in result.tables if table.name == "nearest-thumbnails")
    assert nearest_pairs.rows[0][:3] == [str(PLANTED), str(COPIED), study.train.patients[COPIED]]
    assert nearest_pairs.rows[0][-1] == "copy"


def test_pictures_of_real_photographs_are_kept_apart(failing: tuple[Study, Result]) -> None:
    study, result = failing
    folders = {figure.file: Path(figure.file).parent.name for figure in result.figures}
    assert all(
        (folder == "photographs") == name.rpartition("/")[2].startswith(("nearest", "relative"))
        for name, folder in folders.items()
    )
    assert all((study.folder / name).stat().st_size > 1000 for name in folders)


def add_duplicates(study: Study, rows: np.ndarray) -> Study:
    """The study with these training photographs a second time, under the names of other patients."""
    again = study.train[rows]
    again = replace(again, patients=np.array([f"other {number}" for number in range(len(rows))]))
    return replace(study, train=concatenate([study.train, again]))


@pytest.mark.parametrize("count", [1, 40])
def test_duplicates_among_the_real_photographs_do_not_hide_copies(count: int, clean: Study) -> None:
    doubled = add_duplicates(clean, np.arange(count))
    copied = replace(doubled, synthetic=doubled.train[np.arange(30)])
    found = find_copies(copied, describe_thumbnail, FEATURE_CROPS)
    assert len(found.copies) == 30
    assert set(found.duplicates) == {*range(count), *range(40, 40 + count)}
    unchanged = find_copies(clean, describe_thumbnail, FEATURE_CROPS)
    assert count > 1 or found.threshold == pytest.approx(unchanged.threshold, rel=0.2)


@pytest.fixture(scope="module")
def copied(clean: Study, space: FeatureSpace) -> Result:
    """Copies of all training photographs, one of which is there twice; the patients that were held out are unknown."""
    doubled = add_duplicates(replace(clean, train=clean.train[np.arange(24)]), np.arange(1))
    return privacy.run(replace(doubled, synthetic=clean.train[np.arange(24)], held_out_known=False), space)


def test_membership_is_not_measurable_when_nobody_knows_who_was_held_out(copied: Result) -> None:
    cells = [row[-1] for row in copied.tables[0].rows]
    assert cells == ["not measurable: it is not known which patients the generator has not seen"] * 3


def test_duplicates_are_listed_and_copies_fail_the_report(clean: Study, copied: Result) -> None:
    assert sum("24 synthetic images are copies" in failure for failure in copied.failures) == 3
    duplicates = next(table for table in copied.tables if table.name == "duplicates-thumbnails")
    assert {tuple(row[:4]) for row in duplicates.rows} == {
        ("0", clean.train.patients[0], "0", "other 0"),
        ("0", "other 0", "0", clean.train.patients[0]),
    }


def test_without_enough_photographs_or_with_equal_ones_copies_are_not_measurable(clean: Study) -> None:
    few = clean.train[np.arange(10)]
    with pytest.raises(NotMeasurable, match="10 training photographs; at least 20"):
        copy_distance(few, describe_thumbnail, FEATURE_CROPS, seed=0)
    equal = replace(clean.train, images=np.repeat(clean.train.images[:1], len(clean.train), axis=0))
    with pytest.raises(NotMeasurable, match="a photograph that is saved again"):
        copy_distance(equal, describe_thumbnail, FEATURE_CROPS, seed=0)
