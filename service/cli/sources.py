"""``tocsin sources``: presets, and what a source file amounts to."""

from typing import Annotated

import typer
import yaml

from models.source.config import Source, presets
from service.cli.show import print_json


def sources(
    source: Annotated[str | None, typer.Argument(help="Preset or YAML file to check and print")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON")] = False,
) -> None:
    """List the presets, or check a source and print its full configuration."""
    if source is None:
        if json:
            print_json({"presets": presets()})
        else:
            typer.echo("\n".join(presets()))
        return
    config = Source.load(source).to_dict()
    if json:
        print_json(config)
    else:
        # Not through rich, which wraps long lines: what is printed is to be kept as a source file and changed.
        typer.echo(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), nl=False)
