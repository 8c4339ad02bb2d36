"""Quality against network evaluations, over solvers, steps, guidance scales and intervals: how the default was chosen.

    python -m evaluation.sampling_sweep --model pipeline_synfundus --real path/to/photographs --out sweep

With each setting the model generates one image for every clear photograph of the validation patients, with its labels
and the same noise in all settings. Images are saved; an interrupted sweep can be resumed by running it again. The sweep
writes the list of these patients; `evaluation.report --chosen-on` refuses them as test patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler
from tqdm.auto import tqdm

from dataset_script.build.image_generator import DEFAULT_MODEL, find_model
from dataset_script.errors import BuildError
from evaluation.cache import code_fingerprint, fingerprint, write_rows
from evaluation.data.images import Images, open_images, select
from evaluation.data.options import add_real_options
from evaluation.data.photographs import Photographs, equalise, load_photographs
from evaluation.data.splits import TRAINING, VALIDATION, assign_parts
from evaluation.errors import EvaluationError, one_line_errors
from evaluation.experiments.readability import select_clear
from evaluation.generator import load_generator
from evaluation.measures.classifier import answers
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.features import FeatureSpace, imagenet_space
from evaluation.measures.judge import ARCHITECTURE, Judge, train_judge
from evaluation.measures.metrics.frechet_distance.frechet_distance import frechet_distance
from evaluation.measures.metrics.kid.kid import kid
from evaluation.measures.statistics import MIN_PER_CLASS, auc, measurable_questions
from evaluation.report_page import figures
from evaluation.report_page.page import write_report
from evaluation.report_page.results import Cell, Figure, Result, Table
from pipeline_synfundus import SynFundusPipeline
from pipeline_synfundus.labels import CONDITION_NAMES
from synfundus.files import write_text
from synfundus.readability import is_clear

# The scheduler of each solver, and its settings. DPM-Solver++ of first order is DDIM (Lu et al. 2022), for flows Euler;
# diffusers' DDIM takes no flows.
SOLVERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "DPM-Solver++": (DPMSolverMultistepScheduler, {}),
    "UniPC": (UniPCMultistepScheduler, {}),
    "DDIM": (DPMSolverMultistepScheduler, {"solver_order": 1}),
}
STEPS = (4, 6, 8, 12, 20)
SCALES = (1.0, 2.0, 2.5, 3.0, 4.0, 6.0)
INTERVALS = ((0.0, 1.0), (0.0, 0.5), (0.25, 0.75), (0.5, 1.0))
BATCH = 32
PATIENTS = "chosen-on.txt"  # lists the validation patients
SHOWN = 8
MEASURES = ("Frechet distance", "KID", "label AUC", "clear share")
METHOD = (
    "One image for each of the {count} clear photographs of validation patients, with its labels and the same noise "
    "in every setting. Distances are to these photographs, in the features of EfficientNet-Lite0 (ImageNet). The label "
    "AUC is the mean over the measurable labels, by a classifier trained on photographs of the training patients. The "
    "clear share is the share of images that are as sharp and well exposed as training requires of a readable "
    "photograph. One evaluation is one pass of the network over one image; a step with guidance takes two."
)


@dataclass(frozen=True)
class Setting:
    """Sampling settings; the names are those of the pipeline's arguments."""

    solver: str
    num_inference_steps: int
    guidance_scale: float
    guidance_interval: tuple[float, float] = (0.0, 1.0)

    @property
    def evaluations(self) -> int:
        """Passes of the network per image."""
        first, last = (bound * self.num_inference_steps for bound in self.guidance_interval)
        guided = sum(first <= step < last for step in range(self.num_inference_steps))
        return self.num_inference_steps + guided * (self.guidance_scale != 1)


def make_solver(name: str, config: Any) -> Any:
    """The scheduler of one of `SOLVERS`, with the noise schedule of the configuration of another."""
    scheduler, settings = SOLVERS[name]
    return scheduler.from_config(config, **settings)


def default_setting(pipeline: SynFundusPipeline) -> Setting:
    """The default settings of the model, with the first of `SOLVERS`."""
    config = pipeline.config
    interval = (config.default_guidance_start, config.default_guidance_end)
    return Setting(next(iter(SOLVERS)), config.default_num_inference_steps, config.default_guidance_scale, interval)


def compared_solvers(default: Setting) -> list[Setting]:
    """All solvers with all numbers of steps, those of the default among them."""
    numbers = sorted({*STEPS, default.num_inference_steps})
    return [replace(default, solver=solver, num_inference_steps=steps) for solver in SOLVERS for steps in numbers]


def compared_guidance(default: Setting) -> list[Setting]:
    """All guidance scales in all intervals, those of the default among them."""
    scales = sorted({*SCALES, default.guidance_scale})
    intervals = dict.fromkeys([default.guidance_interval, *INTERVALS])
    return [replace(default, guidance_scale=scale, guidance_interval=part) for part in intervals for scale in scales]


class Sweep:
    """Measures settings against photographs.

    Args:
        pipeline: the model.
        held_out: the photographs whose labels are requested.
        judge: a classifier that was not trained on them.
        space: features for distances.
    """

    def __init__(self, pipeline: SynFundusPipeline, held_out: Photographs, judge: Judge, space: FeatureSpace) -> None:
        self.pipeline, self.held_out, self.judge, self.space = pipeline, held_out, judge, space
        self._scheduler_config = pipeline.scheduler.config  # of the model: each solver adds its own settings
        self._real = space(held_out.images)
        self._asked = [dict(zip(CONDITION_NAMES, row, strict=True)) for row in held_out.codes.tolist()]
        self._truth = answers(held_out.codes)
        self._measurable = measurable_questions(self._truth)
        if len(self._measurable) == 0:
            raise EvaluationError(
                f"no label has {MIN_PER_CLASS} clear held-out photographs with it and as many without it"
            )

    def measure(self, images: np.ndarray | Images) -> list[float]:
        """`MEASURES` of images with the labels of the photographs, or of the photographs themselves."""
        vectors = self.space(images)
        probabilities = self.judge.predict(images)
        label_auc = float(np.mean([auc(*self._answers(probabilities, column)) for column in self._measurable]))
        clear = float(np.mean([is_clear(image) for image in images]))
        return [frechet_distance(vectors, self._real), kid(vectors, self._real), label_auc, clear]

    def sample(self, setting: Setting) -> Iterator[np.ndarray]:
        """Generates an equalised image for each photograph, in batches: uint8, shape (B, S, S, 3)."""
        self.pipeline.scheduler = make_solver(setting.solver, self._scheduler_config)
        options = {key: value for key, value in asdict(setting).items() if key != "solver"}
        for start in range(0, len(self._asked), BATCH):
            part = self._asked[start : start + BATCH]
            drawn: Any = self.pipeline(part, generator=list(range(start, start + len(part))), **options)
            yield np.stack([equalise(image, self.held_out.images.shape[1]) for image in drawn.images])

    def _answers(self, probabilities: np.ndarray, column: np.intp) -> tuple[np.ndarray, np.ndarray]:
        """True answers to a question and their probabilities, for rows with a known answer."""
        known = ~np.isnan(self._truth[:, column])
        return self._truth[known, column], probabilities[known, column]


def run(sweep: Sweep, others: Photographs, folder: Path, version: str, default_only: bool = False) -> Result:
    """The sweep as a result with its table and figures.

    Args:
        sweep: measures.
        others: photographs of other patients; as many of them are measured for comparison.
        folder: the result's.
        version: fingerprint of the model, part of the key of saved images.
        default_only: measure the model's default setting only.
    """
    default = default_setting(sweep.pipeline)
    solvers, guidance = ([], []) if default_only else (compared_solvers(default), compared_guidance(default))
    found: dict[Setting, list[float]] = {}
    code = code_fingerprint("evaluation.sampling_sweep")
    samples: dict[str, np.ndarray] = {}
    for setting in tqdm(dict.fromkeys([default, *solvers, *guidance]), desc="settings", unit="setting"):
        path = (
            folder / "cache" / f"samples-{fingerprint(version, sweep.held_out.fingerprint, asdict(setting), code)}.npy"
        )
        if not path.exists():
            write_rows(path, len(sweep.held_out), sweep.sample(setting))
        images = open_images(path)
        found[setting] = sweep.measure(images)
        if setting.solver == default.solver and setting.guidance_interval == default.guidance_interval:
            name = f"{setting.num_inference_steps} steps,\nscale {setting.guidance_scale:g}"
            samples[name] = images[:SHOWN]
    findings = [_reference(sweep, others), _describe(default, found[default])]
    result = Result("Ways to sample", METHOD.format(count=len(sweep.held_out)), findings)
    result.tables.append(_tabulate(found))
    if not default_only:
        result.figures += _draw(folder, solvers, guidance, found)
    file = figures.grid(folder, "sampling-samples", samples, (), figures.PUBLIC)
    result.figures.append(Figure(file, "The same noise and conditions by steps and guidance scale"))
    return result


def _reference(sweep: Sweep, others: Photographs) -> str:
    """The same measures of real photographs."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(others))[: len(sweep.held_out)])
    distance = frechet_distance(sweep.space(select(others.images, chosen)), sweep.space(sweep.held_out.images))
    label_auc = sweep.measure(sweep.held_out.images)[2]
    return (
        f"For comparison: {len(chosen)} photographs of other patients have a Frechet distance of {distance:.1f}, and "
        f"the label AUC of the validation photographs themselves is {label_auc:.3f} (pooled over the sources)."
    )


def _describe(default: Setting, numbers: list[float]) -> str:
    values = ", ".join(f"{name} {value:.3f}" for name, value in zip(MEASURES, numbers, strict=True))
    return (
        f"The model's default ({default.solver}, {default.num_inference_steps} steps, guidance of scale "
        f"{default.guidance_scale:g} {_words(default.guidance_interval)}) takes {default.evaluations} "
        f"evaluations per image: {values}."
    )


def _tabulate(found: dict[Setting, list[float]]) -> Table:
    rows: list[list[Cell]] = [
        [
            setting.solver,
            setting.num_inference_steps,
            f"{setting.guidance_scale:g}",
            _words(setting.guidance_interval),
            setting.evaluations,
            *numbers,
        ]
        for setting, numbers in found.items()
    ]
    columns = ["solver", "steps", "guidance scale", "guidance interval", "evaluations", *MEASURES]
    return Table("sampling-sweep", "Quality by setting", columns, rows)


def _draw(
    folder: Path, solvers: list[Setting], guidance: list[Setting], found: dict[Setting, list[float]]
) -> list[Figure]:
    """For each measure, the solvers by evaluations, and the intervals of guidance by its scale."""
    drawn = []
    for number, measure in enumerate(MEASURES):
        by_steps: dict[str, list[tuple[float, float]]] = {}
        by_scale: dict[str, list[tuple[float, float]]] = {}
        for setting in solvers:
            by_steps.setdefault(setting.solver, []).append((setting.evaluations, found[setting][number]))
        for setting in guidance:
            name = f"guidance {_words(setting.guidance_interval)}"
            by_scale.setdefault(name, []).append((setting.guidance_scale, found[setting][number]))
        for lines, kind, axis in (
            (by_steps, "steps", "network evaluations per image"),
            (by_scale, "guidance", "scale"),
        ):
            arrays = {name: ([x for x, _ in line], np.array([[y for _, y in line]])) for name, line in lines.items()}
            name = f"sampling-{kind}-{measure.lower().replace(' ', '-')}"
            drawn.append(Figure(figures.curves(folder, name, arrays, (axis, measure)), f"{measure} by {axis}"))
    return drawn


def _words(interval: tuple[float, float]) -> str:
    return "from {:.0%} to {:.0%}".format(*interval)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.sampling_sweep", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder or Hub id of the pipeline (the bundled)")
    add_real_options(parser)
    parser.add_argument("--size", type=int, default=128, help="side of the compared images in pixels (%(default)s)")
    parser.add_argument(
        "--default-only", action="store_true", help="measure the model's default only, to compare it with another model"
    )
    parser.add_argument("--images-seen", type=int, default=16_000, help="by the classifier in training (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the result's folder")
    options = parser.parse_args(arguments)
    cache = options.out / "cache"
    with one_line_errors(BuildError):
        model = find_model(options.model)
        real = load_photographs(options.real, options.size, cache, options.real_config, options.patient_column)
        parts, _ = assign_parts(real.patients, real.splits, options.splits)
        others, held_out = (real[parts == part] for part in (TRAINING, VALIDATION))
        if not len(others) or not len(held_out):
            raise EvaluationError(f"{len(others)} training and {len(held_out)} validation photographs; both are needed")
        judge = train_judge(others, cache, ARCHITECTURE, Schedule(images_seen=options.images_seen))
        sweep = Sweep(load_generator(model.folder), select_clear(held_out), judge, imagenet_space(cache))
        result = run(sweep, select_clear(others), options.out, model.revision, options.default_only)
    write_text(options.out / PATIENTS, "".join(f"{patient}\n" for patient in np.unique(held_out.patients)))
    write_report(options.out, f"Sampling from {model.name}", [result])
    print(f"the result is {options.out / 'report.html'}")


if __name__ == "__main__":
    main()
