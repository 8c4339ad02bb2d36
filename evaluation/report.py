"""All experiments on one synthetic dataset, as one report: `python -m evaluation.report --help`.

The result of each experiment is saved; an interrupted report can be resumed by running the command again. An
experiment is repeated if its data, its options or any code that it uses has changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from evaluation.cache import code_fingerprint, fingerprint
from evaluation.data.options import add_real_options
from evaluation.data.study import Study, load_study
from evaluation.errors import NotMeasurable, one_line_errors
from evaluation.experiments import distances, downstream, label_fidelity, material, privacy, two_sample
from evaluation.experiments.downstream_runs import Plan
from evaluation.measures.classifier import architecture_key
from evaluation.measures.classifier_training import Schedule
from evaluation.measures.features import FeatureSpace, dinov2_space, imagenet_space, inception_space
from evaluation.measures.judge import ARCHITECTURE, Judge, retina_space, train_judge
from evaluation.report_page.page import failures, write_public_report, write_report
from evaluation.report_page.results import Result

EXPERIMENTS = ("material", "two-sample", "distances", "label-fidelity", "privacy", "downstream")


class Report:
    """The experiments on one study.

    Args:
        study: the data.
        options: of the command line.
    """

    def __init__(self, study: Study, options: argparse.Namespace) -> None:
        self.study = study
        self.options = options
        self.schedule = Schedule(images_seen=options.images_seen, seed=options.seed)
        self.plan = Plan(
            tasks=tuple(options.tasks),
            size=options.downstream_size,
            fractions=tuple(options.fractions),
            networks=tuple(options.networks),
            seeds=tuple(range(options.seed, options.seed + options.num_seeds)),
            initialised=("imagenet", *options.checkpoint),
            schedule=Schedule(images_seen=options.downstream_images_seen),
        )
        self._judge: Judge | None = None

    def judge(self) -> Judge:
        """The classifier of real photographs, trained when it is first needed."""
        self._judge = self._judge or train_judge(
            self.study.train, self.study.cache, self.options.architecture, self.schedule
        )
        return self._judge

    def spaces(self) -> dict[str, FeatureSpace | NotMeasurable]:
        """All feature spaces, or why one is not available."""
        return {**self.general_spaces(), "retina": retina_space(self.judge(), self.study.cache)}

    def general_spaces(self) -> dict[str, FeatureSpace | NotMeasurable]:
        """The feature spaces that were not trained on the photographs of this study."""
        cache = self.study.cache
        loaders: dict[str, Callable[[], FeatureSpace]] = {
            "imagenet": lambda: imagenet_space(cache),
            "dinov2": lambda: dinov2_space(cache),
            "inception": lambda: inception_space(cache, self.options.inception_weights),
        }
        return {name: _loaded(loaders[name]) for name in self.options.features}

    def run(self, name: str) -> Result:
        """The result of one of `EXPERIMENTS`, computed, or loaded if nothing that it depends on has changed."""
        study = self.study
        experiments: dict[str, Callable[[], Result]] = {
            "material": lambda: material.run(study),
            "two-sample": lambda: two_sample.run(study, self.general_spaces(), self.schedule),
            "distances": lambda: distances.run(study, self.spaces()),
            "label-fidelity": lambda: label_fidelity.run(study, self.judge(), self.options.architecture),
            "privacy": lambda: privacy.run(study, imagenet_space(study.cache)),
            "downstream": lambda: downstream.run(study, self.plan),
        }
        path = study.folder / "results" / f"{name}.json"
        key = self._key(name)
        if path.exists():
            saved = Result.load(path)
            if saved.fingerprint == key and all((study.folder / figure.file).exists() for figure in saved.figures):
                print(f"{name}: read from {path}")
                return saved
        print(f"{name}: running")
        result = experiments[name]()
        result.fingerprint = key
        result.save(path)
        return result

    def _key(self, name: str) -> str:
        """Fingerprint of the data, the options and the code of an experiment."""
        judged = [architecture_key(self.options.architecture), asdict(self.schedule)]
        spaces = {
            name: space.version if isinstance(space, FeatureSpace) else str(space)
            for name, space in (self.general_spaces().items() if name in ("two-sample", "distances") else ())
        }
        options = {
            "two-sample": [asdict(self.schedule), spaces],
            "distances": [judged, spaces],
            "label-fidelity": judged,
            "downstream": [asdict(self.plan), [architecture_key(network) for network in self.plan.initialised]],
        }
        module = f"evaluation.experiments.{name.replace('-', '_')}"
        # The classifier and the feature spaces are made here and given to the experiments.
        code = [code_fingerprint(each) for each in (module, "evaluation.measures.judge")]
        return fingerprint(self.study.fingerprint, options.get(name), code)


def _loaded(load: Callable[[], FeatureSpace]) -> FeatureSpace | NotMeasurable:
    try:
        return load()
    except NotMeasurable as reason:
        return reason


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--synthetic", required=True, help="folder or Hub id of the synthetic images, with label columns"
    )
    add_real_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--public", type=Path, help="folder for the report without the figures of real photographs")
    parser.add_argument(
        "--chosen-on", type=Path, nargs="*", default=[], help="lists of patients on whom a choice was made: refused"
    )
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels (%(default)s)")
    parser.add_argument("--limit", type=int, default=0, help="maximum number of images per side, 0 for all")
    parser.add_argument("--limit-synthetic", type=int, default=0, help="maximum number of synthetic images, 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="determines everything random (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, help="experiments to run")
    parser.add_argument(
        "--architecture",
        default=ARCHITECTURE,
        help="of the classifier of labels: resnet, vit, imagenet or a folder (%(default)s)",
    )
    parser.add_argument("--images-seen", type=int, default=16_000, help="by each classifier in training (%(default)s)")
    parser.add_argument(
        "--features",
        nargs="+",
        choices=("imagenet", "dinov2", "inception"),
        default=["imagenet", "dinov2"],
        help="networks for distances; dinov2 needs synfundus[dinov2], inception (FID) synfundus[fid] (%(default)s)",
    )
    parser.add_argument("--inception-weights", type=Path, help="weights of Inception-v3, for machines without internet")
    parser.add_argument(
        "--tasks", nargs="+", default=Plan.tasks, help="diseases of the downstream experiment (%(default)s)"
    )
    parser.add_argument(
        "--networks",
        nargs="*",
        choices=Plan.networks,
        default=Plan.networks,
        help="that learn it from random weights (%(default)s)",
    )
    parser.add_argument("--downstream-size", type=int, default=64, help="side of its images in pixels (%(default)s)")
    parser.add_argument("--downstream-images-seen", type=int, default=6000, help="in each of its runs (%(default)s)")
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=[0.01, 0.1, 0.5, 1.0], help="of the real patients"
    )
    parser.add_argument("--num-seeds", type=int, default=3, help="runs of each kind (%(default)s)")
    parser.add_argument(
        "--checkpoint", nargs="*", default=[], help="folders of checkpoints of transformers to fine-tune"
    )
    options = parser.parse_args(arguments)
    lowest = {"size": 32, "downstream_size": 32, "images_seen": 32, "num_seeds": 1, "limit": 0, "limit_synthetic": 0}
    for name, least in lowest.items():
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; allowed is {least} or more")
    if not all(0 < fraction <= 1 for fraction in options.fractions):
        parser.error(f"--fractions are {options.fractions}; allowed are numbers above 0 and up to 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Runs the experiments and writes the report; the exit code is 1 if a threshold fails it, 2 for bad input."""
    options = parse_arguments(arguments)
    with one_line_errors():
        study = load_study(
            options.synthetic,
            options.real,
            options.out,
            options.size,
            options.real_config,
            options.patient_column,
            options.splits,
            options.chosen_on,
            options.limit,
            options.limit_synthetic,
            options.seed,
        )
        report = Report(study, options)
        results = {name: report.run(name) for name in options.only}
    title = f"Evaluation of {Path(options.synthetic).name}"
    write_report(options.out, title, list(results.values()))
    if options.public is not None:
        write_public_report(options.public, title, results, options.out)
    print(f"the report is {options.out / 'report.html'}")
    if found := failures(list(results.values())):
        print(f"the report fails: {'; '.join(found)}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
