import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.anonymous_memory import watch_memory
from pipeline_synfundus import FundusAutoencoder
from pipeline_synfundus.labels import CONDITION_NAMES, complete_condition, to_codes
from tests.phantom import draw_phantom
from training.data.examples import (
    encode_examples,
    encode_images,
    fundus_encoder,
    in_mixed_precision,
    make_examples,
)
from training.data.prepared import PreparedData

SIZE = 64


def make_autoencoder() -> FundusAutoencoder:
    torch.manual_seed(0)
    sizes = {"patch_size": 16, "latent_channels": 4, "widths": [8, 16], "encoder_blocks": [1, 1]}
    return FundusAutoencoder(**sizes, decoder_blocks=[1, 1], shuffle=8).eval().requires_grad_(False)


def make_data(folder: Path, count: int) -> PreparedData:
    """Memory-mapped photographs: a few phantoms over and over."""
    condition = complete_condition({"eye_side": 0})
    phantoms = np.stack([draw_phantom(condition, SIZE, np.random.default_rng(seed)) for seed in range(4)])
    folder.mkdir()
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, SIZE, SIZE, 3))
    for row in range(count):
        images[row] = phantoms[row % 4]
    images.flush()
    codes = np.tile(np.array(to_codes(condition), dtype=np.int8), (count, 1))
    names = np.arange(count).astype(str)
    mapped = np.load(folder / "images.npy", mmap_mode="r")
    return PreparedData(mapped, codes, names, names, np.zeros(count, np.int32), digest=f"{count} phantoms")


def test_images_and_copies_are_read_from_the_disk_as_they_are_asked_for(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", 20)
    rows = np.array([3, 5, 8, 13, 1, 2, 9, 11])
    examples = make_examples(data, rows, 0.5, 0, tmp_path)
    assert examples.num_spoiled > 0
    assert np.array_equal(examples.values[np.arange(8)], data.images[rows])
    copies = np.arange(8, len(examples.codes))
    originals = data.images[examples.source_rows[copies]]
    assert (examples.values[copies] != originals).any(axis=(1, 2, 3)).all()
    assert np.array_equal(examples.values[6:10], examples.values[np.arange(6, 10)])
    assert np.array_equal(examples.sources, data.sources[examples.source_rows])
    again = make_examples(data, rows, 0.5, 0, tmp_path)
    assert np.array_equal(again.values[copies], examples.values[copies])
    other = make_examples(data, rows, 0.5, 1, tmp_path)
    assert other.digest != examples.digest


def test_latents_are_those_of_the_image_and_of_its_mirror_image(tmp_path: Path) -> None:
    data, vae = make_data(tmp_path / "data", 5), make_autoencoder()
    examples = make_examples(data, np.arange(5), 0.0, 0, tmp_path)
    latents = encode_examples(examples, fundus_encoder(vae), tmp_path).values
    assert isinstance(latents, np.memmap)
    for mirrored, images in enumerate((data.images[:], data.images[:, :, ::-1])):
        expected = encode_images(vae, np.ascontiguousarray(images)).numpy()
        assert latents[:, mirrored] == pytest.approx(expected, abs=0.02)
    with torch.no_grad():
        vae.encoder.get_parameter(next(name for name, _ in vae.encoder.named_parameters())).add_(1)
    encode_examples(examples, fundus_encoder(vae), tmp_path)
    assert len(list(tmp_path.glob("latents-*.npy"))) == 2


def test_latents_in_bfloat16_are_other_files_with_nearly_the_same_latents(tmp_path: Path) -> None:
    data, vae = make_data(tmp_path / "data", 5), make_autoencoder()
    examples = make_examples(data, np.arange(5), 0.0, 0, tmp_path)
    exact = fundus_encoder(vae)
    assert in_mixed_precision(exact, "no", vae.device) is exact
    expected, found = (
        np.array(encode_examples(examples, in_mixed_precision(exact, precision, vae.device), tmp_path).values)
        for precision in ("no", "bf16")
    )
    assert (found != expected).any()
    assert np.abs(found - expected).max() < 0.05 * expected.std()
    assert len(list(tmp_path.glob("latents-*.npy"))) == 2


def test_memory_does_not_grow_with_the_photographs(tmp_path: Path, warm_python: Path) -> None:
    """Anonymous memory of a process that prepares and reads examples; mapped files are not part of it."""
    peaks = []
    for count in (300, 1500):
        command = [warm_python, "-m", "tests.training.data.test_training_examples", tmp_path / str(count), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    images = 1200 * SIZE * SIZE * 3 / 2**20
    assert images > 14
    assert peaks[1] - peaks[0] < images / 2


def _peak_while_preparing(folder: Path, count: int) -> int:
    """The largest anonymous memory in MiB, above that of the start, while examples are made, encoded and read."""
    folder.mkdir()
    data, vae = make_data(folder / "data", count), make_autoencoder()
    rows = np.arange(count)
    with watch_memory() as sizes:
        pixels = make_examples(data, rows, 0.2, 0, folder)
        latents = encode_examples(pixels, fundus_encoder(vae), folder)
        for examples in (pixels, latents):
            for start in range(0, count, 16):
                batch = rows[start : start + 16]
                examples.take(batch, batch % 2 == 0)
    assert data.codes.shape == (count, len(CONDITION_NAMES))
    return (max(sizes) - sizes[0]) // 2**20


if __name__ == "__main__":
    print(_peak_while_preparing(Path(sys.argv[1]), int(sys.argv[2])))
