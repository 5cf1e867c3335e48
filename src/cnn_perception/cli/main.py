"""The ``cnn-perception`` command line: a module per command, heavy imports inside."""

from __future__ import annotations

import sys

import typer

import cnn_perception
from cnn_perception.cli import (
    bench,
    demo,
    detect,
    evaluate,
    explain,
    invert,
    models,
    play,
    record_rgbd,
    replay,
    segment,
    simulate,
    train,
)
from cnn_perception.cli import map as map_command
from cnn_perception.cli.terminal import print_error
from cnn_perception.errors import PerceptionError

__all__ = ["app", "main"]

app = typer.Typer(
    name="cnn-perception",
    help="See, explain and map with a robot's camera.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"cnn-perception {cnn_perception.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """See, explain and map with a robot's camera."""


app.add_typer(bench.app, name="bench")
app.command("demo")(demo.command)
app.command("detect")(detect.command)
app.command("evaluate")(evaluate.command)
app.command("explain")(explain.command)
app.command("invert")(invert.command)
app.add_typer(map_command.app, name="map")
app.add_typer(models.app, name="models")
app.command("play")(play.command)
app.command("record-rgbd")(record_rgbd.command)
app.command("replay")(replay.command)
app.command("segment")(segment.command)
app.command("simulate")(simulate.command)
app.command("train")(train.command)


def main() -> None:
    """Run the command line; a known error is one line on stderr and exit code 1."""
    try:
        app()
    except PerceptionError as error:
        print_error(error)
        sys.exit(1)
