"""The command line: `anypod dev | serve | token | config | functions | sizing | demo | prove | version`.

Owns the list of commands and how a failure reaches a person. Must not know what a command does: each one
lives in its own module, which imports what it runs only when it runs.
"""

import sys

import typer

from anypod.cli import config, demo, dev, functions, prove, serve, sizing, token, version
from anypod.core.errors import AnypodError

EXIT_FAILED = 2

app = typer.Typer(
    name="anypod",
    help="Sessions that reconnect to any pod and lose nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it would print local variables, credentials among them
)
app.command()(dev.dev)
app.command()(serve.serve)
app.command()(token.token)
app.command()(config.config)
app.command()(functions.functions)
app.command()(sizing.sizing)
app.command()(demo.demo)
app.command()(prove.prove)
app.command()(version.version)


def main() -> None:
    """Run one command; what went wrong becomes one line and the exit code 2."""
    try:
        app()
    except (AnypodError, ExceptionGroup) as failure:
        if (error := _foreseen(failure)) is None:
            raise
        sys.stderr.write(f"anypod: {error.message}\n")
        sys.exit(EXIT_FAILED)


def _foreseen(failure: Exception) -> AnypodError | None:
    """What a person is told. None: a bug is among the failures, and its traceback must be seen."""
    if isinstance(failure, ExceptionGroup):
        told = [_foreseen(inner) for inner in failure.exceptions]
        return None if None in told else told[0]
    return failure if isinstance(failure, AnypodError) else None
