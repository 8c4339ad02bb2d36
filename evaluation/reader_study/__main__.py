"""`python -m evaluation.reader_study build | serve | analyse`."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation.data.photographs import load_photographs
from evaluation.errors import EvaluationError
from evaluation.report_page.page import write_report

from .analyse import analyse
from .blend import build_blend


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.reader_study", description="A blind study with human readers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="blend real and synthetic images")
    build.add_argument(
        "--synthetic", required=True, help="folder or Hub id of the synthetic images, with label columns"
    )
    build.add_argument("--real", required=True, help="folder or Hub id of real photographs, with label columns")
    build.add_argument("--real-config", help="configuration of the real source")
    build.add_argument("--per-disease", type=int, default=20, help="images of either side (%(default)s)")
    build.add_argument("--size", type=int, default=128, help="side of the images in pixels (%(default)s)")
    build.add_argument("--seed", type=int, default=0, help="determines the choice (%(default)s)")
    serve = commands.add_parser("serve", help="show the images to annotators in a browser")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for others (%(default)s)")
    serve.add_argument("--port", type=int, help="port to listen on")
    analysis = commands.add_parser("analyse", help="analyse the answers")
    for command in (build, serve, analysis):
        command.add_argument("--study", type=Path, required=True, help="the study's folder")
    options = parser.parse_args(arguments)
    if options.command == "build" and options.per_disease < 1:
        parser.error(f"--per-disease is {options.per_disease}; allowed is 1 or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Runs one of the three commands; bad input is one line and exit code 2."""
    options = parse_arguments(arguments)
    try:
        if options.command == "build":
            _build(options)
        elif options.command == "serve":
            from .serve import serve  # here, not above: Gradio takes seconds to import

            serve(options.study, options.host, options.port)
        else:
            folder = options.study / "analysis"
            write_report(folder, "Reader study", [analyse(options.study)])
            print(f"the analysis is {folder / 'report.html'}")
    except (EvaluationError, OSError) as error:
        print(f"error: {error}")
        raise SystemExit(2) from None


def _build(options: argparse.Namespace) -> None:
    cache = options.study / "cache"
    synthetic = load_photographs(options.synthetic, options.size, cache)
    real = load_photographs(options.real, options.size, cache, options.real_config)
    items = build_blend(synthetic, real, options.study, options.per_disease, options.seed)
    for disease in sorted({item.disease for item in items}):
        print(f"{disease}: {sum(item.disease == disease for item in items)} images")
    print(f"{len(items)} images in {options.study}; key.csv says which is which: do not show it to the annotators")


if __name__ == "__main__":
    main()
