"""What the report's numbers were measured on: how many images, of whom, with which labels."""

from __future__ import annotations

from evaluation.data.photographs import EQUALISING, JPEG_QUALITY
from evaluation.data.study import Study
from evaluation.errors import EvaluationError
from evaluation.report_page.results import Cell, Result, Table
from pipeline_synfundus.labels import LABELS, UNKNOWN


def run(study: Study) -> Result:
    """Counts the material.

    Raises:
        EvaluationError: if no label is known on both sides: nothing could be compared.
    """
    parts = {"synthetic": study.synthetic, "real, training": study.train, "real, held out": study.held_out}
    rows: list[list[Cell]] = [["images", *map(len, parts.values())]]
    rows.append(["patients", "", *(len(set(part.patients)) for part in list(parts.values())[1:])])
    shared = []
    for label in LABELS:
        known = [(part.label(label.name) != UNKNOWN).any() for part in parts.values()]
        if known[0] and any(known[1:]):
            shared.append(label.name)
        for value, name in list(enumerate(label.values))[0 if label.name == "dr_grade" else 1 :]:
            counts = [int((part.label(label.name) == value).sum()) for part in parts.values()]
            rows.append([f"{label.name} = {value} ({label.full_name}: {name})", *counts])
    if not shared:
        raise EvaluationError("the synthetic and the real source have no label in common; needed is at least one")
    size = study.synthetic.images.shape[1]
    result = Result("Material", EQUALISING.format(size=size, quality=JPEG_QUALITY))
    result.findings.append(
        "The generator has not seen the held-out patients."
        if study.held_out_known
        else "It is not known whom the generator has seen: the held-out patients were drawn here, and are held out "
        "from the classifiers of this report only."
    )
    result.tables.append(Table("material", "Images and labels", ["", *parts], rows))
    return result
