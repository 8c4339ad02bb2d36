"""The report as one HTML page and one Markdown file, from the results of the experiments."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import Template

from evaluation.report_page import figures
from evaluation.report_page.results import Cell, Result, Table, text_of
from synfundus.files import write_text, write_whole

PRIVATE_NOTE = "This figure shows real photographs: do not publish it without the right to."
TEMPLATE = Path(__file__).parent / "page.html"


def write_report(folder: Path, title: str, results: Sequence[Result]) -> None:
    """Writes `report.html`, `report.md` and, in `tables/`, a CSV for each table.

    Args:
        folder: the report's folder, with the figures.
        title: heading.
        results: in printed order.
    """
    for result in results:
        for table in result.tables:
            write_text(folder / "tables" / f"{table.name}.csv", table.to_csv())
    write_text(folder / "report.md", to_markdown(title, results))
    write_text(folder / "report.html", to_html(title, results))


def write_public_report(folder: Path, title: str, results: Mapping[str, Result], source: Path) -> None:
    """Writes the report again without the figures that show real photographs, in place of an earlier one.

    Args:
        folder: the new report's folder.
        title: heading.
        results: by the name of the experiment.
        source: the report's folder, with the figures.
    """
    public = {
        name: replace(result, figures=[figure for figure in result.figures if not _is_private(figure.file)])
        for name, result in results.items()
    }
    for name, result in public.items():
        result.save(folder / "results" / f"{name}.json")
        for figure in result.figures:
            write_whole(folder / figure.file, partial(shutil.copyfile, source / figure.file))
    write_report(folder, title, list(public.values()))
    _remove_others(folder, public)


def _remove_others(folder: Path, results: Mapping[str, Result]) -> None:
    """Removes what an earlier report left: experiments that were not run again would be taken for new ones."""
    kept = {folder / "results" / f"{name}.json" for name in results}
    kept |= {folder / "tables" / f"{table.name}.csv" for result in results.values() for table in result.tables}
    kept |= {folder / figure.file for result in results.values() for figure in result.figures}
    for part in ("results", "tables", "figures"):
        for file in (folder / part).glob("*"):
            if file not in kept:
                file.unlink()


def failures(results: Sequence[Result]) -> list[str]:
    """Why the report fails; empty if it does not."""
    return [failure for result in results for failure in result.failures]


def _verdict(results: Sequence[Result]) -> str:
    found = failures(results)
    return f"The report fails: {'; '.join(found)}." if found else "No threshold of the report is exceeded."


def to_markdown(title: str, results: Sequence[Result]) -> str:
    """The report in Markdown."""
    lines = [f"# {title}", "", f"**{_verdict(results)}**", ""]
    for result in results:
        lines += [f"## {result.title}", "", result.method, ""]
        lines += [f"- {finding}" for finding in result.findings] + [""] * bool(result.findings)
        for table in result.tables:
            lines += [f"### {table.title}", "", *_markdown_table(table), ""]
        for figure in result.figures:
            lines += [f"![{figure.caption}]({figure.file})", "", f"*{figure.caption}.{_note(figure.file)}*", ""]
    return "\n".join(lines)


def _markdown_table(table: Table) -> list[str]:
    def line(cells: Sequence[Cell]) -> str:
        return "| " + " | ".join(text_of(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(table.columns), "|" + " --- |" * len(table.columns), *map(line, table.rows)]


def to_html(title: str, results: Sequence[Result]) -> str:
    """The report as one HTML page, which loads nothing but its figures."""
    contents = "".join(f'<li><a href="#part-{number}">{_text(r.title)}</a></li>' for number, r in enumerate(results))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_text(title),
        verdict=_text(_verdict(results)),
        outcome="fails" if failures(results) else "passes",
        contents=contents,
        sections="\n".join(_section(number, result) for number, result in enumerate(results)),
    )


def _section(number: int, result: Result) -> str:
    parts = [f'<section id="part-{number}"><h2>{_text(result.title)}</h2>']
    if result.findings:
        parts.append(f"<ul>{''.join(f'<li>{_text(finding)}</li>' for finding in result.findings)}</ul>")
    parts.append(f"<details open><summary>How it was measured</summary><p>{_text(result.method)}</p></details>")
    parts += [_html_table(table) for table in result.tables]
    for figure in result.figures:
        caption = _text(f"{figure.caption}.{_note(figure.file)}")
        source = html.escape(figure.file, quote=True)
        parts.append(f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>')
    return "\n".join([*parts, "</section>"])


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(text_of(cell))}</td>' for cell in row)}</tr>" for row in table.rows)
    caption = f"<caption>{_text(table.title)}</caption>"
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _note(file: str) -> str:
    return f" {PRIVATE_NOTE}" if _is_private(file) else ""


def _is_private(file: str) -> bool:
    return Path(file).parts[0] == figures.PRIVATE


def _text(value: str) -> str:
    return html.escape(value, quote=True)
