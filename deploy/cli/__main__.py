"""`python -m deploy.cli`: every command of kapcare, one module for each group."""

import os
import sys

import aiohttp
import typer

from deploy.bench.command import bench
from deploy.cli import audit, compose_env, fhir, outcomes, parked, partner, policy, tests, timeline, token, up, witness
from deploy.demo.command import demo
from deploy.local.failure import StackError

DEBUG_SETTING = "KAPCARE_DEBUG"

app = typer.Typer(
    name="kap",
    help="Ketamine-assisted psychotherapy, carried safely from referral to integration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("token")(token.token)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(tests.test)
app.command("parked")(parked.parked)
app.command("replay")(parked.replay)
app.command("discard")(parked.discard)
app.command("fhir")(fhir.fhir)
app.command("outcomes")(outcomes.outcomes)
app.command("timeline")(timeline.timeline)
app.command("witness")(witness.witness)
app.command("compose-env")(compose_env.compose_env)
app.add_typer(audit.app, name="audit")
app.add_typer(policy.app, name="policy")
app.add_typer(partner.app, name="partner")
app.command("demo")(demo)
app.add_typer(bench, name="bench")


@app.callback()
def options(debug: bool = typer.Option(False, "--debug", envvar=DEBUG_SETTING, help="Show tracebacks.")) -> None:
    """Take the options of every command."""
    if debug:
        os.environ[DEBUG_SETTING] = "1"


def main() -> None:
    """Run one command; a person's mistake is one line, not a traceback."""
    try:
        app(prog_name="kap")
    except (StackError, aiohttp.ClientError, OSError) as error:
        if os.environ.get(DEBUG_SETTING):
            raise
        sys.exit(f"kap: {str(error) or type(error).__name__}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
