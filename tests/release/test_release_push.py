"""The command: what it publishes, what it says, and whom it refuses."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hub import Fault, HubServer
from huggingface_hub import HfApi, constants
from publishing import DATASET, MODEL, REPOSITORIES, ROOT, SPACE, TOKEN, Push, clean_environment, run_push

from release.cards.render import Published, Release
from release.folders import ReleaseError
from release.hub.errors import explain
from release.hub.upload import Content, Target, upload
from release.push import main, publish


def test_each_repository_takes_one_commit_and_has_the_tag(published: Push) -> None:
    for kind, repo_id in REPOSITORIES.items():
        repository = published.hub.store.repository(kind, repo_id)
        assert [entry["summary"] for entry in repository.log()] == [f"{kind.capitalize()} v1.0.0", "initial commit"]
        assert repository.refs["tags"] == {"v1.0.0": repository.find("main")}
        assert f"{repo_id}, v1.0.0, commit {repository.find('main')}" in published.output


def test_nothing_is_published_that_is_not_needed(published: Push) -> None:
    names = set(published.hub.store.repository("dataset", DATASET).tree())
    assert {name for name in names if "/" not in name} == {
        ".gitattributes",
        "README.md",
        "croissant.json",
        "distribution.png",
        "plan.yaml",
        "samples.png",
    }
    assert len(names) == 6 + 3 * 3 + 15  # the files above, three configurations of three shards, pictures
    for kind in ("model", "space"):
        names = set(published.hub.store.repository(kind, REPOSITORIES[kind]).tree())
        assert not [name for name in names - {".gitattributes"} if re.search(r"(^|/)\.|__pycache__|\.pyc$", name)]


def test_the_three_name_one_another_by_revision(published: Push) -> None:
    model, dataset = published.commit("model"), published.commit("dataset")
    assert f"{MODEL}/tree/{model}" in published.card("dataset")
    assert f"{MODEL}/tree/{model}" in published.card("space")
    assert f"{DATASET}/tree/{dataset}" in published.card("space")
    assert f"{DATASET}/tree/v1.0.0" in published.card("model")
    space = published.hub.store.repository("space", SPACE)
    pin = json.loads(published.hub.store.content(space, space.tree()["generator.json"]).read_text())
    assert pin == {"repo_id": MODEL, "revision": model}


def test_pushing_again_changes_nothing(warm_python: Path, published: Push, tmp_path: Path) -> None:
    published.hub.requests.clear()
    done = run_push(warm_python, published.hub, tmp_path, *published.arguments)
    assert done.returncode == 0, done.stderr
    assert not published.hub.sent("^PUT|/commit/|/tag/")


def test_a_changed_model_needs_a_new_version(
    warm_python: Path, published: Push, model_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_dir, tmp_path / "pipeline_synfundus")
    (tmp_path / "pipeline_synfundus" / "training_run.json").write_text("{}")
    arguments = ["model", "--version", "1.0.0", "--model", str(tmp_path / "pipeline_synfundus")]
    done = run_push(warm_python, published.hub, tmp_path, *arguments)
    assert done.returncode == 2
    assert "already has v1.0.0 with other content (training_run.json). Give --version a new number" in done.stderr


def test_a_dataset_of_another_model_is_refused(
    warm_python: Path, published: Push, model_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_dir, tmp_path / "pipeline_synfundus")
    (tmp_path / "pipeline_synfundus" / "training_run.json").write_text("{}")
    changed = ["--model", str(tmp_path / "pipeline_synfundus"), "--version", "2.0.0"]
    done = run_push(warm_python, published.hub, tmp_path, *published.arguments, *changed)
    assert done.returncode == 2
    assert re.search(r"was made by the generator pipeline_synfundus, revision \w{16}, but the model", done.stderr)


def test_a_dry_run_lists_files_sizes_and_commits_and_sends_nothing(
    warm_python: Path, hub: HubServer, published: Push, tmp_path: Path
) -> None:
    done = run_push(warm_python, hub, tmp_path, *published.arguments, "--dry-run", token=None)
    assert done.returncode == 0, done.stderr
    assert re.search(r"commit 1  add +0\.\d{3} MB  data/train-00000\.parquet", done.stdout)
    assert re.search(r"dataset lab/synfundus-1m: 29 files to change, \d\.\d MB, 1 commits", done.stdout)
    assert {entry.method for entry in hub.requests} <= {"GET", "POST"}
    assert {entry.path for entry in hub.requests if entry.method == "POST"} <= {"/api/validate-yaml"}


def test_a_private_push_makes_private_repositories_and_leaves_no_public_one_unnoticed(
    hub: HubServer, api: HfApi
) -> None:
    target = Target("model", MODEL, [Content("README.md", b"---\nlicense: mit\n---\n")])
    release = Release("v1.0.0", hub.url, {"model": Published("model", MODEL)})
    publish(api, target, release, private=True)
    assert hub.store.repository("model", MODEL).settings["visibility"] == "private"
    api.create_repo("lab/open")
    with pytest.raises(ReleaseError, match="is already public, and --private does not change that"):
        publish(api, replace(target, repo_id="lab/open"), release, private=True)


def test_a_corrected_card_is_published_and_the_tag_stays(hub: HubServer, api: HfApi) -> None:
    target = Target("model", MODEL, [Content("README.md", b"---\nlicense: mit\n---\n")])
    release = publish(api, target, Release("v1.0.0", hub.url, {"model": Published("model", MODEL)}), private=False)
    corrected = replace(target, contents=[Content("README.md", b"---\nlicense: apache-2.0\n---\n")])
    assert publish(api, corrected, release, private=False) == release
    repository = hub.store.repository("model", MODEL)
    assert [entry["oid"] for entry in repository.log()][1] == repository.find("v1.0.0")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(".", status=503, times=-1),
            "status 503 .* after several attempts. Files already on the Hub are kept. Run the same command",
        ),
        (Fault(".", "refuse", times=-1), "the Hub cannot be reached .*Run the same command again to resume"),
        (Fault(".", status=401, times=-1), "does not accept the token"),
        (Fault(".", status=403, times=-1), "the token has no write access: .* you are a member of the organisation"),
        (
            Fault(".", status=403, times=-1, headers={"X-Error-Code": "GatedRepo"}),
            "Request access on the repository's page",
        ),
        (Fault(".", status=413, times=-1), "the Hub refused POST http.*/commit/main: a fault"),
    ],
    ids=lambda value: value.what + str(value.status) if isinstance(value, Fault) else "",
)
def test_what_the_hub_says_in_the_middle_is_explained(
    hub: HubServer, api: HfApi, waits: list[float], fault: Fault, message: str
) -> None:
    api.create_repo(MODEL)
    hub.faults.add(replace(fault, match="commit"))
    target = Target("model", MODEL, [Content("README.md", b"---\nlicense: mit\n---\n")])
    with pytest.raises(Exception) as caught:
        upload(api, target, "Model")
    assert re.search(message, explain(caught.value) or "")


def test_a_dry_run_needs_no_hub(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["--namespace", "lab", "--dry-run", "space"]) == 0
    said = capsys.readouterr().out
    assert "cannot be reached; all files are listed as new" in said
    assert re.search(r"space lab/synfundus: \d+ files to change, 0\.\d MB, 1 commits; 0 files unchanged", said)
    assert re.search(r"commit 1  add +\d\.\d{3} MB  generator\.json", said)


def test_an_interrupted_push_says_how_to_go_on(warm_python: Path, hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add(Fault("whoami", times=-1, status=503, headers={"Retry-After": "60"}))
    command = [warm_python, "-m", "release.push", "--namespace", "lab", "space"]
    environment = clean_environment(hub, tmp_path)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not hub.sent("whoami") and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # it has begun to wait
        process.send_signal(signal.SIGINT)
        assert "Run the same command again to resume" in process.communicate(timeout=60)[1]
    assert process.returncode == 130


@pytest.fixture
def push_here(hub: HubServer, api: HfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable:
    """Runs the command in this process; returns its status and its complaint."""

    def run(*arguments: str, token: str | None = TOKEN) -> tuple[int, str]:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        try:
            status = main(["--namespace", "lab", *arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("token", "status", "message"),
    [
        ("hf_of_yesterday", 1, "does not accept the token; it may have expired or been revoked"),
        ("hf_of_bob", 2, "--namespace is lab, but bob may write under bob only"),
        (None, 1, "no token was found. Log in with `hf auth login`"),
    ],
)
def test_who_may_not_publish_is_told_so_at_once(
    hub: HubServer, push_here: Callable, token: str | None, status: int, message: str
) -> None:
    answer, complaint = push_here("space", token=token)
    assert (answer, message in complaint) == (status, True), complaint
    assert not hub.sent("create|commit")


def test_a_space_without_a_model_is_refused(push_here: Callable) -> None:
    status, complaint = push_here("space")
    assert (status, "Publish the model first, or everything" in complaint) == (2, True), complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version", "one"], "'one' is not a version such as 1.0.0"),
        (["--namespace", "a/b"], "'a/b' is not a valid user or organisation name"),
        (["everything"], "invalid choice: 'everything'"),
        (["dataset", "--dataset", "nowhere"], "the dataset's folder nowhere does not exist"),
    ],
)
def test_wrong_arguments_are_refused_before_the_hub_is_asked(
    hub: HubServer, push_here: Callable, arguments: list[str], message: str
) -> None:
    status, complaint = push_here(*arguments)
    assert (status, message in complaint) == (2, True), complaint
    assert not hub.requests
