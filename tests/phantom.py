"""A procedural "phantom fundus" for tests: disc, macula, vessels, and a drawn lesion for every label.

It resembles a photograph just enough for the code that reads photographs, and its lesions are drawn where they can be
measured again, so that learning itself can be tested.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import datasets
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline_synfundus.labels import CONDITION_LABELS, READABILITY, UNKNOWN, complete_condition

# Pictures are drawn at this size and scaled down, in coordinates from -1 to 1 across the field of view.
CANVAS = 256
DOWN, RIGHT = np.mgrid[-1 : 1 : CANVAS * 1j, -1 : 1 : CANVAS * 1j]
RADIUS = np.hypot(DOWN, RIGHT)
FIELD = RADIUS < 0.97
SHADE = np.where(FIELD, 1 - 0.35 * RADIUS**2, 0).astype(np.float32)
MACULA = (0.0, 0.05)
GREY = (128, 128, 128)

Point = tuple[float, float]


class _Canvas:
    """A round orange field to draw on, in coordinates from -1 to 1."""

    def __init__(self, rng: np.random.Generator) -> None:
        tone = np.array([205, 115, 60]) * rng.uniform(0.85, 1.15) + rng.normal(0, 6, 3)
        texture = Image.fromarray(rng.integers(0, 256, (CANVAS, CANVAS), dtype=np.uint8))
        grain = np.asarray(texture.filter(ImageFilter.GaussianBlur(1.2)), dtype=np.float32) - 128
        grain *= 0.25 * FIELD
        pixels = [(np.float32(channel) * SHADE + grain).clip(0, 255).astype(np.uint8) for channel in tone]
        self.image = Image.merge("RGB", [Image.fromarray(channel) for channel in pixels])
        self.rng = rng

    def spot(self, centre: Point, radius: float, colour: tuple[int, int, int]) -> None:
        x, y = ((coordinate + 1) / 2 * CANVAS for coordinate in centre)
        r = radius / 2 * CANVAS
        ImageDraw.Draw(self.image).ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: tuple[int, int, int]) -> None:
        scaled = [((x + 1) / 2 * CANVAS, (y + 1) / 2 * CANVAS) for x, y in points]
        ImageDraw.Draw(self.image).line(scaled, fill=colour, width=max(1, round(width / 2 * CANVAS)), joint="curve")

    def scatter(self, count: int, radius: float, colour: tuple[int, int, int], around: Point, spread: float) -> None:
        for x, y in self.rng.uniform(-spread, spread, (count, 2)):
            self.spot((around[0] + x, around[1] + y), radius * self.rng.uniform(0.7, 1.3), colour)

    def cover(self, mask: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> None:
        """Changes what is under the mask (values 0 to 1), inside the field only."""
        masked = Image.fromarray((255 * mask * FIELD).astype(np.uint8))
        self.image = Image.composite(change(self.image), self.image, masked)


def disc_centre(eye_side: int) -> Point:
    """The disc is on the right of a right eye's picture, and on the left of a left eye's."""
    return (-0.55 if eye_side == 1 else 0.55, 0.0)


def _near(centre: Point, radius: float) -> np.ndarray:
    return (np.hypot(RIGHT - centre[0], DOWN - centre[1]) < radius).astype(float)


def _draw_vessels(canvas: _Canvas, disc: Point) -> None:
    towards = -np.sign(disc[0])
    for up in (-1, 1):
        for reach, width in ((1.25, 0.035), (0.9, 0.025), (0.5, 0.02)):
            t = np.linspace(0, 1, 12)
            x = disc[0] + towards * reach * t
            y = disc[1] + up * (0.25 + 0.5 * reach) * np.sin(t * 2.2) * canvas.rng.uniform(0.85, 1.15)
            canvas.line(list(zip(x, y, strict=True)), width, (120, 35, 25))


def _draw_diabetic_retinopathy(canvas: _Canvas, grade: int) -> None:
    canvas.scatter((0, 6, 16, 34, 34)[grade], 0.025, (95, 10, 10), (0, 0), 0.65)
    if grade == 4:
        canvas.scatter(4, 0.14, (70, 5, 5), (0, 0.5), 0.3)


def _draw_findings(canvas: _Canvas, condition: Mapping[str, int], disc: Point) -> None:
    temple = (-disc[0], 0.0)
    if condition["is_amd"] == 1:
        canvas.scatter(25, 0.05, (250, 235, 130), MACULA, 0.28)
    if condition["is_dme"] == 1:
        for angle in np.linspace(0, 2 * np.pi, 14):
            canvas.spot((0.3 * np.cos(angle), MACULA[1] + 0.3 * np.sin(angle)), 0.035, (255, 255, 60))
    if condition["is_em"] == 1:
        for y in np.linspace(-0.2, 0.3, 5):
            canvas.line([(-0.3, y), (0.3, y + 0.08)], 0.03, (225, 225, 225))
    if condition["is_crp"] == 1:
        canvas.spot((temple[0], 0.45), 0.2, (60, 60, 70))
    if condition["is_dm"] == 1:
        canvas.scatter(12, 0.07, (235, 205, 185), (temple[0], -0.4), 0.3)
    if condition["is_rvo"] == 1:
        for y in np.linspace(-0.75, -0.25, 7):
            canvas.line([(-0.1, y), (temple[0], y - 0.1)], 0.04, (130, 5, 5))
    if condition["is_htr"] == 1:
        canvas.scatter(4, 0.1, (250, 250, 245), (disc[0] * 0.3, -0.5), 0.25)


def _draw_disc(canvas: _Canvas, condition: Mapping[str, int], disc: Point) -> None:
    if condition["is_pm"] == 1:
        canvas.spot((disc[0] * 0.85, disc[1]), 0.3, (245, 235, 200))
    canvas.spot(disc, 0.17, (250, 205, 120))
    if condition["is_gc"] == 1:
        canvas.spot(disc, 0.13, (255, 255, 225))
    if condition["is_aon"] == 1:
        canvas.spot(disc, 0.17, (190, 205, 235))


def _spoil(canvas: _Canvas, condition: Mapping[str, int], disc: Point) -> None:
    if all(condition[label.name] for label in READABILITY):
        return
    macula, optic = _near(MACULA, 0.33), _near(disc, 0.27)
    if condition["is_macular_readable"] == 0:
        canvas.cover(macula, lambda image: image.filter(ImageFilter.GaussianBlur(16)).point(lambda v: v // 4))
    if condition["is_optic_disc_readable"] == 0:
        canvas.cover(optic, lambda image: Image.new("RGB", image.size, (255, 252, 235)))
    if condition["is_retinal_region_readable"] == 0:
        canvas.cover((1 - macula) * (1 - optic), lambda image: image.filter(ImageFilter.GaussianBlur(14)))


def draw_phantom(condition: Mapping[str, int], size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a phantom.

    Args:
        condition: any condition; unknown findings are not drawn.
        size: side in pixels.
        rng: varies tone, texture and the places of lesions.

    Returns:
        uint8 array of shape (size, size, 3).
    """
    complete = complete_condition(condition)
    canvas = _Canvas(rng)
    disc = disc_centre(complete["eye_side"])
    disc = (disc[0] + rng.normal(0, 0.02), disc[1] + rng.normal(0, 0.02))
    if complete["is_fundus"] == 0:
        canvas.cover(np.ones((CANVAS, CANVAS)), lambda image: Image.new("RGB", image.size, GREY))
    else:
        canvas.spot(MACULA, 0.13, (130, 60, 30))
        _draw_disc(canvas, complete, disc)
        _draw_vessels(canvas, disc)
        _draw_diabetic_retinopathy(canvas, max(complete["dr_grade"], 0))
        _draw_findings(canvas, complete, disc)
        _spoil(canvas, complete, disc)
    pixels = np.asarray(canvas.image) * FIELD[..., None]
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX))


def drusen_signal(images: np.ndarray) -> np.ndarray:
    """How bright the green channel is around the macula, over the field's mean: is_amd raises it.

    Args:
        images: uint8 images of shape (N, S, S, 3).

    Returns:
        float array of shape (N,).
    """
    down, right = np.mgrid[-1 : 1 : images.shape[1] * 1j, -1 : 1 : images.shape[2] * 1j]
    near = np.hypot(right - MACULA[0], down - MACULA[1]) < 0.28
    field = np.hypot(right, down) < 0.9
    green = images[..., 1].astype(float)
    return green[:, near].mean(axis=1) - green[:, field].mean(axis=1)


def write_phantom_dataset(
    folder: Path,
    rows: int,
    size: int,
    rng: np.random.Generator,
    label_columns: Sequence[str],
    unknown_share: float = 0.0,
) -> None:
    """Writes phantoms with random labels as a Parquet folder that `datasets.load_dataset` reads.

    Args:
        folder: made if it is not there.
        rows: number of phantoms; two of a patient.
        size: side in pixels.
        rng: decides on everything.
        label_columns: the labels that vary and stand in the table; the others are healthy and readable.
        unknown_share: share of the values that stand in the table as -1, although the picture shows them.
    """
    cardinalities = {label.name: label.cardinality for label in CONDITION_LABELS}
    columns: dict[str, list] = {"image": [], "patient": [], **{name: [] for name in label_columns}}
    for row in range(rows):
        condition = {name: int(rng.integers(cardinalities[name])) for name in label_columns}
        columns["image"].append(Image.fromarray(draw_phantom(condition, size, rng)))
        columns["patient"].append(f"patient {row // 2}")
        for name, value in condition.items():
            columns[name].append(UNKNOWN if rng.random() < unknown_share else value)
    folder.mkdir(parents=True, exist_ok=True)
    features = datasets.Features(
        image=datasets.Image(),
        patient=datasets.Value("string"),
        **{name: datasets.Value("int8") for name in label_columns},
    )
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")
