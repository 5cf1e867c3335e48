"""``cnn-perception invert``: pictures rebuilt from what a network's layers keep of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnn_perception.cli.opened_network import opened_network
from cnn_perception.cli.options import Json, Model, Network, Out, Weights, option
from cnn_perception.offboard.explain_methods.optimisation_config import ImageOptimisationConfig

__all__ = ["command"]


def command(
    image: Annotated[Path, typer.Argument(help="Picture.")],
    model: Model = "rooms_ssdlite",
    network: Network = "",
    weights: Weights = "",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer, as conv3_1 or features.10; several, with commas between them, are taken "
            "together. Repeatable. Default: the first activation of each resolution."
        ),
    ] = None,
    style: Annotated[
        Path | None, typer.Option(help="Give IMAGE the style of this picture.")
    ] = None,
    style_weight: Annotated[
        float, typer.Option(min=0.0, help="Weight of the style beside the content of IMAGE.")
    ] = 10.0,
    texture: Annotated[
        bool, typer.Option("--texture", help="Make another picture with the texture of IMAGE.")
    ] = False,
    steps: int = option(ImageOptimisationConfig, "steps"),
    rate: list[float] = option(ImageOptimisationConfig, "rate", repeatable=True),
    tv: list[float] = option(ImageOptimisationConfig, "tv", repeatable=True),
    snapshot: Annotated[
        list[int] | None,
        typer.Option(help="Step after which the picture is shown as well. Repeatable."),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=0, max=4096, help="Shorter side of the picture, pixels; 0 is the network's own."
        ),
    ] = 0,
    seed: int = option(ImageOptimisationConfig, "seed"),
    out: Out = Path("out/invert"),
    print_json: Json = False,
) -> None:
    """Rebuild a picture from the features of layers; or its texture, or in another's style.

    Writes the pictures found, a table of all, the curves of the losses, and invert.json. Needs
    PyTorch. A picture is sought for every --layer with every --tv and --rate.
    """
    from itertools import product

    from cnn_perception.errors import ConfigError

    if texture and style is not None:
        raise ConfigError("--texture is of IMAGE alone, --style of another picture: give one")
    opened = opened_network(model, network, weights)
    from cnn_perception.cli.invert_runs import Order, carry_out

    if size:
        opened = opened.of_size(size)
    configs = [
        ImageOptimisationConfig(steps, a_rate, a_tv, seed=seed, snapshots=tuple(snapshot or ()))
        for a_tv, a_rate in product(dict.fromkeys(tv), dict.fromkeys(rate))
    ]
    groups = [names.split(",") for names in dict.fromkeys(layer or ())]
    order = Order(image, style, style_weight, texture, groups, configs)
    carry_out(order, opened, out, print_json=print_json)
