"""Editing a visitor's photograph: what is read, what is refused, and what comes out."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from generator.photograph import MOST_BYTES, check_edit, read_upload, shows_fundus
from generator.sampling import build_sampler
from generator.settings import SettingsError
from PIL import Image, ImageDraw
from results.export import EDITED, add_visible_mark, encode_png
from tabs.photograph import PhotographTab


def draw_fundus(size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A round, shaded, orange field with a bright disc, on black."""
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for step in range(20):
        radius = 40 - 2 * step
        box = [size[0] // 2 - radius, size[1] // 2 - radius, size[0] // 2 + radius, size[1] // 2 + radius]
        draw.ellipse(box, fill=(120 + 5 * step, 50 + 2 * step, 15 + step))
    draw.ellipse((70, 40, 80, 50), fill=(250, 210, 140))
    return image


def to_uri(image: Image.Image, kind: str = "JPEG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photograph_is_read_as_the_square_that_the_model_sees(model: Any, kind: str) -> None:
    assert read_upload(model, to_uri(draw_fundus(), kind)).size == (16, 16)


def landscape() -> Image.Image:
    image = Image.new("RGB", (80, 60), (90, 140, 220))
    ImageDraw.Draw(image).rectangle((0, 30, 80, 60), fill=(60, 160, 50))
    return image


def page_of_text() -> Image.Image:
    image = Image.new("RGB", (80, 60), "white")
    for row in range(5, 60, 8):
        ImageDraw.Draw(image).line((5, row, 70, row), fill="black", width=2)
    return image


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "Choose a photograph first"),
        (None, "Choose a photograph first"),
        ("data:image/png;base64,@@@", "cannot be read as an image"),
        ("data:image/png;base64," + base64.b64encode(b"no image").decode(), "cannot be read as an image"),
        (to_uri(draw_fundus())[:-400], "cannot be read as an image"),
        ("data:image/png;base64," + "A" * (MOST_BYTES * 4 // 3 + 1000), "too large. The limit is 20 MB"),
        (to_uri(landscape()), "does not look like a colour fundus photograph"),
        (to_uri(page_of_text()), "does not look like a colour fundus photograph"),
        (to_uri(Image.new("RGB", (40, 40))), "does not look like a colour fundus photograph"),
    ],
    ids=["empty", "none", "no-base64", "no-image", "truncated", "too-large", "landscape", "text", "black"],
)
def test_what_cannot_be_edited_is_answered_with_the_reason(model: Any, uri: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_upload(model, uri)


def test_the_models_own_images_show_a_fundus() -> None:
    assert shows_fundus(draw_fundus((90, 90)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}), "Choose at least one change"),
        (({"is_gc": 1}, {}, 0.97), "strength is 0.97, but must be a number from 0.1 to 0.95"),
        (({"is_dme": 1}, {"dr_grade": 0}), "is_dme is 1, but dr_grade"),
        (({"is_gc": 1}, {}, 0.5, True, 99), "guidance_scale is 99"),
        (({"is_gc": 1}, {}, 0.5, True, 2, -1), "seed is -1"),
    ],
)
def test_a_wrong_setting_of_an_edit_is_named(model: Any, arguments: tuple, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_edit(model, to_uri(draw_fundus()), *arguments)


@pytest.mark.parametrize("inversion", [True, False])
def test_an_edit_is_the_pipelines_and_reports_its_steps(model: Any, inversion: bool) -> None:
    settings = check_edit(model, to_uri(draw_fundus()), {"is_gc": 1}, {"dr_grade": 0}, 0.4, inversion, seed=3)
    frames = list(build_sampler(model)(settings))
    assert [frame.step for frame in frames] == list(range(1, model.default_steps + 1))
    expected = model.pipeline(
        {"is_gc": 1},
        image=settings.photograph,
        source_conditions={"dr_grade": 0},
        strength=0.4,
        inversion=inversion,
        generator=3,
    ).images[0]
    assert np.array_equal(frames[-1].images[0], expected)


def test_the_settings_do_not_show_the_photograph_where_they_are_printed(model: Any) -> None:
    assert "Image" not in repr(check_edit(model, to_uri(draw_fundus()), {"is_gc": 1}, {}))


def test_an_edit_says_in_its_file_that_it_is_a_synthetic_edit(model: Any) -> None:
    with Image.open(io.BytesIO(encode_png(model, Image.new("RGB", (16, 16)), {"strength": 0.5}, EDITED))) as image:
        assert image.text["SynFundus-Synthetic"] == image.text["SynFundus-Edited"] == "true"
        assert "not for diagnosis" in image.text["Description"]


def test_the_visible_mark_is_in_the_lower_left_corner_only() -> None:
    image = Image.new("RGB", (256, 256), (120, 50, 20))
    changed = np.asarray(add_visible_mark(image), dtype=int) != np.asarray(image)
    rows, columns = np.nonzero(changed.any(axis=-1))
    assert rows.min() > 220 and columns.max() < 128 and len(rows) > 100


def test_two_values_of_one_label_are_refused(model: Any) -> None:
    tab = PhotographTab.__new__(PhotographTab)
    tab._model = model
    status, result = next(tab._run("", ["is_gc=0", "is_gc=1"], [], 0.5, True, 2, 0, False))
    assert "glaucoma is chosen twice" in status and result == ""
