"""``cnn-perception models``: the model bundles that are here, and those that could be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cnn_perception.cli import models_explain, models_export, models_pull

__all__ = ["app"]

app = typer.Typer(help="List, fetch, check, export and explain bundles.", no_args_is_help=True)
app.command("explain")(models_explain.command)
app.command("export")(models_export.command)
app.command("pull")(models_pull.command)


@app.command("list")
def list_command(
    available: Annotated[
        bool, typer.Option("--available", help="The published networks that can be pulled.")
    ] = False,
    print_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the bundles on the search path, and say what those lack that cannot be used."""
    rows = _published() if available else _here()
    if print_json:
        typer.echo(json.dumps(rows, indent=1))
    elif available:
        _show_published(rows)
    else:
        _show_here(rows)


def _here() -> list[dict[str, Any]]:
    """Return what is known of each bundle on the search path."""
    from cnn_perception.errors import ModelError
    from cnn_perception.offboard.pretrained.catalog import read_catalog
    from cnn_perception.runtime.bundle import list_bundles, load_bundle

    published = read_catalog()
    rows: list[dict[str, Any]] = []
    for name, file in list_bundles().items():
        row: dict[str, Any] = {"name": name, "folder": str(file.parent), "usable": True}
        try:
            bundle = load_bundle(file)
        except ModelError as error:
            text = str(error).removeprefix(f"{file}: ")
            if name in published and not _fetched(file):
                text = f"not fetched yet: run 'cnn-perception models pull {name}'"
            row.update(usable=False, error=text)
        else:
            row.update(
                task=bundle.task,
                version=bundle.version,
                labels=len(bundle.labels),
                explains=bool(bundle.explain),
                description=bundle.description,
            )
        rows.append(row)
    return rows


def _fetched(file: Path) -> bool:
    """Say whether a published network lies beside the model.yaml that describes it."""
    return (file.parent / "model.onnx").is_file()


def _show_here(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    widest = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        if row["usable"]:
            explains = ", explains" if row["explains"] else ""
            facts = f"{row['task']}, {row['labels']} labels{explains}"
            console.print(f"{row['name']:<{widest}}  {facts}", markup=False)
            about, style = row["description"], "dim"
        else:
            console.print(f"{row['name']:<{widest}}  not usable", style="yellow", markup=False)
            about, style = row["error"], "yellow"
        console.print(f"{'':<{widest}}  {about}", style=style, markup=False)
    console.print("published networks: cnn-perception models list --available", style="dim")


def _published() -> list[dict[str, Any]]:
    """Return what is known of each network that can be pulled."""
    from dataclasses import asdict

    from cnn_perception.offboard.pretrained.catalog import read_catalog
    from cnn_perception.runtime.locate import list_bundles

    here = list_bundles()
    return [
        {**asdict(network), "here": name in here and _fetched(here[name])}
        for name, network in read_catalog().items()
    ]


def _show_published(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    widest = max(len(row["name"]) for row in rows)
    groups: dict[str, list[str]] = {}
    for row in rows:
        title = f"{row['task']}: {row['figure_name']} on {row['measured_on']}"
        facts = f"{row['figure']:.3f} {row['megabytes']:4.0f} MB  {row['licence']:<12}"
        line = f"  {row['name']:<{widest}} {facts}  {'here' if row['here'] else ''}"
        groups.setdefault(title, []).append(line.rstrip())
    for title, lines in groups.items():
        console.print(title, style="bold")
        console.print("\n".join(lines), "", sep="\n", markup=False)
    console.print("get one: cnn-perception models pull NAME", style="dim")


@app.command("check")
def check_command(
    model: Annotated[str, typer.Argument(help="Bundle: a name, a folder or a model.yaml.")],
    print_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load a bundle, compare its network with its model.yaml, and run it once."""
    from rich.console import Console

    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.explain.explainer import Explainer
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.runtime.inference import Session

    bundle = load_bundle(model)
    session = Session(bundle)
    if bundle.explain:
        Explainer(bundle)
    facts = {
        "name": bundle.name,
        "version": bundle.version,
        "task": bundle.task,
        "licence": bundle.licence,
        "source": bundle.source,
        "network": f"{bundle.model} ({bundle.model.stat().st_size / 1e6:.2f} MB)",
        "input": f"{bundle.input.width}x{bundle.input.height} {bundle.input.channels}",
        "output": bundle.output.name,
        "labels": ", ".join(bundle.labels),
        "explain graphs": len(bundle.explain),
        "quality": bundle.quality,
        "runs on": session.provider,
    }
    if print_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    console = Console()
    # Per-class tables are for the JSON; a terminal gets the totals.
    totals = {key: value for key, value in bundle.quality.items() if not isinstance(value, dict)}
    facts["quality"] = ", ".join(f"{key} {value}" for key, value in totals.items())
    for key, value in facts.items():
        print_lines(console, f"{key:>14}  {value}")
    console.print("everything fits", style="green")


@app.command("add")
def add_command(
    name: Annotated[str, typer.Argument(help="Bundle that describes the network.")],
    file: Annotated[Path, typer.Argument(help="The ONNX file that it lacks.")],
) -> None:
    """Give a bundle its network: copies both into your own models folder, and checks them."""
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.runtime.inference import Session
    from cnn_perception.runtime.install import add_network

    folder = add_network(name, file)
    Session(load_bundle(folder))
    typer.echo(f"{name} is ready in {folder}")
