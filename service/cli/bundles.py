"""``tocsin bundles``: versions, what they say of themselves, the workflow that they learned, and which one is live."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from models.bundle import CARD, Bundle
from models.bundles import About, BundleStore
from models.errors import BundleError, ConfigError
from models.spool.reader import LIMIT
from models.template.texts import or_else
from models.workflow.graph import WORKFLOW, Workflow
from models.workflow.picture import workflow_svg
from models.workflow.tree import workflow_lines
from service.cli.evaluate import BUNDLES, open_bundle
from service.cli.remote import HERE, Author, Url, call
from service.cli.show import harmless, print_json
from service.spool.comparison import compare

SPOOL = "data/spool"
"""Where the service spools if nobody says otherwise."""

app = typer.Typer(help="Versions of trained bundles.", no_args_is_help=True)

Root = Annotated[str, typer.Option("--bundles", help="Folder or fsspec URL of bundles")]


Json = Annotated[bool, typer.Option("--json", help="Print as JSON")]
Reset = Annotated[
    bool,
    typer.Option(
        "--reset-sessions",
        help="Forget live sessions, open timeframes and rates: for another template tree or session rule",
    ),
]
SourceName = Annotated[str, typer.Argument(help="Source, as the service knows it")]


@app.command("list")
def list_bundles(
    bundles: Root = BUNDLES,
    url: Annotated[str | None, typer.Option(help="Ask a running service, which also knows what is live")] = None,
    json: Json = False,
) -> None:
    """List sources and their versions, the shipped ones included: of each its parent, when it was made, what its gate
    said, and with --url which one is live."""
    if url is not None:
        found = {told["source"]: told["details"] for told in call(url, "GET", "/models")["models"]}
    else:
        store = BundleStore(bundles)
        found = {source: [_told(about) for about in store.described(source)] for source in store.sources()}
    if json:
        print_json(found)
        return
    if not found:
        Console(stderr=True).print(f"no bundle under {bundles}, and none is shipped", markup=False)
        return
    table = Table("source", "version", "state", "parent", "made", "gate", box=None, pad_edge=False)
    for source, versions in found.items():
        for told in versions:
            table.add_row(*(Text(harmless(cell)) for cell in (source, *_cells(told))))
    Console().print(table)


@app.command("activate")
def activate(
    source: SourceName,
    version: Annotated[str, typer.Argument(help="Version that is to be live")],
    reset_sessions: Reset = False,
    url: Url = HERE,
    author: Author = None,
    json: Json = False,
) -> None:
    """Make a version live in a running service."""
    body = {"version": version, "reset_sessions": reset_sessions}
    _say_live(call(url, "POST", f"/models/{_segment(source)}/activate", body, author), json)


@app.command("rollback")
def rollback(
    source: SourceName,
    reset_sessions: Reset = False,
    url: Url = HERE,
    author: Author = None,
    json: Json = False,
) -> None:
    """Make the version live again that was before the live one."""
    body = {"reset_sessions": reset_sessions}
    _say_live(call(url, "POST", f"/models/{_segment(source)}/rollback", body, author), json)


@app.command("shadow")
def shadow(
    source: SourceName,
    version: Annotated[str | None, typer.Argument(help="Version that is to judge without a say; none ends it")] = None,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """Let a version judge live lines beside the live one, without a say; tocsin_shadow_verdicts_total counts where it
    differs."""
    answer = call(url, "POST", f"/models/{_segment(source)}/shadow", {"version": version})
    if json:
        print_json(answer)
        return
    beside = "no version" if version is None else f"version {version}"
    Console().print(Text(harmless(f"{source}: {beside} judges in the shadow of version {answer['live']}")))


@app.command("diff")
def diff(
    source: SourceName,
    old: Annotated[str, typer.Argument(help="Version to start from")],
    new: Annotated[str, typer.Argument(help="Version to compare with it")],
    bundles: Root = BUNDLES,
    spool: Annotated[Path, typer.Option(help="Folder of what the service put by of live traffic")] = Path(SPOOL),
    limit: Annotated[
        int, typer.Option(min=1, help="Distinct events, and sessions, that are judged: the newest")
    ] = LIMIT,
    json: Json = False,
) -> None:
    """Judge what was spooled of live traffic by two versions, and show which verdicts change."""
    store = BundleStore(bundles)
    first, second = (store.load(source, version) for version in (old, new))
    # The tree only grows: the one that grew longest knows most of what is spooled.
    tree = max((bundle.tree() for bundle in (first, second)), key=lambda tree: tree.version)
    found = compare(
        first, second, spool, limit=limit,
        text_of=lambda key: tree.template(key).text, exemplar_of=lambda key: tree.template(key).exemplar,
    )  # fmt: skip
    if json:
        print_json(found)
        return
    console = Console()
    for what in ("events", "sessions"):
        told = found[what]
        console.print(
            f"{told['all']:,} {what}: {told['both']:,} ring with both versions, {told['rings']:,} with {new} alone, "
            f"{told['quiet']:,} with {old} alone",
            markup=False,
        )
    table = Table("change", "times", "distinct", "detectors", "what", box=None, pad_edge=False)
    for change in found["changes"]:
        what = change["template"] if change["kind"] == "line" else f"(session ends) such as {change['session']}"
        detectors = ", ".join(change["detectors"])
        cells = (change["change"], f"{change['count']:,}", f"{change['distinct']:,}", detectors, what)
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    if found["changes"]:
        console.print(table)
    if found["more_changes"]:
        console.print(f"and {found['more_changes']:,} more", markup=False)


@app.command("show")
def show(
    bundle: Annotated[str, typer.Argument(help="Folder of a bundle, or SOURCE/VERSION")],
    bundles: Root = BUNDLES,
    workflow: Annotated[
        bool, typer.Option("--workflow", help="Show the steps of normal sessions instead of the card")
    ] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also write the workflow as an SVG picture here")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest, or the workflow, as JSON")] = False,
) -> None:
    """Verify a bundle and print its card."""
    if svg is not None and not workflow:
        raise ConfigError("--svg draws the workflow: give --workflow too")
    opened = open_bundle(bundle, bundles)
    if workflow:
        show_workflow(opened, svg, json)
    elif json:
        print_json(opened.manifest)
    else:
        card = opened.files.get(CARD, b"no card").decode("utf-8", "replace")
        # Its text is in part a log's: no link that leads elsewhere than it says.
        Console().print(Markdown("\n".join(map(harmless, card.split("\n"))), hyperlinks=False))


def show_workflow(bundle: Bundle, svg: Path | None, json: bool) -> None:
    """Print a bundle's workflow as a tree or as JSON, and draw it where a file is named."""
    if WORKFLOW not in bundle.files:
        raise BundleError(f"the bundle has no {WORKFLOW}: it was trained without one; train the source again to get it")
    workflow = Workflow.from_json(bundle.files[WORKFLOW])
    text_of = texts(bundle)
    if svg is not None:
        try:
            svg.write_text(workflow_svg(workflow, text_of), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the picture to {svg}: {error.strerror}") from error
    if json:
        print_json(workflow.to_dict())
        return
    console = Console()
    for line in workflow_lines(workflow, text_of, max(40, console.width - 24)):
        # Cut, not wrapped: a step that goes on in the next line would look like another step.
        console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")


def texts(bundle: Bundle) -> Callable[[int], str]:
    """Template texts by id; a template that the bundle's tree lacks has none."""
    tree = bundle.tree()
    return or_else(lambda template_id: tree.template(template_id).text)


def _told(about: About) -> dict[str, Any]:
    """What a version says of itself, as the service tells it."""
    return {**asdict(about), "state": None, "rejected": about.rejected}


def _cells(told: dict[str, Any]) -> tuple[str, ...]:
    made = told["created"]
    when = "" if made is None else datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d %H:%M")
    gate = "" if told["gate"] is None else "passed" if told["rejected"] is None else f"rejected: {told['rejected']}"
    state = told["state"] or ("shipped" if told["shipped"] else "")
    return told["version"], state, told["parent"] or "", when, told["problem"] or gate


def _segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _say_live(answer: dict[str, Any], json: bool) -> None:
    if json:
        print_json(answer)
        return
    was = f" (was {answer['was']})" if "was" in answer else ""
    Console().print(Text(harmless(f"{answer['source']}: version {answer['live']} is live{was}")))
