"""Adapts a trained generator to the photographs of one camera.

    python -m training.adapt --photographs path/to/photographs --group-column patient --out runs/my-camera

A few hundred photographs with any of the labels are enough. Only a part of the UNet is trained (see
`training.adaptation.start`). After each round the weights are measured on patients who are not trained on, and their
samples are compared with the training photographs: the adaptation ends when the validation loss no longer falls, when
the generator begins to memorise, or when the time is over. The best weights are written to `<out>/pipeline`.

The same command resumes an interrupted run, and leaves a finished one as it is.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from synfundus.files import write_whole
from training.adaptation.history import Evaluation, History
from training.adaptation.near_copies import CopySearch
from training.adaptation.photographs import check_source, check_split
from training.adaptation.samples import draw_samples
from training.adaptation.settings import AdaptationSettings
from training.adaptation.start import load_start, make_loss, pipeline_encoder, trained_parameters
from training.card.model_card import earlier_runs, make_record, was_made_from
from training.card.pipeline_folder import save_pipeline
from training.command_line.errors import one_line_errors
from training.configuration.config import ConfigError, DataConfig
from training.configuration.fingerprint import make_fingerprint
from training.configuration.pretrained import generator_digests
from training.data.examples import in_mixed_precision
from training.data.generator_data import load_data
from training.data.order import EpochOrder
from training.data.prepared import prepare_data
from training.loop.processes import make_accelerator
from training.loop.trainer import Trainer
from training.losses.flow_matching import FlowMatchingLoss, validation_loss
from training.splits import write_parts

STAGE = "adaptation"
# Few photographs are held out, so the validation loss is the mean over several draws of noise.
VALIDATION_DRAWS = 4


class NothingGained(RuntimeError):
    """No weights of the adaptation are better than those it started from."""


def adapt(settings: AdaptationSettings) -> Path:
    """Adapts the generator and returns the folder of the finished pipeline.

    Raises:
        ConfigError: for settings, a generator or photographs that cannot be used, before the training starts.
        CheckpointError: if the run cannot be resumed, or a checkpoint cannot be written.
        TrainingStopped: if a signal or steps that are not finite end the run early.
        NothingGained: if the validation loss never falls; no pipeline is written.
    """
    run = _Adaptation(settings)
    if was_made_from(run.folder, run.made_from):
        print("the adaptation is finished: nothing to do")
        return run.folder
    while (reason := run.history.reason_to_stop(settings)) is None:
        run.train_round()
    print(f"stopped because {reason}")
    run.write_pipeline(reason)
    return run.folder


class _Adaptation:
    """The generator in training, its photographs, and what was measured so far."""

    def __init__(self, settings: AdaptationSettings) -> None:
        self.settings, self.out = settings, Path(settings.out)
        self.folder = self.out / "pipeline"
        self.pipeline = load_start(settings.model, settings.revision)
        self.start_folder = self.pipeline.name_or_path
        self.config = settings.training_config(self.pipeline)
        evaluations = self.out / "evaluations.json"
        if not evaluations.exists():
            check_source(self.config)
        self.accelerator = make_accelerator(self.config, self.out / STAGE)
        if self.accelerator.num_processes > 1:
            raise ConfigError(f"training.adapt runs in one process, but {self.accelerator.num_processes} were started")
        self.photographs = prepare_data(self.config.data, self.config.resolution, self.out / "cache")
        self.fingerprint = make_fingerprint(
            self.config,
            "generator",
            objective=self.pipeline.scheduler.config.prediction_type,
            trained=list(trained_parameters(self.pipeline)),
            round_images=settings.round_images,
            samples=settings.samples,
            start_sha256=generator_digests(self.pipeline),
            photographs_sha256=self.photographs.digest,
        )
        self.history = History(evaluations, self.fingerprint)
        self.pipeline.to(self.accelerator.device)
        encoder = pipeline_encoder(self.pipeline)
        if encoder is not None:
            encoder = in_mixed_precision(encoder, self.accelerator.mixed_precision, self.accelerator.device)
        self.data = load_data(self.config, encoder, self.config.resolution)
        self.validation = check_split(self.data, self.config)
        if self.config.data.test_share:  # after all checks: a refused command must not change the list of another run
            write_parts(self.config, self.out / "splits.csv")

    @property
    def made_from(self) -> dict[str, Any]:
        """Everything that the finished pipeline depends on."""
        return self.fingerprint | {name: getattr(self.settings, name) for name in ("minutes", "images", "patience")}

    @cached_property
    def copies(self) -> CopySearch:
        """Searches the training photographs for originals of samples."""
        images, patients = self.photographs.images, self.photographs.groups
        training, validation = (np.unique(part.source_rows) for part in (self.data.training, self.validation))
        return CopySearch(images, patients, training, validation)

    def train_round(self) -> None:
        """Trains one round, or none before the first evaluation, and evaluates the averaged weights."""
        started, evaluations = time.monotonic(), self.history.evaluations
        images_seen = evaluations[-1].images_seen + self.settings.round_images if evaluations else 0
        loss = make_loss(self.pipeline, self.data.training, self.config.generator)
        if images_seen:
            self._train(loss, images_seen)
        draws = range(self.settings.seed, self.settings.seed + VALIDATION_DRAWS)
        losses = [validation_loss(loss.eval(), self.validation, draw, self.accelerator) for draw in draws]
        samples = draw_samples(self.pipeline, self.data.training, self.settings.samples, self.settings.seed)
        found = self.copies.search(samples)
        better = images_seen and not found.found and np.mean(losses) < self.history.best.validation_loss
        if better:
            self._save_best(images_seen)
        seconds = round(time.monotonic() - started, 1)
        evaluation = Evaluation(images_seen, float(np.mean(losses)), found, seconds)
        self.history.add(evaluation)
        print(evaluation.describe() + (" (best)" if better else ""))

    def _train(self, loss: FlowMatchingLoss, images_seen: int) -> None:
        """Trains from the newest checkpoint to so many images, and leaves the averaged weights in place."""
        order = EpochOrder(np.arange(len(self.data.training.codes)), self.data.weights, self.settings.seed)
        trainer = Trainer(
            loss,
            self.settings.optimizer(images_seen),
            order,
            self.out / STAGE,
            self.accelerator,
            self.settings.seed,
            lambda path: {},  # evaluated by the caller: an evaluation that is interrupted is repeated
            self.fingerprint,
            source_rows=self.data.training.source_rows,
        )
        trainer.run()
        self.accelerator.free_memory()

    def _best(self, images_seen: int) -> Path:
        return self.out / f"best-{images_seen:09d}.safetensors"

    def _save_best(self, images_seen: int) -> None:
        """Writes the trained parameters, and then removes those that were the best before."""
        weights = {name: p.detach().cpu().contiguous() for name, p in trained_parameters(self.pipeline).items()}
        path = self._best(images_seen)
        write_whole(path, partial(save_file, weights))
        for old in self.out.glob("best-*.safetensors"):
            if old not in (path, self._best(self.history.best.images_seen)):
                old.unlink()

    def write_pipeline(self, reason: str) -> None:
        """Writes the best weights as a pipeline, with its record and card.

        Raises:
            NothingGained: if the best weights are those of the start.
        """
        history, training = self.history, self.data.training
        best = history.best
        if best is history.start:
            raise NothingGained(
                f"the validation loss is {best.validation_loss:.4f} with the weights that the adaptation started from, "
                f"and was lower in none of {len(history.evaluations) - 1} evaluations without memorisation, so no "
                "pipeline was written. Try more photographs, or a lower --learning-rate with another --out"
            )
        self.pipeline.unet.load_state_dict(load_file(self._best(best.images_seen)), strict=False)
        self.pipeline.to("cpu")
        codes = training.codes[: len(training.codes) - training.num_spoiled]
        held_out = len(self.validation.codes)
        record = make_record(self.config, self.pipeline, codes, training.num_spoiled, held_out, self.made_from)
        record["earlier_runs"] = earlier_runs(self.start_folder)
        record["stages"][STAGE] |= {"images_seen": best.images_seen, "validation_loss": best.validation_loss}
        record["adaptation"] = {
            "model": self.settings.model or "the bundled generator",
            "revision": self.settings.revision,
            "trained_parameters": sum(p.numel() for p in trained_parameters(self.pipeline).values()),
            "stopped_because": reason,
            "minutes": round(sum(entry.seconds for entry in history.evaluations) / 60, 1),
            "start": asdict(history.start),
            "best": asdict(best),
            "evaluations": [asdict(entry) for entry in history.evaluations],
        }
        save_pipeline(self.pipeline, self.folder, record)


def parse_settings() -> AdaptationSettings:
    """Reads the command line.

    Raises:
        ConfigError: for a value that is not allowed.
    """
    defaults = AdaptationSettings(DataConfig(""), "")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = parser.add_argument_group("photographs")
    data.add_argument("--photographs", required=True, help="folder or Hub id of photographs, with any label columns")
    data.add_argument("--config-name", help="configuration of the dataset, if it has several")
    data.add_argument("--split", default="train", help="split to read (%(default)s)")
    data.add_argument("--image-column", default="image", help="column of the photographs (%(default)s)")
    data.add_argument("--group-column", help="column of the patients; without it each photograph counts as a patient")
    data.add_argument("--validation-share", type=float, default=0.15, help="share of patients held out (%(default)s)")
    data.add_argument(
        "--test-share",
        type=float,
        default=0.0,
        help="share of patients who take no part, to evaluate the result on; OUT/splits.csv lists them (%(default)s)",
    )
    data.add_argument("--skip-unusable", action="store_true", help="leave out photographs that cannot be decoded")
    data.add_argument("--sources", help="Markdown file with the origin and terms of the photographs, for the card")
    parser.add_argument("--out", required=True, help="folder of the run; the result is in its folder `pipeline`")
    parser.add_argument("--model", help="folder or Hub id of the generator to start from (the bundled one)")
    parser.add_argument("--revision", help="revision of the Hub id")
    for name, text in (
        ("minutes", "time after which no further round is trained"),
        ("images", "images after which no further round is trained"),
        ("evaluation_images", "images per round, after which the weights are evaluated"),
        ("patience", "evaluations without a lower validation loss after which the adaptation ends"),
        ("samples", "images per evaluation that are compared with the training photographs"),
        ("batch_size", "images per optimizer step"),
        ("learning_rate", "learning rate"),
        ("seed", "seed of everything random"),
    ):
        value = getattr(defaults, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{text} (%(default)s)"
        )
    parser.add_argument(
        "--mixed-precision",
        choices=("no", "bf16"),
        default="no",
        help="bf16 where the device has units for it (%(default)s)",
    )
    given = vars(parser.parse_args())
    source = DataConfig(
        given.pop("photographs"),
        given.pop("config_name"),
        given.pop("split"),
        given.pop("image_column"),
        given.pop("group_column"),
        validation_share=given.pop("validation_share"),
        test_share=given.pop("test_share"),
        skip_unusable=given.pop("skip_unusable"),
        sources=given.pop("sources"),
    )
    return AdaptationSettings(source, **given)


def main() -> None:
    """The command line, with one-line errors."""
    with one_line_errors("between two checkpoints", NothingGained):
        folder = adapt(parse_settings())
    print(f"the result is in {folder}")


if __name__ == "__main__":
    main()
