import html.parser
import json
import re
from pathlib import Path

import datasets
import numpy as np
import pytest

from evaluation import cache, report
from evaluation.data.study import load_study
from evaluation.errors import EvaluationError
from evaluation.experiments import distances
from evaluation.report import EXPERIMENTS, main
from evaluation.report_page.page import to_html, to_markdown
from evaluation.report_page.results import Figure, Result, Table
from tests.phantom import write_phantom_dataset

LABELS = ["is_amd", "eye_side"]
FAST = ["--size", "32", "--images-seen", "32", "--downstream-size", "32", "--downstream-images-seen", "32"]
FAST += ["--fractions", "1.0", "--num-seeds", "1", "--tasks", "is_amd", "--features", "imagenet"]


@pytest.fixture(scope="module")
def sources(few_resamples: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for number, (name, rows) in enumerate((("synthetic", 56), ("real", 200))):
        write_phantom_dataset(folder / name, rows, 32, np.random.default_rng(number), LABELS)
    # Few patients are learned from and tested on; no experiment reads the photographs of the validation.
    parts = ["test"] * 25 + ["validation"] * 45 + ["training"] * 30
    (folder / "splits.csv").write_text(
        "patient,part\n" + "".join(f"patient {n},{part}\n" for n, part in enumerate(parts))
    )
    return folder


def arguments(sources: Path, out: Path) -> list[str]:
    """Of a report in `out`, which shares its cache with the others: reading the photographs takes most of the time."""
    (sources / "cache").mkdir(exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cache").exists():
        (out / "cache").symlink_to(sources / "cache")
    named = {"--synthetic": "synthetic", "--real": "real", "--splits": "splits.csv"}
    return [part for flag, name in named.items() for part in (flag, str(sources / name))] + ["--out", str(out), *FAST]


@pytest.fixture(scope="module")
def finished(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of all experiments; phantoms look alike, so that its privacy may fail it."""
    out = tmp_path_factory.mktemp("out") / "report"
    try:
        main(arguments(sources, out))
    except SystemExit as end:
        assert end.code == 1
    return out


class Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "img":
            self.images.append(dict(attrs))


def test_one_command_writes_a_page_a_markdown_file_tables_and_figures(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    links = Links()
    links.feed((finished / "report.html").read_text())
    assert len(links.images) >= 7  # at 32 pixels, copies are not measurable in the features of a network
    assert all((finished / image["src"]).exists() and image["alt"] for image in links.images)
    assert all(f"({image['src']})" in text for image in links.images)
    for name in ("material", "two-sample", "distances", "label-fidelity", "readability", "privacy", "downstream"):
        assert (finished / "tables" / f"{name}.csv").read_text().count("\n") > 1
    assert "JPEG of quality 92" in text and "Lanczos" in text


def test_no_table_holds_nan(finished: Path) -> None:
    for file in (finished / "results").glob("*.json"):
        json.loads(file.read_text(), parse_constant=pytest.fail)
    assert len(list((finished / "results").glob("*.json"))) == len(EXPERIMENTS)


def test_real_photographs_are_in_one_folder_and_marked(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    assert text.count("do not publish it") == len(list((finished / "photographs").glob("*.png"))) > 0


def test_the_public_report_shows_no_photograph_and_links_to_nothing_else(
    finished: Path, sources: Path, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    earlier = [public / "results" / "another.json", public / "tables" / "another.csv", public / "figures" / "old.png"]
    for file in earlier:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of an earlier report")
    try:
        main([*arguments(sources, finished), "--public", str(public)])
    except SystemExit as end:
        assert end.code == 1
    links = Links()
    links.feed((public / "report.html").read_text())
    shown = {image["src"] for image in links.images}
    assert shown == {f"figures/{path.name}" for path in (finished / "figures").glob("*.png")}
    assert all((public / name).read_bytes() == (finished / name).read_bytes() for name in shown)
    assert not (public / "photographs").exists() and "photographs/" not in (public / "report.md").read_text()
    assert {path.stem for path in (public / "results").glob("*.json")} == set(EXPERIMENTS)
    assert not any(file.exists() for file in earlier)


def test_the_same_command_reads_what_is_there_and_redoes_what_is_missing(
    finished: Path, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "results" / "distances.json").unlink()
    before = (finished / "tables" / "distances.csv").read_text()
    try:
        main(arguments(sources, finished))
    except SystemExit as end:
        assert end.code == 1
    printed = capsys.readouterr().out
    assert "distances: running" in printed
    assert all(f"{name}: read from" in printed for name in EXPERIMENTS if name != "distances")
    assert (finished / "tables" / "distances.csv").read_text() == before


def test_results_of_other_data_or_options_are_not_taken(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = [*arguments(sources, tmp_path), "--only", "material"]
    main(only)
    main(only)
    main([*only, "--limit", "180"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in printed if line.startswith("material:")] == ["running", "read", "running"]


def test_an_interrupted_report_keeps_what_was_done(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(distances, "run", interrupt)
    with pytest.raises(SystemExit, match="130"):
        main([*arguments(sources, tmp_path), "--only", "material", "distances"])
    assert "run the same command again to resume" in capsys.readouterr().out
    assert (tmp_path / "results" / "material.json").exists()


def test_a_copied_photograph_fails_the_report(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = arguments(sources, tmp_path)
    named[named.index("--synthetic") + 1] = str(sources / "real")
    with pytest.raises(SystemExit, match="1"):
        main([*named, "--only", "privacy", "--limit-synthetic", "40"])
    assert "are copies of training photographs" in capsys.readouterr().out
    assert "**The report fails:" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--real", "nowhere"], "cannot be read by datasets"),
        (["--patient-column", "person"], "patient column 'person' is not in"),
        (["--size", "64"], "size is 64, but half of the images"),
        (["--limit", "30"], "images; at least 40 are needed"),
        (["--limit-synthetic", "30"], "synthetic has 30 images; at least 40 are needed"),
    ],
)
def test_bad_input_is_one_line(
    change: list[str], message: str, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*arguments(sources, tmp_path), *change])
    assert message in capsys.readouterr().out


def test_sides_without_a_common_label_are_refused(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantom_dataset(tmp_path / "other", 40, 32, np.random.default_rng(0), ["is_gc"])
    named = arguments(sources, tmp_path / "out")
    named[named.index("--synthetic") + 1] = str(tmp_path / "other")
    with pytest.raises(SystemExit, match="2"):
        main([*named, "--only", "material"])
    assert "have no label in common" in capsys.readouterr().out


def test_the_test_patients_are_held_out_and_a_list_of_nobody_is_refused(sources: Path, tmp_path: Path) -> None:
    listed = load_study(str(sources / "synthetic"), str(sources / "real"), tmp_path, 32, splits=sources / "splits.csv")
    assert listed.held_out_known and listed.has_validation and len(listed.held_out) == 50
    assert set(listed.train.patients) == {f"patient {number}" for number in range(70, 100)}
    assert set(listed.held_out.patients) == {f"patient {number}" for number in range(25)}
    drawn = load_study(str(sources / "synthetic"), str(sources / "real"), tmp_path, 32)
    assert not drawn.held_out_known and not set(drawn.train.patients) & set(drawn.held_out.patients)
    (tmp_path / "nobody.csv").write_text("patient,part\nnobody,test\n")
    with pytest.raises(EvaluationError, match="names none of the patients"):
        load_study(str(sources / "synthetic"), str(sources / "real"), tmp_path, 32, splits=tmp_path / "nobody.csv")


def test_a_split_of_the_real_source_holds_out_and_must_not_share_patients(sources: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("validation", "train")):
        write_phantom_dataset(tmp_path / name, 40, 32, np.random.default_rng(number), LABELS)
    (tmp_path / "validation" / "train.parquet").rename(tmp_path / "train" / "validation.parquet")
    with pytest.raises(EvaluationError, match="patient 'patient 0' is in the split train and in another"):
        load_study(str(sources / "synthetic"), str(tmp_path / "train"), tmp_path / "out", 32)


def test_test_patients_on_whom_a_choice_was_made_are_refused(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chosen-on.txt").write_text("patient 7\npatient 45\n")
    with pytest.raises(SystemExit, match="2"):
        main([*arguments(sources, tmp_path), "--chosen-on", str(tmp_path / "chosen-on.txt"), "--only", "material"])
    assert "1 test patients are listed in" in (printed := capsys.readouterr().out) and "'patient 7'" in printed
    (tmp_path / "chosen-on.txt").write_text("patient 45\n")
    main([*arguments(sources, tmp_path), "--chosen-on", str(tmp_path / "chosen-on.txt"), "--only", "material"])


def test_sets_that_name_no_patient_are_named(finished: Path, sources: Path, tmp_path: Path) -> None:
    assert "real | 110 | 55 | yes | 50" in (finished / "report.md").read_text()
    assert "do not name patients" not in (finished / "report.md").read_text()
    table = datasets.load_dataset(str(sources / "real"), split="train")
    sets = ["named"] * 100 + ["unnamed"] * 100
    patients = [*table["patient"][:100], *(f"file {row}" for row in range(100))]
    columns = {"patient": patients, "source": sets}
    table = table.remove_columns("patient")
    for name, values in columns.items():
        table = table.add_column(name, values)
    (tmp_path / "real").mkdir()
    table.to_parquet(tmp_path / "real" / "train.parquet")
    main(
        [
            "--synthetic",
            str(sources / "synthetic"),
            "--real",
            str(tmp_path / "real"),
            "--out",
            str(tmp_path / "out"),
            *FAST,
            "--only",
            "material",
        ]
    )
    text = (tmp_path / "out" / "report.md").read_text()
    assert "These sets do not name patients, or have one photograph of each: unnamed." in text
    assert re.search(r"\| unnamed \| (\d+) \| \1 \| no, or one photograph each", text)
    assert "It is not known which patients the generator has seen" in text


def test_a_change_in_code_that_an_experiment_uses_repeats_it(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only = [*arguments(sources, tmp_path), "--only", "material"]
    main(only)
    changed = cache._imported_sources("evaluation.experiments.material")
    assert "evaluation.data.splits" in changed and "evaluation.measures.neighbours" not in changed
    assert "evaluation.measures.neighbours" in cache._imported_sources("evaluation.experiments.privacy")
    assert "evaluation.experiments.downstream_runs" in cache._imported_sources("evaluation.experiments.downstream")
    monkeypatch.setattr(cache, "_imported_sources", lambda module: {**changed, "evaluation.data.splits": b"# changed"})
    cache.code_fingerprint.cache_clear()
    main(only)
    cache.code_fingerprint.cache_clear()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("material:")] == ["material: running"] * 2


def test_text_in_a_page_is_escaped() -> None:
    table = Table("t", "A < B", ["a|b"], [["<script>alert(1)</script>"]])
    result = Result("<b>", "How & why.", ["x > y"], [table], [Figure('figures/"x.png', 'a "caption"')])
    page = to_html("T", [result])
    assert "<script>" not in page and "&lt;b&gt;" in page and 'alt="a &quot;caption&quot;' in page
    assert "a\\|b" in to_markdown("T", [result])


def test_options_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.parse_arguments(["--synthetic", "a", "--real", "b", "--out", "c", "--fractions", "2"])
    assert "--fractions are [2.0]; allowed are numbers above 0 and up to 1" in capsys.readouterr().err
