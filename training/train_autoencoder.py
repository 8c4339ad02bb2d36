"""Trains the first stage, the autoencoder that turns photographs into latents and back.

    python -m training.train_autoencoder --config training/configs/fundus-512.yaml
    accelerate launch -m training.train_autoencoder --config training/configs/fundus-512.yaml

The linear part starts as the principal components of patches, or the whole network as `autoencoder.pretrained`. The
network is trained on random crops of photographs and its latents are scaled; where the configuration has
`autoencoder.decoder`, the decoder is then trained further by itself against a discriminator. The same command resumes
an interrupted run and leaves a finished one as it is; `--finish` makes the result from the newest checkpoints of an
unfinished run. The result is `<output_dir>/vae`, a `FundusAutoencoder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline_synfundus import FundusAutoencoder
from synfundus.files import atomic_folder, locked, write_json
from synfundus.images import field_psnr, to_images
from training.card.model_card import RECORD_NAME, was_made_from
from training.command_line.stage import run_stage
from training.configuration.config import AutoencoderConfig, ConfigError, TrainingConfig
from training.configuration.fingerprint import make_fingerprint, weights_digest
from training.configuration.networks import build_autoencoder
from training.data.crops import sample_patches
from training.data.examples import encode_images
from training.data.order import EpochOrder
from training.data.prepared import prepare_data
from training.loop.processes import in_every_process, make_accelerator, one_process_at_a_time
from training.loop.schedule import make_schedule
from training.loop.trainer import Trainer
from training.losses.autoencoder_losses import AutoencoderLoss, DecoderLoss

NUM_PATCHES = 20_000
NUM_MEASURED = 200
NUM_SHOWN = 4


@torch.no_grad()
def reconstruct(vae: FundusAutoencoder, images: np.ndarray) -> np.ndarray:
    """The reconstructions of uint8 images of shape (B, S, S, 3), as the same kind of array."""
    return to_images(vae.decode(encode_images(vae, images).to(vae.dtype), return_dict=False)[0])


def _grid(images: np.ndarray, decoded: np.ndarray) -> Image.Image:
    """Photographs above, their reconstructions below."""
    return Image.fromarray(np.concatenate([np.concatenate([*part], axis=1) for part in (images, decoded)]))


@torch.no_grad()
def scale_latents(vae: FundusAutoencoder, images: np.ndarray) -> None:
    """Scales the channels of the latents, exactly folded into the neighbouring layers: reconstructions stay the same.

    Afterwards a channel's standard deviation is proportional to the square root of that of its share in the image (its
    deviation times the norm of its synthesis kernel), and the mean square deviation over the channels is 1. At an equal
    budget this gave a better generator than whitened channels and than unscaled ones (docs/experiments.md).

    Args:
        vae: the autoencoder.
        images: uint8 photographs of shape (N, S, S, 3) to measure on.
    """
    latents = torch.cat([encode_images(vae, image[None]).cpu() for image in images])
    deviations = latents.std(dim=(0, 2, 3)).to(vae.device).clamp_min(1e-6)
    shares = deviations * vae.synthesis.weight.flatten(1).norm(dim=1)
    wanted = shares.sqrt() / shares.mean().sqrt()
    vae.scale_channels(wanted / deviations)


def train(config: TrainingConfig, finish: bool = False) -> Path:
    """Trains the autoencoder and returns the folder it is saved in.

    Args:
        config: the run.
        finish: do not train: make the result from the averaged weights of the newest checkpoints.

    Raises:
        ConfigError: if the configuration has no section `autoencoder` or its model cannot be built.
        CheckpointError: if the run cannot be resumed, or a checkpoint cannot be written.
        TrainingStopped: if a signal or steps that are not finite end the run early.
    """
    stage = config.autoencoder
    if stage is None:
        raise ConfigError(f"{config.path} has no section `autoencoder`: its generator works on pixels")
    run = _AutoencoderRun(config, stage, finish)
    wanted = [make_schedule(optimizer).images for optimizer in run.optimizers.values()]
    if not finish and in_every_process(was_made_from(run.folder, run.made_from(wanted))):  # each disk has its own
        run.accelerator.print("the run is finished: nothing to do")
        return run.folder
    seen = []
    if "autoencoder" in run.optimizers:
        if stage.pretrained is None:
            run.vae.initialize_linear(sample_patches(run.data, run.rows, stage, NUM_PATCHES, config.seed))
        seen.append(run.train_stage("autoencoder", AutoencoderLoss(run.vae, stage, run.data)))
        scale_latents(run.vae, run.measured)
    if "decoder" in run.optimizers:
        seen.append(run.train_stage("decoder", DecoderLoss(run.vae, stage, run.data), ("discriminator",)))
    run.save(seen)
    return run.folder


class _AutoencoderRun:
    """The autoencoder in training, the photographs that it is trained on, and what its weights depend on."""

    def __init__(self, config: TrainingConfig, stage: AutoencoderConfig, finish: bool) -> None:
        output = Path(config.output_dir)
        self.config, self.finish, self.folder = config, finish, output / "vae"
        optimizers = {"autoencoder": stage.optimizer, "decoder": stage.decoder.optimizer if stage.decoder else None}
        self.optimizers = {name: optimizer for name, optimizer in optimizers.items() if optimizer is not None}
        self.accelerator = make_accelerator(config, output / next(iter(self.optimizers), "autoencoder"))
        torch.manual_seed(config.seed)
        self.vae = build_autoencoder(stage)
        self._inputs: dict[str, Any] = {}
        if stage.pretrained is not None:
            self._inputs["pretrained_sha256"] = weights_digest(self.vae)
        if config.compile:
            self.vae.encoder.compile()
            self.vae.decoder.compile()
        if self.optimizers:
            self._load_photographs()

    def _load_photographs(self) -> None:
        config, cache = self.config, Path(self.config.output_dir) / "cache"
        with one_process_at_a_time(self.accelerator, cache):
            self.data = prepare_data(config.data, config.resolution, cache)
        self._inputs["photographs_sha256"] = self.data.digest
        parts = self.data.split(config.data, config.seed)
        self.rows = parts["training"]
        rng = np.random.default_rng([config.seed, 6])
        self.measured = self.data.images[np.sort(rng.permutation(self.rows)[:NUM_MEASURED])]
        shown = parts["validation"] if len(parts["validation"]) else self.rows
        self.shown = self.data.images[np.sort(rng.permutation(shown)[:NUM_SHOWN])]

    def made_from(self, images_seen: list[int]) -> dict[str, Any]:
        """Everything that the finished autoencoder depends on; `images_seen` has an entry per stage."""
        length = {
            "images_seen": images_seen,
            "cooldown_images": [optimizer.cooldown_images for optimizer in self.optimizers.values()],
        }
        return make_fingerprint(self.config, "decoder", **self._inputs) | length

    def train_stage(self, name: str, loss: AutoencoderLoss, clipped_apart: tuple[str, ...] = ()) -> int:
        """Trains one stage, measures it on validation photographs, and returns the images seen."""
        accelerator = make_accelerator(self.config, Path(self.config.output_dir) / name)

        def evaluate(path: Path) -> dict[str, float]:
            if not accelerator.is_main_process:
                return {}
            decoded = reconstruct(self.vae, self.shown)
            _grid(self.shown, decoded).save(path)
            ratios = [field_psnr(*pair) for pair in zip(self.shown, decoded, strict=True)]
            return {"validation_psnr": float(np.mean(ratios))}

        trainer = Trainer(
            loss,
            self.optimizers[name],
            EpochOrder(self.rows, seed=self.config.seed),
            Path(self.config.output_dir) / name,
            accelerator,
            self.config.seed,
            evaluate,
            make_fingerprint(self.config, name, objective=type(loss).__name__, **self._inputs),
            clipped_apart,
        )
        trainer.run(self.finish)
        return trainer.state.images_seen

    def save(self, images_seen: list[int]) -> None:
        """Saves the autoencoder once per disk: nodes may have one each."""
        made_from = self.made_from(images_seen)
        if self.accelerator.is_local_main_process:
            with locked(self.folder.with_name(".vae.lock")):
                if not was_made_from(self.folder, made_from):
                    with atomic_folder(self.folder) as temporary:
                        self.vae.save_pretrained(temporary)
                        write_json(temporary / RECORD_NAME, {"made_from": made_from})
        self.accelerator.wait_for_everyone()


if __name__ == "__main__":
    run_stage(train, (__doc__ or "").splitlines()[0])
