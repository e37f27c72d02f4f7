"""``tocsin sources``: presets, what a source file amounts to, and the sources of a running service."""

from typing import Annotated, Any

import typer
import yaml

from models.errors import ConfigError
from models.source.config import Source, presets
from service.cli.remote import HERE, call
from service.cli.show import harmless, print_json


def sources(
    source: Annotated[str | None, typer.Argument(help="Preset or YAML file to check and print")] = None,
    put: Annotated[bool, typer.Option("--put", help="Configure the source in a running service")] = False,
    url: Annotated[
        str | None, typer.Option(help=f"List a running service's sources and how far they are; with --put [{HERE}]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON")] = False,
) -> None:
    """List the presets, check a source and print its full configuration, or hand it to a running service.

    With --url alone: the sources that the service has, and how far those are that still learn.
    """
    if put:
        if source is None:
            raise ConfigError("--put needs a source: tocsin sources FILE.yaml --put")
        _put(Source.load(source), url or HERE, json)
    elif url is not None:
        if source is not None:
            raise ConfigError("--url with a source needs --put, which configures it there")
        _list(url, json)
    elif source is None:
        if json:
            print_json({"presets": presets()})
        else:
            typer.echo("\n".join(presets()))
    else:
        config = Source.load(source).to_dict()
        if json:
            print_json(config)
        else:
            # Not through rich, which wraps long lines: what is printed is to be kept as a source file and changed.
            typer.echo(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), nl=False)


def _put(source: Source, url: str, json: bool) -> None:
    call(url, "PUT", f"/sources/{source.name}", source.to_dict())
    (found,) = [one for one in call(url, "GET", "/sources")["sources"] if one["name"] == source.name]
    if json:
        print_json(found)
    else:
        typer.echo(f"{source.name} is configured: {_state(found)}")


def _list(url: str, json: bool) -> None:
    found = call(url, "GET", "/sources")
    if json:
        print_json(found)
        return
    for one in found["sources"]:
        typer.echo(f"{harmless(one['name'])}: {_state(one)}")
    if not found["sources"]:
        typer.echo("no sources yet: `tocsin init FILE` proposes one")


def _state(found: dict[str, Any]) -> str:
    if found["learning"] is not None:
        return f"learning, {harmless(found['learning']['text'])}"
    return f"judged by version {found['version']}, {found['templates']:,} templates"
