"""The cards as they are published, judged by the libraries' readers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlcroissant
import pytest
import yaml
from hub.repositories import check_metadata
from huggingface_hub import DatasetCard, HfApi, ModelCard, SpaceCard
from publishing import ROOT

from release.cards.check import check_card, check_card_on_hub
from release.cards.croissant import render_croissant
from release.cards.render import Published, Release, render_card, render_pin
from release.folders import Folder, ReleaseError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = Published("model", "lab/synfundus-generator", COMMIT)
DATASET = Published("dataset", "lab/synfundus-1m", COMMIT[::-1])
SPACE = Published("space", "lab/synfundus")
RELEASE = Release("v1.2.3", "https://huggingface.co", {"model": MODEL, "dataset": DATASET, "space": SPACE})


@pytest.fixture
def space(tmp_path: Path) -> Folder:
    shutil.copytree(ROOT / "space", tmp_path / "space")
    return Folder("space", tmp_path / "space", SPACE.repo_id)


@pytest.fixture(params=["model", "dataset", "space"])
def folder(request: pytest.FixtureRequest) -> Folder:
    return request.getfixturevalue(request.param)


def change(folder: Folder, old: str, new: str) -> bytes:
    """The published card, after a change of the folder's own."""
    card = folder.card.read_text()
    assert old in card
    folder.card.write_text(card.replace(old, new, 1))
    return render_card(folder, RELEASE)


def test_every_card_is_valid(folder: Folder) -> None:
    content = render_card(folder, RELEASE)
    check_card(folder, content)
    assert check_metadata(content.decode(), folder.kind) == []


def test_a_card_that_was_published_is_published_the_same_again(folder: Folder) -> None:
    content = render_card(folder, RELEASE)
    folder.card.write_bytes(content)
    assert render_card(folder, RELEASE) == content


def test_the_metadata_of_the_folder_is_kept(folder: Folder) -> None:
    reader = {"model": ModelCard, "dataset": DatasetCard, "space": SpaceCard}[folder.kind]
    before = reader(folder.card.read_text()).data.to_dict()
    after = reader(render_card(folder, RELEASE).decode()).data.to_dict()
    changed = ("models", "datasets") if folder.kind == "space" else ()
    assert {name: after[name] for name in before if name not in changed} == {
        name: value for name, value in before.items() if name not in changed
    }


def test_the_space_names_model_and_dataset_and_pins_their_commits(space: Folder) -> None:
    card = SpaceCard(render_card(space, RELEASE).decode())
    assert (card.data.models, card.data.datasets) == ([MODEL.repo_id], [DATASET.repo_id])
    assert f"https://huggingface.co/datasets/{DATASET.repo_id}/tree/{DATASET.commit}" in card.text
    assert yaml.safe_load(render_pin(RELEASE)) == {"repo_id": MODEL.repo_id, "revision": MODEL.commit}


def test_the_dataset_names_the_commit_that_made_it(dataset: Folder) -> None:
    text = render_card(dataset, RELEASE).decode()
    assert f"https://huggingface.co/{MODEL.repo_id}/tree/{MODEL.commit}" in text
    assert f'load_dataset("{DATASET.repo_id}", "labels", split="train")' in text


def test_the_model_names_its_own_tag(model: Folder) -> None:
    text = render_card(model, RELEASE).decode()
    assert f'from_pretrained("{MODEL.repo_id}", revision="v1.2.3", trust_remote_code=True)' in text
    assert COMMIT not in text


def test_model_and_dataset_are_ready_for_the_gate(model: Folder, dataset: Folder) -> None:
    for card in (ModelCard(render_card(model, RELEASE).decode()), DatasetCard(render_card(dataset, RELEASE).decode())):
        fields = card.data.extra_gated_fields
        assert {"Name", "Affiliation", "Country", "Intended use"} <= set(fields)
        assert fields["Country"] == "country"
        assert "research only" in card.data.extra_gated_prompt


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("license: cc-by-nc-sa-4.0\n", "", "lacks license"),
        ("library_name: diffusers", "library_name: timm", "library_name: 'timm'"),
        ("tags:\n", "tags: fundus\nmore:\n", "has tags: 'fundus', but it must be a list"),
        ("tags:", "tags: [", "invalid metadata"),
        ("---\n# ", "model-index: 3\n---\n# ", "invalid metadata"),
    ],
)
def test_a_wrong_model_card_is_refused(model: Folder, old: str, new: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        check_card(model, change(model, old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_examples: 40", "num_examples: 41", "says 41 rows of the config default, but its 3 files hold 40"),
        ("task_categories:", "no_categories:", "lacks task_categories"),
        ("- name: is_amd", "- name: amd", "has other columns of the config default"),
        ("path: labels/", "path: nothing/", "says 40 rows of the config labels, but its 0 files hold 0"),
    ],
)
def test_a_wrong_dataset_card_is_refused(dataset: Folder, old: str, new: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        check_card(dataset, change(dataset, old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("app_file: app.py", "app_file: main.py", r"app_file: main\.py, which is not in the folder"),
        ("sdk_version: ", "sdk_version: 5.", r"but requirements\.txt has gradio=="),
        ("title: ", "name: ", "lacks title"),
    ],
)
def test_a_wrong_space_card_is_refused(space: Folder, old: str, new: str, message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        check_card(space, change(space, old, new))


def test_a_card_without_metadata_is_refused(model: Folder) -> None:
    model.card.write_text("# A card\n")
    with pytest.raises(ReleaseError, match="no metadata"):
        render_card(model, RELEASE)


def test_the_hubs_own_validator_has_the_last_word(space: Folder, api: HfApi) -> None:
    assert check_card_on_hub("space", render_card(space, RELEASE), api)
    wrong = change(space, "colorFrom: red", "colorFrom: crimson")
    check_card(space, wrong)  # what the Hub alone knows
    with pytest.raises(ReleaseError, match=r"the Hub refuses the space's card[\s\S]*colorFrom"):
        check_card_on_hub("space", wrong, api)


def test_without_a_hub_its_validator_is_not_asked(space: Folder) -> None:
    assert not check_card_on_hub("space", render_card(space, RELEASE), HfApi(endpoint="http://127.0.0.1:9"))


def test_what_is_not_published_is_not_named(space: Folder) -> None:
    content = render_card(space, replace(RELEASE, repositories={"model": MODEL, "space": SPACE}))
    assert "synfundus-1m" not in content.decode().partition("## Release")[2]
    assert SpaceCard(content.decode()).data.datasets is None


def test_the_croissant_of_a_dataset_is_valid_and_reads_its_labels(dataset: Folder, tmp_path: Path) -> None:
    (dataset.path / "croissant.json").write_bytes(render_croissant(dataset, RELEASE))
    described = mlcroissant.Dataset(jsonld=dataset.path / "croissant.json", mapping={"repository": dataset.path})
    assert not described.metadata.ctx.issues.errors
    rows = list(described.records("labels"))
    assert [row["labels/idx"] for row in rows] == list(range(40))
    assert {field.name for field in described.metadata.record_sets[0].fields} >= {"image", "dr_grade", "eye_side"}


def test_the_croissant_of_a_dataset_has_its_facts_of_responsible_use(dataset: Folder) -> None:
    metadata = mlcroissant.Dataset(jsonld=json.loads(render_croissant(dataset, RELEASE))).metadata
    assert "no person's eye" in str(metadata.personal_sensitive_information)
    assert (
        metadata.data_limitations and metadata.data_biases and metadata.data_use_cases and metadata.data_social_impact
    )
    assert MODEL.commit in str(metadata.machine_annotation_tools)
    assert str(metadata.version) == "1.2.3"
