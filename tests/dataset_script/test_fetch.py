import datasets
import numpy as np
import pytest

from dataset_script.fetch import fetch_files, fetch_images


@pytest.mark.parametrize("threads", [1, 4])
def test_selected_images_are_fetched_from_a_folder_in_order(split_dataset_dir, threads):
    index = datasets.load_dataset(str(split_dataset_dir), "index", split="train").select([5, 0, 20, 20, 11])
    whole = datasets.load_dataset(str(split_dataset_dir), split="train")
    fetched = list(fetch_images(split_dataset_dir, index, threads))
    assert len(fetched) == 5
    for position, image in zip([5, 0, 20, 20, 11], fetched, strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(whole[position]["image"]))


def test_more_rows_than_threads_are_fetched_once_each(split_dataset_dir):
    index = datasets.load_dataset(str(split_dataset_dir), "index", split="train")
    assert [len(content) for content in fetch_files(split_dataset_dir, index, 2)] == index["size"][:]


def test_a_missing_dataset_is_an_error(tmp_path):
    row = {"file": "data/train-00000.parquet", "offset": 0, "size": 1}
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        list(fetch_files(tmp_path / "empty", [row]))
