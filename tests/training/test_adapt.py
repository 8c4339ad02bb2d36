"""Adapting a generator: trained by a few steps on one kind of phantom, adapted to a camera with another tone."""

import csv
import json
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from PIL import Image
from safetensors.torch import load_file

from pipeline_synfundus import FundusAutoencoder, SynFundusPipeline
from tests.phantom import write_phantom_dataset
from tests.tiny_pipelines import build_tiny_networks
from training.adapt import NothingGained, _Adaptation, adapt
from training.adaptation.near_copies import CopySearch
from training.adaptation.settings import AdaptationSettings
from training.adaptation.start import TRAINED, load_start
from training.configuration.config import ConfigError, DataConfig
from training.loop.checkpoint import CheckpointError
from training.loop.stopping import TrainingStopped
from training.loop.trainer import Trainer

SIDE = 16
FLOW = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
VELOCITY = DPMSolverMultistepScheduler(
    prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
)


def write_generator(folder: Path, scheduler: object = FLOW) -> Path:
    """A generator of random weights on 8x8 latents of 16x16 pixels."""
    torch.manual_seed(0)
    unet, encoder = build_tiny_networks(4)
    vae = FundusAutoencoder(2, 4, widths=[8], encoder_blocks=[1], decoder_blocks=[1], shuffle=2)
    pipeline = SynFundusPipeline(unet, encoder, scheduler, vae, default_num_inference_steps=2)
    for module in (unet, encoder, vae):
        module.half()
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 phantoms of 40 patients, with one label that is known for some."""
    folder = tmp_path_factory.mktemp("photographs")
    write_phantom_dataset(folder, 80, SIDE, np.random.default_rng(0), ["is_amd"], unknown_share=0.3)
    return folder


def settings(generator: Path, photographs: Path, out: Path, **changes: object) -> AdaptationSettings:
    data = DataConfig(str(photographs), group_column="patient", validation_share=0.35)
    few = {"images": 64, "evaluation_images": 32, "samples": 8, "batch_size": 16, "learning_rate": 2e-3}
    return AdaptationSettings(data, str(out), str(generator), **few | changes)


def read_evaluations(out: Path) -> list[dict]:
    return json.loads((out / "evaluations.json").read_text())["evaluations"]


def weights(folder: Path, network: str = "unet") -> dict[str, torch.Tensor]:
    return load_file(folder / network / "diffusion_pytorch_model.safetensors")


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def adapted(generator: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two rounds."""
    out = tmp_path_factory.mktemp("adapted")
    adapt(settings(generator, photographs, out))
    return out


@pytest.fixture
def out(adapted: Path, tmp_path: Path) -> Path:
    """The folder of a new run, with the photographs prepared already."""
    shutil.copytree(adapted / "cache", tmp_path / "run" / "cache")
    return tmp_path / "run"


def test_the_validation_loss_falls_and_the_best_weights_are_written(adapted: Path) -> None:
    evaluations = read_evaluations(adapted)
    assert [entry["images_seen"] for entry in evaluations] == [0, 32, 64]
    assert evaluations[2]["validation_loss"] < 0.95 * evaluations[0]["validation_loss"]
    best = load_file(adapted / "best-000000064.safetensors")
    written = weights(adapted / "pipeline")
    assert all(torch.equal(written[name], tensor.half()) for name, tensor in best.items())
    assert len(SynFundusPipeline.from_pretrained(adapted / "pipeline")({}, generator=0).images) == 1


def test_everything_but_the_chosen_part_of_the_unet_stays_as_it_was(generator: Path, adapted: Path) -> None:
    for network in ("vae", "condition_encoder"):
        before, after = weights(generator, network), weights(adapted / "pipeline", network)
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    before, after = weights(generator), weights(adapted / "pipeline")
    changed = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert changed
    assert changed <= {name for name in before if any(part in name for part in TRAINED)} < set(before)


def test_the_card_says_what_it_was_adapted_from_and_how_it_ended(generator: Path, adapted: Path) -> None:
    card = " ".join((adapted / "pipeline" / "README.md").read_text().split())
    start, *_, best = read_evaluations(adapted)
    record = json.loads((adapted / "pipeline" / "training_run.json").read_text())
    assert f"It is `{generator}`, trained further on {record['num_photographs']} photographs" in card
    assert "ended because all 64 images were seen." in card
    assert re.search(rf"\| adaptation \| \S+ M \| 64 \| .* \| loss {best['validation_loss']:.4f} \|", card)
    assert f"| {start['validation_loss']:.4f} | {best['validation_loss']:.4f} |" in card
    assert f"on {record['num_held_out']} photographs that were not trained on" in card
    assert record["num_photographs"] + record["num_held_out"] == 80
    assert "$" not in card


def test_a_finished_run_is_left_as_it_is(generator: Path, photographs: Path, adapted: Path) -> None:
    before = state(adapted / "pipeline")
    adapt(settings(generator, photographs, adapted))
    assert state(adapted / "pipeline") == before


def test_an_interrupted_run_continues_to_the_same_weights(
    generator: Path, photographs: Path, adapted: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Trainer._save_and_sample

    def interrupt(trainer: Trainer, signal_received: int) -> None:
        if trainer.state.images_seen == 48:  # in the middle of the second round
            signal_received = signal.SIGTERM
        original(trainer, signal_received)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_and_sample", interrupt)
        with pytest.raises(TrainingStopped, match="SIGTERM"):
            adapt(settings(generator, photographs, out))
    assert len(read_evaluations(out)) == 2
    assert not (out / "pipeline").exists()
    adapt(settings(generator, photographs, out))
    unbroken, continued = weights(adapted / "pipeline"), weights(out / "pipeline")
    assert all(torch.equal(continued[name], tensor) for name, tensor in unbroken.items())


def test_other_settings_within_a_run_are_refused_by_name(
    generator: Path, photographs: Path, adapted: Path, tmp_path: Path
) -> None:
    shutil.copytree(adapted, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"learning_rate was 0\.002 and is now 0\.1"):
        adapt(settings(generator, photographs, tmp_path / "run", learning_rate=0.1))


def test_it_stops_when_samples_are_copies_and_does_not_write_them(
    generator: Path, photographs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def memorised(pipeline: SynFundusPipeline, examples: object, count: int, seed: int) -> np.ndarray:
        """Samples of a generator that has memorised: training photographs, mirrored and a little cropped."""
        images, rows = np.load(next(out.glob("cache/images-*/images.npy"))), examples.source_rows[:count]
        return np.stack([np.asarray(Image.fromarray(images[row]).transpose(0)) for row in rows])

    monkeypatch.setattr("training.adapt.draw_samples", memorised)
    with pytest.raises(NothingGained, match="no pipeline was written"):
        adapt(settings(generator, photographs, out, images=640))
    evaluations = read_evaluations(out)
    assert len(evaluations) == 2
    assert evaluations[1]["memorisation"]["copies"] == 8
    assert evaluations[1]["validation_loss"] < evaluations[0]["validation_loss"]
    assert not (out / "pipeline").exists()


def test_a_photograph_is_found_although_it_is_cropped_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    images = np.stack([np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))) for _ in range(30)]).astype(
        np.uint8
    )
    images[20] = images[3]  # the same photograph under the name of another patient does not lower the floor
    search = CopySearch(images, np.arange(30).astype(str), np.arange(25), np.arange(25, 30))
    assert search.thumbnails.floor > 0.3 and search.layouts.floor > 0.3
    cropped = np.asarray(Image.fromarray(images[5]).resize((64, 64), box=(2, 2, 62, 62)))
    found, others = search.search(cropped[None]), search.search(images[25:])
    assert (found.copies, found.found) == (1, True)
    assert (others.copies, others.found) == (0, False)
    recoloured = images[6:7, :, ::-1, ::-1]  # flipped, with red and blue exchanged
    assert search.thumbnails.nearest(recoloured)[0] > search.thumbnails.floor / 2
    assert search.search(recoloured).copies == 1


def test_it_stops_when_the_validation_loss_no_longer_falls(generator: Path, photographs: Path, out: Path) -> None:
    with pytest.raises(NothingGained, match=r"lower in none of 2 evaluations"):
        adapt(settings(generator, photographs, out, images=10**6, evaluation_images=16, patience=2, learning_rate=50.0))


def test_it_stops_when_the_time_is_over(generator: Path, photographs: Path, out: Path) -> None:
    with pytest.raises(NothingGained):
        adapt(settings(generator, photographs, out, images=10**6, minutes=1e-6))
    assert len(read_evaluations(out)) == 1


def test_a_generator_that_predicts_the_velocity_learns_too(photographs: Path, out: Path, tmp_path: Path) -> None:
    start = write_generator(tmp_path / "start", VELOCITY)
    folder = adapt(settings(start, photographs, out, images=32))
    before, after = read_evaluations(out)
    assert after["validation_loss"] < before["validation_loss"]
    assert SynFundusPipeline.from_pretrained(folder).scheduler.config.prediction_type == "v_prediction"


def test_another_prediction_type_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_generator(tmp_path, DDIMScheduler(prediction_type="sample"))
    with pytest.raises(ConfigError, match=r"scheduler\.prediction_type is 'sample'; allowed are flow_prediction, v_"):
        load_start(str(folder), None)


def test_a_generator_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--model is '.*nowhere', but cannot be loaded"):
        load_start(str(tmp_path / "nowhere"), None)


def rewrite(photographs: Path, folder: Path, change: object) -> Path:
    """A copy of the photographs with another table."""
    table = change(
        datasets.load_dataset(str(photographs), split="train").cast_column("image", datasets.Image(decode=False))
    )
    folder.mkdir()
    table.to_parquet(folder / "train.parquet")
    return folder


def make_unreadable(row: dict, number: int) -> dict:
    return row | ({"image": {"bytes": b"x", "path": None}} if number < 2 else {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.select(range(20)), "has 20 photographs; at least 48 are needed"),
        (lambda table: table.rename_column("is_amd", "is_armd"), "'is_armd' is no label. Did you mean 'is_amd'"),
        (lambda table: table.map(lambda row: {"is_amd": 3}), "row 0 of the source: .*is_amd"),
        (lambda table: table.map(make_unreadable, with_indices=True), "(?s)2 of 80 .*row 0.*row 1.*--skip-unusable"),
    ],
)
def test_photographs_that_cannot_be_used_are_refused_before_any_training(
    generator: Path, photographs: Path, tmp_path: Path, change: object, message: str
) -> None:
    folder = rewrite(photographs, tmp_path / "changed", change)
    with pytest.raises(ConfigError, match=message):
        adapt(settings(generator, folder, tmp_path / "run"))
    assert not (tmp_path / "run" / "evaluations.json").exists()


def test_photographs_smaller_than_the_images_are_listed(generator: Path, tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path / "small", 48, 10, np.random.default_rng(0), [])
    with pytest.raises(ConfigError, match=r"48 photographs have a field of view too small(?s:.*)row 0: 10 pixels"):
        adapt(settings(generator, tmp_path / "small", tmp_path / "run"))


def test_too_few_patients_to_validate_on_are_refused(generator: Path, photographs: Path, out: Path) -> None:
    given = settings(generator, photographs, out)
    with pytest.raises(ConfigError, match=r"--validation-share 0\.01 leaves .* by the column 'patient'"):
        adapt(replace(given, data=replace(given.data, validation_share=0.01)))


@pytest.mark.parametrize("name", ["minutes", "images", "evaluation_images", "patience", "samples", "learning_rate"])
def test_settings_out_of_range_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} is 0, but must be positive"):
        AdaptationSettings(DataConfig("photographs"), "out", **{name: 0})


def test_test_patients_take_no_part_and_are_listed(generator: Path, photographs: Path, tmp_path: Path) -> None:
    given = settings(generator, photographs, tmp_path)
    given = replace(given, data=replace(given.data, validation_share=0.15, test_share=0.2))
    run = _Adaptation(given)
    with (tmp_path / "splits.csv").open() as file:
        parts = {row["patient"]: row["part"] for row in csv.DictReader(file)}
    patients = datasets.load_dataset(str(photographs), split="train")["patient"]
    for examples, part in ((run.data.training, "training"), (run.validation, "validation")):
        assert {parts[patients[row]] for row in examples.source_rows} == {part}
    assert 0 < list(parts.values()).count("test") < 40

    written = (tmp_path / "splits.csv").read_text()
    adapt(replace(given, images=16, evaluation_images=16))
    with pytest.raises(CheckpointError):
        adapt(replace(given, data=replace(given.data, test_share=0.3)))
    assert (tmp_path / "splits.csv").read_text() == written
    with pytest.raises(ConfigError, match=r"--test-share is 0\.2, which needs --group-column"):
        adapt(replace(given, out=str(tmp_path / "no-patients"), data=replace(given.data, group_column=None)))
