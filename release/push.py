"""Publishes the model, the dataset and the Space: `python -m release.push --namespace ORG [model|dataset|space|all]`.

Everything is checked before anything is sent. An interrupted push is resumed by running the same command again; when
everything is published, the command does nothing. `--dry-run` runs the checks and lists what would be sent.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from pipeline_synfundus import __version__
from synfundus.interrupts import interrupts_kept

from .cards.render import Published, Release
from .checks.folder import check_folder
from .folders import KINDS, Folder, ReleaseError
from .hub.errors import explain
from .hub.retry import retry
from .hub.upload import Plan, Target, make_plan, upload
from .staging import Folders

CLONE = Path(__file__).parent.parent
NAMESPACE = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
VERSION = re.compile(r"\d+\.\d+\.\d+(?:[\w.+-]+)?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0 done, 1 the Hub failed, 2 refused, 130 interrupted."""
    options = _parse(arguments)
    try:
        with interrupts_kept():
            _run(options)
    except ReleaseError as error:
        print(f"push: error: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to resume.", file=sys.stderr)
        return 130
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print(f"push: error: {message}.", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    api = HfApi()
    kinds = list(KINDS) if options.what == "all" else [options.what]
    names = {"model": "synfundus-generator", "dataset": options.dataset.resolve().name, "space": "synfundus"}
    folders = Folders(
        {kind: Folder(kind, getattr(options, kind), f"{options.namespace}/{names[kind]}") for kind in KINDS}
    )
    for kind in kinds:
        folders.by_kind[kind].files()  # checks the folders before the first request
    if not options.dry_run:
        _check_account(api, options.namespace)
    elif not _reachable(api, folders.by_kind["model"].repo_id):
        print(f"{api.endpoint} cannot be reached; all files are listed as new.")
        _list_all_new(folders, kinds, f"v{options.version}", api)
        return
    release = folders.release(api, f"v{options.version}", kinds)
    if "model" not in kinds:
        folders.check_published(api, release)
    _check(api, folders, kinds, release)
    for kind in kinds:
        target = folders.stage(api, kind, release)
        if options.dry_run:
            _list(target, make_plan(api, target))
        else:
            release = publish(api, target, release, options.private)


def _check(api: HfApi, folders: Folders, kinds: list[str], release: Release) -> None:
    """Runs the fast checks of all folders, then the slow ones."""
    new = [kind for kind in kinds if not folders.check(api, kind, release)]
    for kind in new:
        check_folder(folders.by_kind[kind])
        print(f"{kind}: {folders.by_kind[kind].path} passed all checks.")


def publish(api: HfApi, target: Target, release: Release, private: bool) -> Release:
    """Creates or updates a repository and tags it; returns the release with its commit.

    Args:
        api: client of the Hub.
        target: the repository and its content.
        release: the tag and the repositories that have it.
        private: make a new repository private.

    Raises:
        ReleaseError: if `private` is set and the repository is already public.
    """
    sdk = "gradio" if target.kind == "space" else None
    where: dict[str, Any] = {"repo_id": target.repo_id, "repo_type": target.kind}
    step = f"{target.kind} {target.repo_id}"
    # None keeps an existing repository's visibility; a new one gets the organisation's default.
    wish = True if private else None
    address = retry(lambda: api.create_repo(**where, private=wish, space_sdk=sdk, exist_ok=True), step)
    if (
        private and not retry(lambda: api.repo_info(**where), step).private
    ):  # create_repo does not change existing repositories
        raise ReleaseError(
            f"{address} is already public, and --private does not change that. Change it in the repository's settings"
        )
    commit = release.repositories[target.kind].commit
    head = upload(api, target, f"{target.kind.capitalize()} {release.tag}")
    if commit is None:
        retry(lambda: api.create_tag(**where, tag=release.tag, revision=head, exist_ok=True), step)
    print(f"{target.kind}: {address}, {release.tag}, commit {commit or head}")
    return release.with_repository(Published(target.kind, target.repo_id, commit or head))


def _check_account(api: HfApi, namespace: str) -> None:
    """Checks the account's write access before the slow checks start."""
    user = retry(api.whoami, "logging in", failures=3)
    names = [user["name"], *(organisation["name"] for organisation in user.get("orgs", ()))]
    if namespace not in names:
        raise ReleaseError(f"--namespace is {namespace}, but {user['name']} may write under {', '.join(names)} only")


def _reachable(api: HfApi, repo_id: str) -> bool:
    """Whether the Hub can be reached; its answer is ignored unless it is an error."""
    try:
        retry(lambda: api.repo_exists(repo_id), "asking the Hub", failures=1)
    except HfHubHTTPError:
        raise
    except (HTTPError, OfflineModeIsEnabled):
        return False
    return True


def _list_all_new(folders: Folders, kinds: list[str], tag: str, api: HfApi) -> None:
    """The dry run without a connection: runs the local checks and lists every file."""
    repositories = {kind: Published(kind, folder.repo_id) for kind, folder in folders.by_kind.items()}
    release = Release(tag, api.endpoint, repositories)
    _check(api, folders, kinds, release)
    for kind in kinds:
        target = folders.stage(api, kind, release)
        _list(target, Plan.of_new(target))


def _list(target: Target, plan: Plan) -> None:
    """Prints what would be sent."""
    kept = len(target.contents) - sum(map(len, plan.commits))
    print(
        f"\n{target.kind} {target.repo_id}: {len(plan.names)} files to change, {plan.size / 1e6:,.1f} MB, "
        f"{max(len(plan.commits), bool(plan))} commits; {kept} files unchanged"
    )
    for number, commit in enumerate(plan.commits, start=1):
        for content in commit:
            print(f"  commit {number}  add     {content.size / 1e6:>12,.3f} MB  {content.name}")
    for name in plan.deletions:
        print(f"  commit {max(len(plan.commits), 1)}  delete                   {name}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m release.push",
        description="Publishes the model, the dataset and the Space. Run the same command again to resume.",
    )
    add = parser.add_argument
    add("what", nargs="?", choices=(*KINDS, "all"), default="all", help="what to publish (%(default)s)")
    add("--namespace", type=_namespace, required=True, metavar="ORG", help="user or organisation on the Hub")
    add("--private", action="store_true", help="make new repositories private")
    add("--dry-run", action="store_true", help="check everything, list what would be sent, send nothing")
    add("--version", type=_version, default=__version__, help="published as a tag, v%(default)s")
    add("--model", type=Path, default=CLONE / "pipeline_synfundus", metavar="FOLDER", help="the model")
    add("--dataset", type=Path, default=Path("synfundus-1m"), metavar="FOLDER", help="the built dataset (%(default)s)")
    add("--space", type=Path, default=CLONE / "space", metavar="FOLDER", help="the Space")
    return parser.parse_args(arguments)


def _namespace(text: str) -> str:
    if not NAMESPACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid user or organisation name")
    return text


def _version(text: str) -> str:
    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a version such as 1.0.0")
    return text


if __name__ == "__main__":
    sys.exit(main())
