"""Each test makes its small file itself: a round "retina", brighter at the top, with a disc on the right."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pipeline_synfundus.photograph import PhotographError, crop_to_field, erode, measure_field, read_photograph

SIZE = 64
RETINA, DISC = (180, 90, 40), (250, 210, 130)


def retina(side: int = 200) -> Image.Image:
    """A square that the field fills: its upper half is brighter than its lower half, its disc is on the right."""
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, side - 1, side - 1), fill=RETINA)
    draw.chord((0, 0, side - 1, side - 1), 180, 360, fill=tuple(value + 30 for value in RETINA))
    draw.ellipse((0.75 * side, 0.45 * side, 0.9 * side, 0.6 * side), fill=DISC)
    return image


def on_page(colour: tuple[int, int, int], width: int = 320, height: int = 260) -> Image.Image:
    """The retina away from the middle of a page, whose corners would be inside the box of the field."""
    page = Image.new("RGB", (width, height), colour)
    field = Image.new("L", (200, 200))
    ImageDraw.Draw(field).ellipse((0, 0, 199, 199), fill=255)
    page.paste(retina(), (70, 40), field)
    return page


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(image: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference in grey levels."""
    return float(np.abs(np.asarray(image, dtype=float) - np.asarray(other, dtype=float)).mean())


def expected() -> Image.Image:
    return retina().resize((SIZE, SIZE), Image.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 90}),
        ("WEBP", {"quality": 95}),
        ("BMP", {}),
        ("JPEG2000", {}),
    ],
)
def test_common_file_types_are_read_from_a_path_from_bytes_and_as_an_image(
    tmp_path: Path, kind: str, options: dict
) -> None:
    content = encoded(retina(), kind, **options)
    path = tmp_path / "photograph"
    path.write_bytes(content)
    for source in (path, str(path), content, Image.open(path)):
        image = read_photograph(source, SIZE)
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
        assert difference(image, expected()) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_the_orientation_stored_in_the_file_is_applied(orientation: int, kind: str) -> None:
    stored = {  # what has to be stored, so that the orientation's correction gives the retina
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = retina() if stored is None else retina().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, kind, exif=exif.tobytes())
    assert difference(read_photograph(content, SIZE), expected()) < 3


def transparent_around_white() -> Image.Image:
    """Stored white where it is transparent, as some programs leave it."""
    field = Image.new("L", (200, 200))
    ImageDraw.Draw(field).ellipse((0, 0, 199, 199), fill=255)
    image = Image.composite(retina(), Image.new("RGB", (200, 200), "white"), field)
    image.putalpha(field)
    return image


def palette_with_transparency() -> Image.Image:
    image = retina().quantize(16)
    image.info["transparency"] = image.getpixel((0, 0))
    return image


@pytest.mark.parametrize(
    "image",
    [transparent_around_white(), palette_with_transparency(), retina().quantize(32), retina().convert("CMYK")],
    ids=["RGBA", "palette with a transparent colour", "palette", "CMYK"],
)
def test_transparency_becomes_black_and_other_colour_modes_become_rgb(image: Image.Image) -> None:
    content = encoded(image, "TIFF" if image.mode == "CMYK" else "PNG")
    assert difference(read_photograph(content, SIZE), expected()) < 4


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    assert difference(read_photograph(encoded(retina().convert("CMYK"), "JPEG", quality=95), SIZE), expected()) < 4


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_files_become_grey_rgb(mode: str) -> None:
    image = read_photograph(encoded(retina().convert(mode), "PNG"), SIZE)
    assert difference(image, expected().convert("L").convert("RGB")) < 3


def png_of_16_bits(grey: np.ndarray) -> bytes:
    return encoded(Image.fromarray(grey.astype(np.uint16)), "PNG")


@pytest.mark.parametrize("white", [255, 4095, 65535], ids=["8 bits in 16", "12 bits in 16", "16 bits"])
def test_integers_of_16_bits_are_scaled_by_the_depth_that_they_use(white: int) -> None:
    grey = np.asarray(retina().convert("L"), dtype=float) / 255
    grey = grey / grey.max()
    wanted = (
        Image.fromarray((grey * 255).astype(np.uint8)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    )
    for source in (png_of_16_bits(grey * white), (grey * white).astype(np.uint16)):
        assert difference(read_photograph(source, SIZE), wanted) < 3


def test_a_16_bit_rgb_tiff_is_read() -> None:
    """Written by hand: Pillow reads such files and writes none."""
    pixels = np.asarray(retina(64)).astype("<u2") * 257
    data = pixels.tobytes()
    tags = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(data))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    content = struct.pack("<2sHI", b"II", 42, 8 + len(data) + 6) + data + struct.pack("<3H", 16, 16, 16) + directory
    assert difference(read_photograph(content, SIZE), expected()) < 4


@pytest.mark.parametrize(
    "array",
    [
        np.asarray(retina()),
        np.asarray(retina(), dtype=np.float32) / 255,
        np.asarray(retina(), dtype=np.float64),
        np.dstack([np.asarray(retina()), np.full((200, 200), 255, np.uint8)]),
    ],
    ids=["uint8", "floats in [0, 1]", "floats in [0, 255]", "with alpha"],
)
def test_arrays_are_read(array: np.ndarray) -> None:
    assert difference(read_photograph(array, SIZE), expected()) < 3


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"its shape is \(4, 4, 2\); allowed are \(H, W\)"),
        (np.zeros((0, 4, 3), np.uint8), r"its shape is \(0, 4, 3\)"),
        (np.full((4, 4), np.nan), "its values are float64 from nan to nan; allowed are 0 to 65535"),
        (np.full((4, 4), -1, np.int16), "its values are int16 from -1 to -1"),
    ],
)
def test_arrays_that_are_no_image_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(PhotographError, match=message):
        read_photograph(array, SIZE)


@pytest.mark.parametrize("surround", [0, 6, 20, 128, 255])
@pytest.mark.parametrize("text", [False, True])
def test_the_field_is_cropped_on_any_grey_surround_and_what_is_outside_becomes_black(surround: int, text: bool) -> None:
    page = on_page((surround,) * 3)
    if text:
        draw = ImageDraw.Draw(page)
        ink = "black" if surround > 200 else "white"
        draw.text((4, 4), "OD 2020-01-31 10:42", fill=ink, font_size=16)
        draw.text((74, 220), "12", fill=ink, font_size=14)  # inside the box of the field, outside the field
    noise = np.random.default_rng(0).normal(0, 1, (260, 320, 1))
    noisy = Image.fromarray((np.asarray(page) + noise).round().clip(0, 255).astype(np.uint8))
    image = read_photograph(encoded(noisy, "JPEG", quality=90), SIZE)
    assert difference(image, expected()) < 7
    assert np.asarray(image)[:6, :6].max() < 12
    assert np.asarray(image)[-6:, :6].max() < 12


def test_a_notch_beside_the_field_does_not_widen_the_crop() -> None:
    page = on_page((0, 0, 0))
    ImageDraw.Draw(page).polygon([(268, 136), (284, 140), (268, 144)], fill=RETINA)
    assert difference(read_photograph(page, SIZE), expected()) < 4


def test_a_photograph_on_a_white_page_loses_the_page_and_its_own_black_surround() -> None:
    page = Image.new("RGB", (500, 400), "white")
    page.paste(on_page((0, 0, 0)), (90, 70))
    assert difference(read_photograph(page, SIZE), expected()) < 4


def test_a_clipped_field_is_padded_not_stretched() -> None:
    clipped = on_page((0, 0, 0)).crop((0, 70, 320, 210))  # the top and the bottom of the field are cut off
    image = np.asarray(read_photograph(clipped, SIZE))
    cut = round(SIZE * 30 / 200)
    assert not image[: cut - 3].any()
    assert difference(Image.fromarray(image[cut + 1 : -cut - 1]), expected().crop((0, cut + 1, 64, 63 - cut))) < 4


@pytest.mark.parametrize("size", [(200, 200), (240, 160)])
def test_a_rectangular_field_without_a_surround_is_kept_whole(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    shades = rng.uniform(0.8, 1.2, (4, 4, 1)) * RETINA
    image = Image.fromarray(shades.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    square = Image.new("RGB", (max(size),) * 2)
    square.paste(image, (0, (max(size) - size[1]) // 2))
    assert difference(crop_to_field(image, SIZE), square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)) < 1


def test_a_rectangular_field_with_clipped_corners_is_kept_to_its_edges() -> None:
    image = Image.new("RGB", (240, 180), RETINA)
    draw = ImageDraw.Draw(image)
    for x, y in ((0, 0), (239, 0), (0, 179), (239, 179)):
        draw.polygon([(x, y), (abs(x - 40), y), (x, abs(y - 40))], fill="black")
    square = Image.new("RGB", (240, 240))
    square.paste(image, (0, 30))
    assert difference(crop_to_field(image, SIZE), square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)) < 1


def test_the_dim_side_of_a_field_on_black_is_not_cut_off() -> None:
    image = np.asarray(retina()) * np.linspace(0.04, 1, 200)[:, None]  # down to values of 8
    cropped = crop_to_field(Image.fromarray(image.astype(np.uint8)), 200)
    assert difference(cropped, Image.fromarray(image.astype(np.uint8))) < 1


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (120, 60, 30)])
def test_a_picture_of_one_colour_is_kept_whole(colour: tuple[int, int, int]) -> None:
    assert np.unique(
        np.asarray(crop_to_field(Image.new("RGB", (48, 48), colour), 16)).reshape(-1, 3), axis=0
    ).tolist() == [[*colour]]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 9), (8, 8), (3000, 2)])
def test_a_tiny_or_narrow_picture_is_read(size: tuple[int, int]) -> None:
    cropped = np.asarray(crop_to_field(Image.new("RGB", size, RETINA), 16))
    assert cropped.shape == (16, 16, 3)
    assert cropped.any() or size == (3000, 2)


def test_a_square_that_was_cropped_already_stays_as_it_is() -> None:
    assert difference(crop_to_field(expected(), SIZE), expected()) < 1


def png_with_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, with hardly any data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


DAMAGED = {
    "empty": b"",
    "text": b"not found",
    "truncated JPEG": encoded(retina(), "JPEG")[:-600],
    "truncated PNG": encoded(retina(), "PNG")[:-300],
    "truncated TIFF": encoded(retina(), "TIFF")[:-3000],
    "truncated AVIF": encoded(retina(), "AVIF")[:-300],
    "damaged PNG": encoded(retina(), "PNG").replace(b"IDAT", b"IDAX"),
    "decompression bomb": png_with_header(60_000, 60_000),
    "no pixels": png_with_header(0, 0),
    "truncated DICOM": bytes(128) + b"DICM" + bytes(40),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_a_photograph_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(DAMAGED[name])
    for function in (measure_field, lambda source: read_photograph(source, SIZE)):
        with pytest.raises(PhotographError, match=r"broken\.png cannot be read as a photograph: \w"):
            function(path)
        with pytest.raises(PhotographError, match=r"the image cannot be read as a photograph: \w"):
            function(DAMAGED[name])


def test_a_missing_file_is_a_photograph_error(tmp_path: Path) -> None:
    with pytest.raises(PhotographError, match=r"nothing\.jpg cannot be read"):
        read_photograph(tmp_path / "nothing.jpg", SIZE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_side_of_the_field_is_measured_in_pixels_of_the_file(kind: str) -> None:
    page = Image.new("RGB", (2600, 2200))
    page.paste(retina(1800), (500, 100))
    assert measure_field(encoded(page, kind)) == pytest.approx(1800, rel=0.015)
    assert measure_field(Image.new("RGB", (30, 20))) == 30


def test_erosion_is_that_of_pillow() -> None:
    rng = np.random.default_rng(0)
    for share in (0.001, 0.01, 0.1):
        mask = rng.random((40, 30)) > share
        expected = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(9))) > 0
        assert np.array_equal(erode(mask, 4), expected)
