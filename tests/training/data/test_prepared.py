from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from pipeline_synfundus.labels import CONDITION_NAMES
from pipeline_synfundus.photograph import crop_to_field
from tests.phantom import write_phantom_dataset
from training.configuration.config import ConfigError, DataConfig
from training.data.prepared import PARTS, choose_parts, prepare_data


def round_field(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """A black picture with a bright ellipse in `box` (left, top, right, bottom)."""
    down, right = np.mgrid[:height, :width]
    left, top, far, bottom = box
    inside = ((right - (left + far) / 2) / ((far - left) / 2)) ** 2 + (
        (down - (top + bottom) / 2) / ((bottom - top) / 2)
    ) ** 2 <= 1
    return Image.fromarray(np.where(inside[..., None], 180, 2).repeat(3, axis=2).astype(np.uint8))


def test_the_field_of_view_fills_the_square_and_stays_round() -> None:
    cropped = np.asarray(crop_to_field(round_field(400, 300, (120, 40, 320, 240)), 64))
    bright = cropped.max(axis=2) > 90
    assert cropped.shape == (64, 64, 3)
    assert bright[32, 1:-1].all()
    assert bright[1:-1, 32].all()
    assert not bright[:4, :4].any()


def test_a_cut_field_is_padded_not_stretched() -> None:
    picture = round_field(200, 200, (0, 0, 200, 200)).crop((0, 30, 200, 170))
    cropped = np.asarray(crop_to_field(picture, 64)).max(axis=2) > 90
    assert not cropped[:7].any()
    assert cropped[32].mean() > 0.95


def test_a_black_picture_is_kept_whole() -> None:
    assert not np.asarray(crop_to_field(Image.new("RGB", (50, 30)), 32)).any()


def test_columns_the_source_lacks_are_unknown_in_every_row(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "data", 12, 48, np.random.default_rng(0), label_columns=["is_amd", "eye_side"])
    data = prepare_data(DataConfig(str(tmp_path / "data"), group_column="patient"), 32, tmp_path / "cache")
    assert data.images.shape == (12, 32, 32, 3)
    known = [CONDITION_NAMES.index(name) for name in ("is_amd", "eye_side")]
    assert (np.delete(data.codes, known, axis=1) == -1).all()
    assert (data.codes[:, known] >= 0).all()


def test_the_cache_is_read_again_instead_of_the_source(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "data", 6, 32, np.random.default_rng(0), label_columns=["is_amd"])
    config = DataConfig(str(tmp_path / "data"))
    first = prepare_data(config, 16, tmp_path / "cache")
    for path in (tmp_path / "data").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    second = prepare_data(config, 16, tmp_path / "cache")
    assert np.array_equal(first.images, second.images)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [""]


def write_photographs_with_damage(folder: Path) -> None:
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        round_field(60, 60, (5, 5, 55, 55)).save(folder / f"{name}.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:-60])  # its header is sound
    (folder / "c.png").write_bytes(b"")
    (folder / "metadata.csv").write_text("file_name,patient,dr_grade\na.png,p,1\nb.png,q,2\nc.png,r,3\nd.png,s,4\n")


def test_photographs_that_cannot_be_decoded_are_one_error_that_lists_all(tmp_path: Path) -> None:
    write_photographs_with_damage(tmp_path / "photographs")
    with pytest.raises(ConfigError, match="2 of 4 photographs cannot be used:\n") as caught:
        prepare_data(DataConfig(str(tmp_path / "photographs")), 16, tmp_path / "cache")
    for name in ("b.png", "c.png"):
        assert f"{name} cannot be read as a photograph: " in str(caught.value)
    assert "--skip-unusable" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_photographs_that_cannot_be_decoded_are_left_out_when_asked(tmp_path: Path) -> None:
    write_photographs_with_damage(tmp_path / "photographs")
    config = DataConfig(str(tmp_path / "photographs"), group_column="patient", skip_unusable=True)
    for _ in range(2):  # the second time from the cache
        data = prepare_data(config, 16, tmp_path / "cache")
        assert data.images.shape == (2, 16, 16, 3)
        assert all(image.any() for image in data.images)
        assert data.groups.tolist() == ["p", "s"]
        assert data.codes[:, CONDITION_NAMES.index("dr_grade")].tolist() == [1, 4]


def test_without_any_photograph_that_can_be_decoded_nothing_is_prepared(tmp_path: Path) -> None:
    write_photographs_with_damage(tmp_path / "photographs")
    for name in ("a", "d"):
        (tmp_path / "photographs" / f"{name}.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="4 of 4 photographs cannot be used"):
        prepare_data(DataConfig(str(tmp_path / "photographs"), skip_unusable=True), 16, tmp_path / "cache")


def test_a_folder_that_grew_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in (1, 2):
        round_field(60, 60, (5, 5, 55, 55)).save(folder / f"{number}.png")
        assert len(prepare_data(DataConfig(str(folder)), 16, tmp_path / "cache")) == number


def test_a_patient_belongs_to_one_part_of_the_split(tmp_path: Path) -> None:
    table = datasets.Dataset.from_dict(
        {
            "image": [Image.new("RGB", (8, 8), (i, 99, 99)) for i in range(40)],
            "patient": [f"p{i // 4}" for i in range(40)],
        },
        features=datasets.Features(image=datasets.Image(), patient=datasets.Value("string")),
    )
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data" / "train.parquet")
    config = DataConfig(str(tmp_path / "data"), group_column="patient", validation_share=0.3, test_share=0.2)
    data = prepare_data(config, 8, tmp_path / "cache")
    parts = data.split(config, seed=0)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(40))
    patients = [set(data.groups[rows]) for rows in parts.values()]
    assert all(patients)
    assert sum(len(names) for names in patients) == len(set().union(*patients)) == 10


def test_the_parts_have_their_shares_and_stay_when_patients_are_added() -> None:
    config = DataConfig("anywhere", validation_share=0.1, test_share=0.15)
    names = np.array([f"patient {number}" for number in range(10_000)])
    parts = choose_parts(names, config, seed=0)
    shares = [(parts == part).mean() for part in PARTS]
    assert shares == pytest.approx([0.75, 0.1, 0.15], abs=0.02)
    assert np.array_equal(choose_parts(names[:500], config, seed=0), parts[:500])
    assert not np.array_equal(choose_parts(names, config, seed=1), parts)


def test_source_and_native_size_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    round_field(60, 60, (5, 5, 55, 55)).save(folder / "a.png")
    (folder / "metadata.csv").write_text("file_name,set,side\na.png,odir,224\n")
    config = DataConfig(str(folder), source_column="set", native_size_column="side")
    data = prepare_data(config, 16, tmp_path / "cache")
    assert (data.sources.tolist(), data.native_sizes.tolist()) == (["odir"], [224])
    with pytest.raises(ConfigError, match=r"data\.source_column is 'camera', but the source has"):
        prepare_data(DataConfig(str(folder), source_column="camera"), 16, tmp_path / "cache")


def test_imagefolder_with_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("a", "b"):
        round_field(60, 60, (5, 5, 55, 55)).save(folder / f"{name}.png")
    (folder / "metadata.csv").write_text("file_name,dr_grade,is_dme\na.png,3,1\nb.png,,0\n")
    data = prepare_data(DataConfig(str(folder)), 16, tmp_path / "cache")
    assert sorted(data.codes[:, CONDITION_NAMES.index("dr_grade")].tolist()) == [-1, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "nowhere-at-all"}, "data.source 'nowhere-at-all'"),
        ({"image_column": "picture"}, "data.image_column is 'picture', but the source has"),
        ({"group_column": "person"}, "data.group_column is 'person', but the source has"),
        ({"split": "test"}, "split 'test'"),
    ],
)
def test_a_wrong_source_is_refused_by_name(tmp_path: Path, change: dict[str, str], message: str) -> None:
    write_phantom_dataset(tmp_path / "data", 2, 32, np.random.default_rng(0), label_columns=["is_amd"])
    fields = {"source": str(tmp_path / "data")} | change
    with pytest.raises(ConfigError, match=message):
        prepare_data(DataConfig(**fields), 16, tmp_path / "cache")


def test_a_wrong_label_names_its_row_and_leaves_no_cache(tmp_path: Path) -> None:
    table = datasets.Dataset.from_dict({"image": [Image.new("RGB", (8, 8))] * 2, "dr_grade": [1, 7]})
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data" / "train.parquet")
    with pytest.raises(ConfigError, match="row 1 of the source: dr_grade is 7; allowed are 0 to 4"):
        prepare_data(DataConfig(str(tmp_path / "data")), 8, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_broken_image_names_its_row(tmp_path: Path) -> None:
    cells = [{"bytes": b"this is no picture", "path": None}]
    table = datasets.Dataset.from_dict({"image": cells}, features=datasets.Features(image=datasets.Image()))
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data" / "train.parquet")
    with pytest.raises(ConfigError, match="row 0: the image cannot be read as a photograph: the file type is unknown"):
        prepare_data(DataConfig(str(tmp_path / "data")), 8, tmp_path / "cache")
