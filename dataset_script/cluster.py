"""The build as a pipeline step of datatrove, for its executors on a cluster (Slurm, Ray).

`generate` begins the folder (a dataset of one row more or less is another dataset, so it, not the tasks, says how many
shards there are); then each task makes one shard, and `generate` once more writes the card. With Slurm, one shard a
task and one GPU each, 64 at once:

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

`RayPipelineExecutor` takes the same step. `skip_completed=False`: the folder knows which shards are whole, and a
complete one costs its task nothing, not even the loading of the model. A task that is started twice waits for the other
and then has nothing to do; the common file system must support `flock`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from .build.folder import BuildFolder, open_build, read_record
from .build.image_generator import ImageGenerator, Sampling, choose_devices, find_model, load_generator
from .build.record import GenerationRecord
from .build.shards import build_shard
from .errors import BuildError
from .plan.condition_plan import load_plan


class BuildShard(PipelineStep):
    """Makes the shard whose number is the task's rank.

    Args:
        out: folder of the dataset, begun by `generate`.
        model: folder or Hub id of the generator that it was begun with.
        batch_size: images made at once.
        device: torch device; the first GPU that the task sees, or the CPU.

    Raises:
        BuildError: in `run`, if the folder was not begun, or with another generator, or has not as many shards as there
            are tasks.
    """

    type = "Generator"
    name = "SynFundus shard"

    def __init__(self, out: Path, model: str, batch_size: int = 8, device: str | None = None) -> None:
        super().__init__()
        self.out = out
        self.model = model
        self.batch_size = batch_size
        self.device = device

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        """Makes shard `rank`; passes `data` on."""
        folder = begun_build(self.out)
        if world_size != folder.record.num_shards:
            raise BuildError(f"there are {world_size} tasks, but {self.out} has {folder.record.num_shards} shards")
        if folder.manifest(rank) is None:
            source = _source(self.model, folder.record, self.device)
            build_shard(folder, rank, load_plan(folder.plan), source, self.batch_size)
        self.stat_update("rows", value=len(folder.rows(rank)), unit="shard")
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
    """Returns the number of shards of the build that was begun in a folder: the number of tasks."""
    return begun_build(out).record.num_shards


def _source(model: str, record: GenerationRecord, device: str | None) -> ImageGenerator:
    found = find_model(model)
    if (found.name, found.revision) != (record.generator, record.generator_revision):
        raise BuildError(
            f"the model {model} is {found.name} {found.revision}, but the build was begun with "
            f"{record.generator} {record.generator_revision}"
        )
    sampling = Sampling(record.num_inference_steps, record.guidance_scale, record.dtype)
    return load_generator(found, sampling, choose_devices(device, 1)[0])
