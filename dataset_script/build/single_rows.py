"""Generates the images of single rows: `python -m dataset_script.generate --rows 123456,7 --out FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pipeline_synfundus.labels import describe
from synfundus.files import atomic_file

from ..errors import BuildError
from ..plan.condition_plan import ConditionPlan
from ..schema import file_name
from .folder import read_record
from .image_format import FORMATS, encode_image, image_facts
from .image_generator import Model
from .shards import Source


def write_images(
    out: Path, numbers: Sequence[int], plan: ConditionPlan, model: Model, source: Source, image_format: str
) -> None:
    """Writes the image of each row to a file named after the row, and prints its labels.

    On the same kind of device, the image equals that in a dataset of the same plan, model and settings up to rounding
    errors that depend on the batch size: single pixels differ, by 1 of 255 in float32. See `image_generator`.

    Args:
        out: folder of the image files.
        numbers: the row numbers.
        plan: the plan of the rows.
        model: the generator named in the files.
        source: generates the images.
        image_format: a key of `image_format.FORMATS`.

    Raises:
        BuildError: if the folder holds a dataset.
    """
    if read_record(out) is not None:
        raise BuildError(f"{out} is a dataset; give --out another folder for the images of --rows")
    for idx in tqdm(numbers, unit="image", desc="Generating"):
        row = plan.row(idx)
        facts = image_facts(idx, model.name, model.revision, plan.hash)
        path = out / file_name(idx, FORMATS[image_format].suffix)
        with atomic_file(path) as file:
            file.write(encode_image(source([row])[0], image_format, facts))
        tqdm.write(f"{path}: {describe(row.condition)}")
