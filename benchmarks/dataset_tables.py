"""Writes the dataset section of `docs/benchmarks.md` from the results of the other `dataset_*` benchmarks.

    python -m benchmarks.dataset_tables benchmarks/results/dataset-*.json --out docs/benchmarks.md

All figures come from the results. The rest of the file does not change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from synfundus.files import write_text

MODEL = {True: "with the generator", False: "without the generator"}
BEGIN, END = "<!-- dataset_tables: begin -->", "<!-- dataset_tables: end -->"
TEMPLATE = Path(__file__).with_suffix(".md")
Result = dict[str, Any]
Target = tuple[str, str, str, bool | None]  # quantity, measured, target, whether it was met
VERDICTS = {True: "met", False: "**missed**", None: "**not decided**: the machine was busy with other work"}
# If a build used a smaller part of the cores, other work disturbed it, and its rate is not conclusive.
ENOUGH_CORES = 0.85


def targets(results: Sequence[Result]) -> str:
    """Returns a table of targets and results."""
    lines = [line for result in results for line in TARGETS.get(result["benchmark"], lambda _: [])(result)]
    rows = [[what, measured, target, VERDICTS[met]] for what, measured, target, met in lines]
    return table("quantity | measured | target | ", rows)


def build_targets(result: Result) -> list[Target]:
    """The targets of `dataset_build`."""
    ratio, what = result["build"]["ratio"], f"{result['rows']:,} rows {pixels(result)}, rate against a bare loop"
    undisturbed = result["cores_busy"] >= ENOUGH_CORES * result["encoding_threads"]
    return [(what, f"{ratio:.2f}", "0.90", ratio >= 0.9 if undisturbed else None)]


def memory_targets(result: Result) -> list[Target]:
    """The targets of `dataset_memory`."""
    growth = result["growth"]
    few, *_, many = (f"{int(rows):,}" for rows in result["peak_bytes"])
    what = f"peak memory, {many} rows against {few}, {MODEL[result['with_model']]}"
    return [(what, f"{growth:+.1%}", "+5 %", growth <= 0.05)]


def reading_targets(result: Result) -> list[Target]:
    """The targets of `dataset_reading`."""
    labels, streaming, access = result["labels"], result["streaming"], result["random_access"]
    seconds, whole = labels["seconds"], f"{labels['rows']:,} rows"
    lines = [
        (
            f"loading the labels of {whole}, cached",
            f"{seconds['load_cached']:.2f} s",
            "2 s",
            seconds["load_cached"] < 2,
        ),
        (f"filter of {whole} by a label", f"{seconds['filter_batches']:.2f} s", "1 s", seconds["filter_batches"] < 1),
    ]
    for name, ratio in ((name, rate["ratio"]) for name, rate in streaming.items()):
        what = f"streaming {name} {pixels(result)}, against decoding a list"
        lines.append((what, f"{ratio:.2f}", "0.90", ratio >= 0.9))
    what = f"random access among {whole} {pixels(result)}, against in order"
    return [*lines, (what, f"{access['ratio']:.2f}", "0.50", access["ratio"] >= 0.5)]


def filtering_targets(result: Result) -> list[Target]:
    """The targets of `dataset_filtering`."""
    ratio, what = result["index"]["bytes_per_wanted_byte"], f"bytes read for the rows with {result['label']}"
    return [(f"{what}, against the bytes of their images", f"{ratio:.2f}", "1.50", ratio <= 1.5)]


TARGETS: dict[str, Callable[[Result], list[Target]]] = {
    "dataset_build": build_targets,
    "dataset_memory": memory_targets,
    "dataset_reading": reading_targets,
    "dataset_filtering": filtering_targets,
}


def builds(results: Sequence[Result]) -> str:
    """Returns the table of the builds."""
    head = (
        "rows | pixels | shards | rows/s | bare loop, rows/s | cores busy | peak memory, MB | images, GB | labels, MB"
    )
    rows = [
        [
            f"{result['rows']:,}",
            option(result, "side"),
            f"{result['shards']}",
            f"{result['build']['per_second']:,.0f}",
            f"{result['build']['peer_per_second']:,.0f}",
            f"{result['cores_busy']:.2f} of {result['encoding_threads']}",
            f"{result['peak_bytes'] / 1e6:.0f}",
            f"{result['bytes']['default'] / 1e9:.2f}",
            f"{result['bytes']['labels'] / 1e6:.2f}",
        ]
        for result in of(results, "dataset_build")
    ]
    return table(head, rows)


def memory(results: Sequence[Result]) -> str:
    """Returns the table of the builds' peak memory."""
    rows = [
        [
            f"{result['pixels']} pixels, {MODEL[result['with_model']]}",
            f"{result['before_bytes'] / 1e6:.0f}",
            *(f"{peak / 1e6:.0f}" for peak in result["peak_bytes"].values()),
        ]
        for result in of(results, "dataset_memory")
    ]
    head = next((list(result["peak_bytes"]) for result in of(results, "dataset_memory")), [])
    return table(" | ".join(["peak memory, MB", "before the build", *(f"{int(each):,} rows" for each in head)]), rows)


def labels(results: Sequence[Result]) -> str:
    """Returns the table of loading and filtering labels."""
    names = ("load_first", "load_cached", "filter_batches", "select_column", "filter_rows")
    rows = [
        [f"{result['labels']['rows']:,}", *(f"{result['labels']['seconds'][name]:.2f} s" for name in names)]
        for result in of(results, "dataset_reading")
    ]
    return table("rows | load, first | load, cached | (a) | (b) | (c)", rows)


def reading(results: Sequence[Result]) -> str:
    """Returns the table of streaming and random access."""
    rows = []
    for result in of(results, "dataset_reading"):
        streaming, access = result["streaming"], result["random_access"]
        rates = [streaming["rows"]["per_second"], streaming["images"]["per_second"]]
        rates += [streaming["rows"]["peer_per_second"], access["per_second"], access["peer_per_second"]]
        rows.append([str(result["pixels"]), f"{result['labels']['rows']:,}", *(f"{rate:,.0f}" for rate in rates)])
    head = "pixels | rows | streamed rows/s | streamed images/s | decoded from a list/s | random rows/s | in order/s"
    return table(head, rows)


def filtering(results: Sequence[Result]) -> str:
    """Returns the table of reading the rows with a rare finding."""
    head = "rows | of them found | way | MB read | per byte of their images | seconds"
    rows = [
        [
            f"{result['rows_of_split']:,}",
            f"{result['rows_found']:,}",
            name,
            f"{result[way]['bytes'] / 1e6:.1f}",
            f"{result[way]['bytes_per_wanted_byte']:.2f}",
            f"{result[way]['seconds']:.1f}",
        ]
        for result in of(results, "dataset_filtering")
        for way, name in (("index", "index and byte ranges"), ("scan", "filter on the images"))
    ]
    return table(head, rows)


def peers(results: Sequence[Result]) -> str:
    """Returns the table of the peers."""
    head = " | build | first image after | images/s | shuffled | its last 1,000 | label scan | files | MB"
    rows = [
        [
            name,
            f"{each['build_seconds']:.0f} s",
            f"{each['start_seconds'] * 1000:.0f} ms",
            f"{each['sequential']['per_second']:,.0f}",
            f"{each['shuffled']['per_second']:,.0f}",
            f"{each['shuffled_last_seconds']:.1f} s",
            f"{each['scan_seconds'] * 1000:.0f} ms",
            f"{each['files']:,}",
            f"{each['bytes'] / 1e6:.0f}",
        ]
        for result in of(results, "dataset_peers")
        for name, each in result["layouts"].items()
    ]
    return table(head, rows)


def formats(results: Sequence[Result]) -> str:
    """Returns the table of the image formats."""
    rows = [
        [
            side,
            each["title"],
            f"{each['bytes_per_image']:,.0f}",
            "no loss" if each["psnr"] is None else f"{each['psnr']:.1f} dB",
            f"{each['encoded_per_second']:,.0f}",
            f"{each['decoded_per_second']:,.0f}",
        ]
        for result in of(results, "dataset_formats")
        for side, measured in result["sizes"].items()
        for each in measured.values()
    ]
    return table("pixels | format | bytes an image | PSNR | encoded/s | decoded/s", rows)


def commands(results: Sequence[Result]) -> str:
    """Returns the commands and the machines of the results."""
    machines = {
        f"{each['cpu']}, {each['memory_gib']} GiB, Python {each['python']}, "
        + ", ".join(f"{name} {version}" for name, version in each["packages"].items())
        for each in (result["machine"] for result in results)
    }
    lines = "\n".join(result["command"] for result in results)
    return f"```sh\n{lines}\n```\n\n" + "\n".join(f"- {machine}" for machine in sorted(machines))


def of(results: Sequence[Result], benchmark: str) -> list[Result]:
    """Returns the results of a benchmark."""
    return [result for result in results if result["benchmark"] == benchmark]


def pixels(result: Result) -> str:
    """Returns the size of a result's images."""
    return f"of {result.get('pixels') or option(result, 'side')} pixels"


def option(result: Result, name: str) -> str:
    """Returns the value of an option in the command of a result."""
    words = result["command"].split()
    return words[words.index(f"--{name}") + 1]


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; its head is given as in Markdown."""
    rule = " | ".join(["---", *["---:"] * head.count(" | ")])
    return "\n".join(f"| {line} |" for line in (head, rule, *map(" | ".join, rows)))


def replace_section(text: str, section: str) -> str:
    """Returns a text with the section between the two marks replaced, or appended if there are no marks.

    Raises:
        ValueError: if the text has only one of the marks.
    """
    if (BEGIN in text) != (END in text):
        raise ValueError(f"only one of the marks {BEGIN} and {END} exists")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if not rest:
        before, after = (f"{text.rstrip()}\n\n" if text.strip() else "# Benchmarks\n\n"), "\n"
    return f"{before}{BEGIN}\n{section.strip()}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dataset_tables", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="JSON files of the benchmarks")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page")
    options = parser.parse_args(arguments)
    results = [json.loads(file.read_text(encoding="utf-8")) for file in options.results]
    parts = (targets, builds, memory, labels, reading, filtering, peers, formats, commands)
    section = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        {part.__name__: part(results) for part in parts}
    )
    text = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    write_text(options.out, replace_section(text, section))


if __name__ == "__main__":
    main()
