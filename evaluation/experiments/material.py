"""The data of the report: numbers of images and patients, labels, photograph sets, and who has seen the patients."""

from __future__ import annotations

import numpy as np

from evaluation.data.photographs import EQUALISING, JPEG_QUALITY, Photographs, concatenate
from evaluation.data.study import Study
from evaluation.errors import EvaluationError
from evaluation.report_page.results import Cell, Result, Table
from pipeline_synfundus.labels import LABELS, UNKNOWN


def run(study: Study) -> Result:
    """Counts the data.

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
    result.findings += _who_has_seen(study)
    result.tables.append(Table("material", "Images and labels", ["", *parts], rows))
    result.tables.append(_sources(study))
    return result


def _who_has_seen(study: Study) -> list[str]:
    """Sentences about who has seen the held-out patients."""
    unnamed = [source for source, part in _by_source(study).items() if not _names_patients(part)]
    found = [
        "The generator was not trained on the held-out patients, as far as the sets name patients."
        if study.held_out_known
        else "It is not known which patients the generator has seen: the held-out patients were drawn here, and are "
        "held out only from the classifiers of this report.",
        "Choices have their own validation patients, which this report does not use."
        if study.has_validation
        else "There are no validation patients: choices may have been made on the held-out patients.",
    ]
    if unnamed:
        found.append(
            f"These sets do not name patients, or have one photograph of each: {', '.join(unnamed)}. Their photographs "
            "are held out one by one; another photograph of the same eye may be in the training part."
        )
    return found


def _sources(study: Study) -> Table:
    """The photograph sets, with the number of their patients."""
    rows: list[list[Cell]] = []
    for source, part in _by_source(study).items():
        held_out = int((study.held_out.sources == source).sum())
        named = "yes" if _names_patients(part) else "no, or one photograph each: held out by photograph"
        rows.append([source, len(part), len(set(part.patients)), named, held_out])
    columns = ["set", "photographs", "patients", "names patients", "held-out photographs"]
    return Table("sources", "Sets of real photographs", columns, rows)


def _by_source(study: Study) -> dict[str, Photographs]:
    real = concatenate([study.train, study.held_out])
    return {str(source): real[np.flatnonzero(real.sources == source)] for source in np.unique(real.sources)}


def _names_patients(photographs: Photographs) -> bool:
    """Whether a patient of this set has more than one photograph. Otherwise the set may not name patients."""
    return len(set(photographs.patients)) < len(photographs)
