"""``tocsin bundles list|show``: which versions there are and what they say of themselves."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from models.bundle import CARD
from models.bundles import BundleStore
from service.cli.evaluate import BUNDLES, open_bundle
from service.cli.show import harmless, print_json

app = typer.Typer(help="Versions of trained bundles.", no_args_is_help=True)

Root = Annotated[str, typer.Option("--bundles", help="Folder or fsspec URL of bundles")]


@app.command("list")
def list_bundles(
    bundles: Root = BUNDLES, json: Annotated[bool, typer.Option("--json", help="Print as JSON")] = False
) -> None:
    """List sources and their versions, the shipped ones included."""
    store = BundleStore(bundles)
    found = {source: store.versions(source) for source in store.sources()}
    if json:
        print_json(found)
        return
    if not found:
        Console(stderr=True).print(f"no bundle under {bundles}, and none is shipped", markup=False)
    for source, versions in found.items():
        Console().print(f"{source}: {', '.join(versions)}", markup=False)


@app.command("show")
def show(
    bundle: Annotated[str, typer.Argument(help="Folder of a bundle, or SOURCE/VERSION")],
    bundles: Root = BUNDLES,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON")] = False,
) -> None:
    """Verify a bundle and print its card."""
    opened = open_bundle(bundle, bundles)
    if json:
        print_json(opened.manifest)
    else:
        card = opened.files.get(CARD, b"no card").decode("utf-8", "replace")
        Console().print(Markdown("\n".join(map(harmless, card.split("\n")))))
