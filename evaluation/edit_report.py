"""Measures edits of photographs: does the requested finding change, and does the rest of the eye stay?

    python -m evaluation.edit_report --real path/to/photographs --splits splits.csv --out edits

Findings are added to and removed from photographs of test patients, with several strengths, with random noise and with
inversion. A classifier that was trained on photographs of the training patients judges them. Edited images are saved;
an interrupted report can be resumed by running it again. The report shows no photograph: the eyes in its figures are
generated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from dataset_script.build.image_generator import DEFAULT_MODEL, find_model
from dataset_script.errors import BuildError
from evaluation.cache import code_fingerprint, fingerprint, write_rows
from evaluation.data.images import open_images
from evaluation.data.options import add_real_options
from evaluation.data.photographs import Photographs, load_photographs
from evaluation.data.splits import PARTS, TEST, TRAINING, assign_parts, refuse_chosen_on
from evaluation.errors import EvaluationError, one_line_errors
from evaluation.experiments.edit_effects import (
    MEASURES,
    Effect,
    Originals,
    attainable,
    measure_effect,
)
from evaluation.experiments.edits import CHANGES, INVERSION, NOISE, Change, Editor, Way, list_ways
from evaluation.generator import load_generator
from evaluation.measures.classifier import answers
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.judge import ARCHITECTURE, Judge, train_judge
from evaluation.measures.statistics import MIN_PER_CLASS, Interval, measurable_questions
from evaluation.report_page import figures
from evaluation.report_page.page import write_report
from evaluation.report_page.results import Cell, Figure, Result, Table
from pipeline_synfundus.labels import complete_condition, to_codes

SHOWN_SEED = 1
METHOD = (
    "For each change, at most {limit} readable photographs of {part} patients that can be changed so are edited; "
    "their known labels are the source conditions. The requested label: AUC between the edited images and their "
    "originals by the answer of a classifier ({architecture}, {size}x{size} pixels), which was trained on photographs "
    "of the training patients, in the requested direction. 0.5 means that nothing changed. The first table has the "
    "AUC of the same classifier between photographs with and without the finding, within source. Other labels: mean "
    "distance of the same AUC from 0.5; 0 means that nothing else changed. Vessels: Dice of the strongest responses "
    "of a vessel filter. Disc: median distance of its centre, in percent of the image's side, where it is found in "
    "both. The reconstruction of the autoencoder is the least that an edit changes; a new eye with the requested "
    "labels is the most. Intervals are 95 % bootstraps by patient."
)


class EditStudy:
    """Edits of the photographs of some patients.

    Args:
        editor: makes the edits.
        judge: a classifier of photographs of other patients.
        judged: the questions that it has learned.
        photographs: those that may be edited, at any size.
        read: reads the photographs with the given `names` at the size of the model.
        folder: the report's.
        version: fingerprint of the model, part of the key of saved images.
        limit: at most so many photographs are edited for a change.
    """

    def __init__(
        self,
        editor: Editor,
        judge: Judge,
        judged: np.ndarray,
        photographs: Photographs,
        read: Callable[..., Photographs],
        folder: Path,
        version: str,
        limit: int,
    ) -> None:
        self.editor, self.judge, self.judged, self.photographs, self.read = editor, judge, judged, photographs, read
        self.folder, self.version, self.limit = folder, version, limit

    def originals(self) -> dict[Change, Originals]:
        """The photographs of each change that has enough of them.

        Raises:
            EvaluationError: if no change has.
        """
        found = {}
        for change in CHANGES:
            usable = self.photographs[np.flatnonzero(change.applies_to(self.photographs))].sample(self.limit, 0)
            if len(usable) >= MIN_PER_CLASS:
                found[change] = Originals(self.read(names=usable.names), change, self.judge, self.judged)
        if not found:
            raise EvaluationError(f"no change applies to {MIN_PER_CLASS} readable photographs")
        return found

    def edit(self, originals: Originals, way: Way) -> np.ndarray:
        """The edited images, read from disk if they were made before."""
        photographs, change = originals.photographs, originals.change
        code = code_fingerprint("evaluation.experiments.edits")
        key = fingerprint(self.version, photographs.fingerprint, asdict(change), asdict(way), code)
        path = self.folder / "cache" / f"edited-{key}.npy"
        if not path.exists():
            edited = self.editor(originals.images, photographs.codes, change, way)
            write_rows(path, len(edited), [edited])
        return open_images(path)[:]


def run(study: EditStudy, strengths: Sequence[float], method: str) -> Result:
    """The report as a result with its tables and figures."""
    ways, originals = list_ways(strengths), study.originals()
    effects: dict[tuple[Change, Way], Effect] = {}
    for change, way in tqdm([(c, w) for c in originals for w in ways], desc="edits", unit="edit"):
        effects[change, way] = measure_effect(originals[change], study.edit(originals[change], way), 0)
    result = Result("Edits of photographs", method)
    counts: list[list[Cell]] = [
        [change.name, len(each.photographs), attainable(study.judge, study.photographs, change, 0)]
        for change, each in originals.items()
    ]
    columns = ["change", "edited photographs", "AUC of photographs with and without it"]
    result.tables.append(Table("edits-photographs", "What was edited", columns, counts))
    rows: list[list[Cell]] = [[change.name, way.name, *effect.cells()] for (change, way), effect in effects.items()]
    result.tables.append(Table("edits", "Effects of the edits", ["change", "way", *MEASURES], rows))
    result.findings += [_describe(way, [effects[change, way] for change in originals]) for way in ways]
    result.figures += _draw_curves(study.folder, ways, list(originals), effects)
    result.figures.append(_draw_examples(study, strengths))
    return result


def _describe(way: Way, effects: list[Effect]) -> str:
    values = []
    for number, name in enumerate(MEASURES):
        found = _values([effect.cells()[number] for effect in effects])
        if found:
            values.append(f"{name} {np.mean(found):.3f}")
    return f"{way.name}: mean over the changes: {', '.join(values)}."


def _values(cells: Sequence[Cell]) -> list[float]:
    """The estimates among these cells."""
    return [cell.value for cell in cells if isinstance(cell, Interval)]


def _draw_curves(
    folder: Path, ways: list[Way], changes: list[Change], effects: dict[tuple[Change, Way], Effect]
) -> list[Figure]:
    """A curve over the strength for each measure: mean and range over the changes."""
    drawn = []
    for number, name in enumerate(MEASURES):
        lines = {}
        for kind in (NOISE, INVERSION):
            chosen = [way for way in ways if way.kind == kind]
            values = [
                numbers
                for change in changes
                if len(numbers := _values([effects[change, way].cells()[number] for way in chosen])) == len(chosen)
            ]
            if values:
                lines[kind] = [way.strength for way in chosen], np.array(values)
        if lines:
            file = figures.curves(folder, f"edits-{number}", lines, ("strength", name))
            drawn.append(Figure(file, f"{name} by strength: mean and range over the changes"))
    return drawn


def _draw_examples(study: EditStudy, strengths: Sequence[float]) -> Figure:
    """A generated eye, its edit, and the difference, for each change."""
    editor, way = study.editor, Way(INVERSION, max(strengths))
    rows: dict[str, list[np.ndarray]] = {"original": [], "edited": [], "difference": []}
    for change in CHANGES:
        condition = complete_condition({change.label: change.before})
        drawn: Any = editor.pipeline(condition, generator=SHOWN_SEED)
        eye = np.asarray(drawn.images[0])
        edited = editor(eye[None], np.array([to_codes(condition)]), change, way)[0]
        difference = np.abs(eye.astype(int) - edited).mean(axis=2, keepdims=True).repeat(3, axis=2)
        rows["original"].append(eye)
        rows["edited"].append(edited)
        rows["difference"].append((3 * difference).clip(0, 255).astype(np.uint8))
    stacked = {name: np.stack(images) for name, images in rows.items()}
    titles = [change.name for change in CHANGES]
    file = figures.grid(study.folder, "edits-examples", stacked, titles, figures.PUBLIC)
    caption = f"Generated eyes edited with {way.name}, and three times the mean difference"
    return Figure(file, caption)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.edit_report", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default=str(DEFAULT_MODEL), help="folder or Hub id of the pipeline (the bundled)")
    add_real_options(parser)
    add("--chosen-on", type=Path, nargs="*", default=[], help="lists of patients on whom a choice was made: refused")
    add("--part", choices=PARTS[1:], default=TEST, help="the patients whose photographs are edited (%(default)s)")
    add("--limit", type=int, default=60, help="maximum number of photographs for each change (%(default)s)")
    add("--limit-real", type=int, default=0, help="maximum number of real photographs in total, 0 for all")
    add("--strengths", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9], help="of the edits (%(default)s)")
    add("--size", type=int, default=128, help="side of the images that the classifier judges, in pixels (%(default)s)")
    add("--architecture", default=ARCHITECTURE, help="of the classifier of labels: resnet, vit, imagenet or a folder")
    add("--images-seen", type=int, default=16_000, help="by the classifier in training (%(default)s)")
    add("--out", type=Path, required=True, help="the report's folder")
    options = parser.parse_args(arguments)
    if not all(0 < strength <= 1 for strength in options.strengths):
        parser.error(f"--strengths are {options.strengths}; allowed are numbers above 0 and up to 1")
    for name in ("limit", "size", "images_seen"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; allowed is 1 or more")
    return options


def prepare(options: argparse.Namespace) -> EditStudy:
    """Loads the model and the photographs, and trains the classifier.

    Raises:
        BuildError: if the model cannot be loaded.
        EvaluationError: for photographs that cannot be used.
    """
    model, cache = find_model(options.model), options.out / "cache"
    pipeline = load_generator(model.folder)
    height, width = pipeline.image_size
    if height != width:
        raise EvaluationError(f"model {options.model!r} has images of {width}x{height} pixels; allowed are squares")
    if options.size > height:
        raise EvaluationError(
            f"--size is {options.size}, but the model's images have {height} pixels; allowed is up to that"
        )
    # Every photograph at the size of the classifier, and those to edit at the size of the model.
    load = partial(
        load_photographs,
        options.real,
        cache=cache,
        config=options.real_config,
        patient_column=options.patient_column,
        limit=options.limit_real,
    )
    real = load(size=options.size)
    parts, _ = assign_parts(real.patients, real.splits, options.splits)
    training, chosen = real[parts == TRAINING], real[parts == options.part]
    if not len(training) or not len(chosen):
        raise EvaluationError(f"{len(training)} training and {len(chosen)} {options.part} photographs; both are needed")
    if options.part == TEST:
        refuse_chosen_on(chosen.patients, options.chosen_on)
    judge = train_judge(training, cache, options.architecture, Schedule(images_seen=options.images_seen))
    judged = measurable_questions(answers(training.codes))
    read = partial(load, size=height)
    return EditStudy(Editor(pipeline), judge, judged, chosen, read, options.out, model.revision, options.limit)


def main(arguments: list[str] | None = None) -> None:
    """The command line; the exit code is 2 for bad input."""
    options = parse_arguments(arguments)
    with one_line_errors(BuildError):
        study = prepare(options)
        given = {name: getattr(options, name) for name in ("limit", "part", "architecture", "size")}
        result = run(study, options.strengths, METHOD.format(**given))
    write_report(options.out, f"Edits by {Path(options.model).name}", [result])
    print(f"the report is {options.out / 'report.html'}")


if __name__ == "__main__":
    main()
