"""The build as a pipeline step of datatrove, for its executors on a cluster (Slurm, Ray).

Run `generate --begin-only` to create the folder and decide the number of shards. Then each task builds one shard. Run
`generate` again to write the card. With Slurm, one shard and one GPU per task, 64 tasks at a time:

    python -m dataset_script.generate --num-rows 1000000 --out /shared/synfundus-1m --begin-only
    python - <<'END'
    from pathlib import Path
    from datatrove.executor import SlurmPipelineExecutor
    from dataset_script.cluster import BuildShard, begun_shards

    SlurmPipelineExecutor(
        [BuildShard(Path("/shared/synfundus-1m"), "pipeline_synfundus", batch_size=64)],
        tasks=begun_shards(Path("/shared/synfundus-1m")), workers=64, gpus_per_task=1, cpus_per_task=8,
        time="04:00:00", partition="gpu", logging_dir="/shared/logs", skip_completed=False,
    ).run()
    END
    python -m dataset_script.generate --num-rows 1000000 --out /shared/synfundus-1m

`RayPipelineExecutor` takes the same step. Set `skip_completed=False`: the folder knows which shards are complete, and
the task of a complete shard ends without loading the model. If a task is started twice, the second waits for the first
and then has nothing to do; this needs a common file system with `flock`.

The tasks import `dataset_script`, so the package must be installed on every node; with Slurm, name its environment in
`venv_path` or `env_command`. Ray and Slurm start the tasks of a failed node again. A cancelled task leaves its shard
missing: run the executor again. `scripts/cluster/` does this with a real Ray and a real Slurm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from .build.folder import BuildFolder, open_build, read_record
from .build.image_generator import ImageGenerator, Model, Sampling, choose_devices, find_model, load_generator
from .build.record import GenerationRecord
from .build.shards import build_shard
from .errors import BuildError
from .plan.condition_plan import load_plan


class BuildShard(PipelineStep):
    """Builds the shard whose number is the task's rank.

    Args:
        out: folder of the dataset, created by `generate --begin-only`.
        model: folder or Hub id of the generator given to `generate`.
        batch_size: images per batch.
        device: torch device; by default the first GPU of the task, or the CPU.
        revision: revision of a generator on the Hub.
        trust_remote_code: as `--trust-remote-code` of `generate`.

    Raises:
        BuildError: in `run`, if there is no build, if it was begun with another generator, or if the number of tasks is
            not the number of shards.
    """

    type = "Generator"
    name = "SynFundus shard"

    def __init__(
        self,
        out: Path,
        model: str,
        batch_size: int = 8,
        device: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        # The tasks of a cluster may start in another directory. `generate` reads a name as a folder if there is one.
        self.out = out.absolute()
        self.model = str(Path(model).absolute()) if Path(model).is_dir() else model
        self.batch_size = batch_size
        self.device = device
        self.revision = revision
        self.trust_remote_code = trust_remote_code

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        """Builds shard `rank`; returns `data`."""
        folder = begun_build(self.out)
        shards = folder.record.shards
        if world_size != len(shards):
            raise BuildError(f"there are {world_size} tasks, but {self.out} has {len(shards)} shards")
        with self.track_time():
            if folder.manifest(shards[rank]) is None:
                model = find_model(self.model, self.revision, self.trust_remote_code)
                source = _source(model, folder.record, self.device)
                build_shard(folder, shards[rank], load_plan(folder.plan), source, self.batch_size)
        self.stat_update("rows", value=shards[rank].rows, unit="shard")
        return data


def begun_build(out: Path) -> BuildFolder[GenerationRecord]:
    """Returns the build that was begun in a folder.

    Raises:
        BuildError: if there is none.
    """
    record = read_record(out)
    if record is None:
        raise BuildError(f"{out} holds no build; begin one with generate --begin-only")
    try:
        return open_build(out, GenerationRecord(**record))
    except TypeError as error:
        raise BuildError(f"{out} holds no build of this version: {error}") from None


def begun_shards(out: Path) -> int:
    """Returns the number of shards of a build: the number of tasks to run."""
    return begun_build(out).record.num_shards


def _source(model: Model, record: GenerationRecord, device: str | None) -> ImageGenerator:
    if (model.name, model.revision) != (record.generator, record.generator_revision):
        raise BuildError(
            f"the model in {model.folder} is {model.name} {model.revision}, but the build was begun with "
            f"{record.generator} {record.generator_revision}"
        )
    sampling = Sampling(record.num_inference_steps, record.guidance_scale, record.dtype, record.backend)
    return load_generator(model, sampling, choose_devices(device, 1)[0])
