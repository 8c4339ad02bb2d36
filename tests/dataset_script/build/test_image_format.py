import io

import numpy as np
import pytest
from PIL import Image

from dataset_script.build.image_format import FORMATS, SYNTHETIC, encode_image, image_facts, read_facts

FACTS = image_facts(42, "some/generator", "abc123", "0123456789abcdef")


@pytest.fixture(scope="module")
def pixels():
    """A smooth image with some noise, like a photograph."""
    across, down = np.meshgrid(np.linspace(0, 200, 64), np.linspace(0, 100, 48))
    smooth = np.stack([across, down, across / 2 + down / 2], axis=2)
    return (smooth + np.random.default_rng(0).normal(20, 3, smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_contains_its_provenance(pixels, name):
    with Image.open(io.BytesIO(encode_image(pixels, name, FACTS))) as image:
        assert (image.format, image.mode, image.size) == (FORMATS[name].name, "RGB", (64, 48))
        assert read_facts(image) == FACTS
        said = image.text if name == "png" else image.getexif()
        assert SYNTHETIC in said.values()
        assert "SynFundus, generator some/generator, revision abc123" in said.values()


@pytest.mark.parametrize("name", ["png", "webp"])
def test_lossless_formats_keep_every_pixel(pixels, name):
    with Image.open(io.BytesIO(encode_image(pixels, name, FACTS))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_jpeg_stays_close(pixels):
    with Image.open(io.BytesIO(encode_image(pixels, "jpeg", FACTS))) as image:
        difference = np.asarray(image, float) - pixels
    assert 0 < (difference**2).mean() < 255**2 / 10**3.6  # 36 dB


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_without_provenance_has_no_facts(pixels, name):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, FORMATS[name].name)
    with Image.open(buffer) as image:
        assert read_facts(image) == {}
