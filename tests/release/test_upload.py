import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hub import Fault, HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from publishing import ROOT, clean_environment

from release.hub import upload as uploading
from release.hub.retry import NotThereYet
from release.hub.upload import Content, Target, make_plan, upload

REPO = "lab/eyes"
STORM = {"Retry-After": "0"}
ENDPOINTS = ("preupload", "batch", "PUT /lfs", "commit", "tree", "GET /api/datasets/lab/eyes")


def make_contents(number: int = 5, seed: int = 0) -> list[Content]:
    """A card and some large files."""
    source = random.Random(seed)
    large = [Content(f"data/train-{index}.parquet", source.randbytes(50_000)) for index in range(number)]
    return [Content("README.md", b"---\nlicense: mit\n---\n# Eyes\n"), *large]


@pytest.fixture
def target(api: HfApi, tmp_path: Path) -> Target:
    """A dataset of files on the disk, and its repository."""
    api.create_repo(REPO, repo_type="dataset")
    contents = []
    for content in make_contents():
        path = tmp_path / "folder" / content.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.source)
        contents.append(Content(content.name, path))
    return Target("dataset", REPO, contents)


def stored(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    """What the Hub holds, but for its own file."""
    repository = hub.store.repository("dataset", REPO)
    tree = repository.tree(revision)
    return {
        path: hub.store.content(repository, entry).read_bytes()
        for path, entry in tree.items()
        if path != ".gitattributes"
    }


def wanted(target: Target) -> dict[str, bytes]:
    return {
        content.name: content.source if isinstance(content.source, bytes) else content.source.read_bytes()
        for content in target.contents
    }


def commits(hub: HubServer) -> list[str]:
    return [entry["summary"] for entry in hub.store.repository("dataset", REPO).log()][:-1]


def test_a_push_makes_one_commit_of_everything(hub: HubServer, api: HfApi, target: Target) -> None:
    head = upload(api, target, "All eyes")
    assert stored(hub, head) == wanted(target)
    assert commits(hub) == ["All eyes"]


def test_pushing_again_sends_nothing(hub: HubServer, api: HfApi, target: Target) -> None:
    head = upload(api, target, "All eyes")
    hub.requests.clear()
    assert upload(api, target, "All eyes") == head
    assert not hub.sent("^PUT|commit|batch|preupload")


def test_only_what_changed_is_sent_and_what_is_gone_is_deleted(hub: HubServer, api: HfApi, target: Target) -> None:
    upload(api, target, "All eyes")
    hub.requests.clear()
    changed = Content("data/train-1.parquet", b"other eyes")
    kept = [content for content in target.contents if content.name not in (changed.name, "data/train-4.parquet")]
    new = Target("dataset", REPO, [*kept, changed])
    upload(api, new, "Fewer eyes")
    assert stored(hub) == wanted(new)
    assert [entry.received for entry in hub.sent("^PUT")] == [len(b"other eyes")]


def test_a_large_dataset_takes_few_commits_the_card_in_the_last(
    hub: HubServer, api: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.create_repo(REPO, repo_type="dataset")
    monkeypatch.setattr(uploading, "BYTES_A_COMMIT", 100_000)
    target = Target("dataset", REPO, make_contents(5))
    upload(api, target, "Eyes")
    assert commits(hub) == ["Eyes", "Eyes, 2 commits to come", "Eyes, 3 commits to come"]
    assert "README.md" not in stored(hub, hub.store.repository("dataset", REPO).log()[1]["oid"])
    assert stored(hub) == wanted(target)


def test_no_commit_has_more_files_than_the_hub_advises(hub: HubServer, api: HfApi) -> None:
    api.create_repo(REPO, repo_type="dataset")
    target = Target("dataset", REPO, [Content(f"labels/{index}.json", b"%d" % index) for index in range(250)])
    upload(api, target, "Labels")
    assert stored(hub) == wanted(target)
    assert len(commits(hub)) == 3


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_storm_of_errors_passes(
    hub: HubServer, api: HfApi, target: Target, waits: list[float], endpoint: str, status: int
) -> None:
    hub.faults.add(Fault(endpoint, times=7, status=status, headers=STORM))
    upload(api, target, "Eyes")
    assert len([entry for entry in hub.requests if entry.status == status]) == 7
    assert stored(hub) == wanted(target)
    assert commits(hub) == ["Eyes"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("what", ["refuse", "lose"])
def test_cut_connections_are_made_good_and_no_commit_is_doubled(
    hub: HubServer, api: HfApi, target: Target, waits: list[float], endpoint: str, what: str
) -> None:
    hub.faults.add(Fault(endpoint, what, times=2))
    upload(api, target, "Eyes")
    assert [entry.status for entry in hub.requests].count(0) >= 1
    assert stored(hub) == wanted(target)
    assert commits(hub) == ["Eyes"]


def test_the_hub_is_asked_again_no_sooner_than_it_says(
    hub: HubServer, api: HfApi, target: Target, waits: list[float]
) -> None:
    hub.faults.add(Fault("commit", status=429, headers={"RateLimit": '"api";r=0;t=100'}))
    upload(api, target, "Eyes")
    assert max(waits) == 101


def test_waits_grow_while_errors_go_on(hub: HubServer, api: HfApi, target: Target, waits: list[float]) -> None:
    hub.faults.add(Fault("POST .*commit", times=5, status=500))  # create_commit itself does not try again
    upload(api, target, "Eyes")
    assert [seconds for seconds in waits if seconds >= 1] == [1, 2, 4, 8, 16]


def test_an_error_that_does_not_pass_is_raised_at_once(
    hub: HubServer, api: HfApi, target: Target, waits: list[float]
) -> None:
    hub.faults.add(Fault("commit", status=403))
    with pytest.raises(HfHubHTTPError, match="403"):
        upload(api, target, "Eyes")
    assert waits == []


def test_after_giving_up_the_next_push_sends_only_what_is_missing(
    hub: HubServer, api: HfApi, target: Target, waits: list[float]
) -> None:
    hub.faults.add(Fault("^PUT", times=-1, after=2, status=503))
    with pytest.raises(Exception, match="Error while uploading"):
        upload(api, target, "Eyes")
    hub.faults.clear()
    hub.requests.clear()
    upload(api, target, "Eyes")
    assert len(hub.sent("^PUT")) == 3
    assert stored(hub) == wanted(target)


def test_a_commit_by_somebody_else_in_between_is_noticed(
    hub: HubServer, api: HfApi, target: Target, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = uploading.make_plan
    others = iter([CommitOperationAdd("README.md", b"---\nlicense: mit\n---\nother")])

    def and_somebody_commits(*arguments: object) -> uploading.Plan:
        made = plan(*arguments)
        for operation in others:
            api.create_commit(REPO, [operation], commit_message="Somebody else", repo_type="dataset")
        return made

    monkeypatch.setattr(uploading, "make_plan", and_somebody_commits)
    upload(api, target, "Eyes")
    assert commits(hub) == ["Eyes", "Somebody else"]
    assert stored(hub) == wanted(target)


@pytest.mark.parametrize("late", [2, 100])
def test_a_hub_that_shows_a_commit_late_is_waited_for_but_not_for_ever(
    hub: HubServer, api: HfApi, target: Target, waits: list[float], monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    plan = uploading.make_plan
    stale = iter([plan(api, target)] * (1 + late))
    monkeypatch.setattr(uploading, "make_plan", lambda *arguments: next(stale, None) or plan(*arguments))
    if late < 100:
        assert upload(api, target, "Eyes") == hub.store.repository("dataset", REPO).find("main")
    else:
        with pytest.raises(NotThereYet, match=r"accepted a commit, but still lacks README\.md, data/train-0\.parquet"):
            upload(api, target, "Eyes")
    assert commits(hub) == ["Eyes"]
    assert stored(hub) == wanted(target)


KILLED = """
from pathlib import Path
from huggingface_hub import HfApi
from release.hub import upload
upload.BYTES_A_COMMIT = 100_000
folder = Path({folder!r})
contents = [upload.Content(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*.*"))]
upload.upload(HfApi(), upload.Target("dataset", "lab/eyes", contents), "Eyes")
"""


def test_a_push_that_was_killed_goes_on_where_the_hub_stands(
    warm_python: Path, hub: HubServer, api: HfApi, target: Target, tmp_path: Path
) -> None:
    script = [warm_python, "-c", KILLED.format(folder=str(tmp_path / "folder"))]
    environment = clean_environment(hub, tmp_path / "cache")
    hub.faults.add(Fault("POST .*commit", times=-1, after=1, status=503, headers={"Retry-After": "60"}))
    with subprocess.Popen(script, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not any(entry.status == 503 for entry in hub.requests) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert len(commits(hub)) == 1
    assert len(hub.sent("^PUT")) == 4
    hub.faults.clear()
    hub.requests.clear()
    subprocess.run(script, cwd=ROOT, env=environment, check=True, timeout=60, capture_output=True)
    assert len(hub.sent("^PUT")) == 1
    assert stored(hub) == wanted(target)


def test_a_plan_names_what_changes_and_how_much(api: HfApi, target: Target) -> None:
    upload(api, target, "Eyes")
    assert not make_plan(api, target)
    kept = [content for content in target.contents if content.name != "data/train-0.parquet"]
    plan = make_plan(api, Target("dataset", REPO, [*kept, Content("plan.yaml", b"seed: 1\n")]))
    assert (plan.names, plan.size, plan.deletions) == (
        {"plan.yaml", "data/train-0.parquet"},
        8,
        ["data/train-0.parquet"],
    )
