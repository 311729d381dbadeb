"""The verbs of `cvbench`. Each lives in its own file under `commands/` and is imported only when it is called.

Exit codes: 0 all well, 1 some run failed or some check did not hold, 2 the user's mistake, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from keyword import iskeyword
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Parameter
from cyclopts.help import PlainFormatter

from cvbench import __version__
from cvbench.unread import discard

if TYPE_CHECKING:
    from rich.console import Console

# Pydantic would look through every installed package for plug-ins: a tenth of the time that `plan` takes.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130

# In the order in which users meet them. The text stands here so that `--help` imports none of them.
VERBS = {
    "run": "Train and evaluate what the store lacks, then show the leaderboard.",
    "plan": "Show which runs are done, missing, failed or outdated.",
    "list": "List tasks, models, datasets, benchmarks or metrics.",
    "leaderboard": "Show or publish what has finished, or check published boards.",
    "compare": "Hold two models against each other: difference, interval, p.",
    "data": "List, fetch, verify and preview datasets.",
    "new": "Write a benchmark for your own images.",
    "score": "Score somebody's predictions against the truth.",
    "submit": "Score somebody's predictions on a dataset's test split, for a board.",
    "check": "Check records of results that somebody else made.",
    "predict": "Let a finished run's model look at images.",
    "inspect": "Look into images and finished runs: kernels, filters, feature maps, Grad-CAM.",
    "export": "Write a finished run's predictions and truth as files.",
    "profile": "Measure what models cost, without training.",
    "try": "Try a model on tiny data of its task: forward, backward, save, load, two processes.",
    "claims": "Hold finished runs against published numbers.",
    "rescore": "Score finished runs again from their evidence, after the evaluator changed.",
    "reproduce": "Run a record again from its own spec, and compare every number.",
    "doctor": "Check this machine: installation, devices, data, disks, programs.",
}


class Help(PlainFormatter):
    """Cyclopts' plain help, wrapped with a hanging indent."""

    def _print_plain(self, console: Console, text: str) -> None:
        # Descriptions come wrapped already, to a width that does not know the indent.
        lines = [" ".join(text.split())] if text.startswith(" ") else text.splitlines()
        indent = text[: len(text) - len(text.lstrip())]
        for line in lines:
            width, hanging = min(console.width, 110), indent and indent + "      "
            wrapped = textwrap.fill(line, width, initial_indent=indent, subsequent_indent=hanging)
            console.print(wrapped, highlight=False, markup=False, soft_wrap=True)


app = App(
    name="cvbench",
    help="""Train, compare and rank computer-vision architectures so that others believe the result.

    Start with `cvbench run quick`; every verb has its own --help.""",
    version=__version__,
    # Plain text is what keeps `--help` fast, and `--no-…` twins of switches would say nothing.
    help_format="plaintext",
    help_formatter=Help(),
    default_parameter=Parameter(negative=()),
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for position, (verb, text) in enumerate(VERBS.items()):
    name = f"{verb}_" if iskeyword(verb) else verb
    home = f"cvbench.commands.{name}"
    app.command(f"{home}:{'app' if verb in ('data', 'inspect') else name}", name=verb, help=text, sort_key=position)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (`sys.argv` by default) and returns its exit code; never raises for a user's mistake."""
    if os.getcwd() not in sys.path:
        # `my_models.py` here is `my_models:build` in a benchmark; last, so it hides nothing
        sys.path.append(os.getcwd())
    if argv is None:  # as a program: the end of a job or of a terminal is as orderly as Ctrl-C
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.default_int_handler)
    try:
        code = app(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except CycloptsError as error:
        return _mistake(f"{error}\nSee `cvbench --help`.")
    except BrokenPipeError:  # `cvbench list models | head`: nobody reads on, which is no mistake of anybody
        discard(sys.stdout)
        return 0
    except (ValueError, OSError) as error:  # no such file, no permission, a full or read-only disk
        if os.environ.get("CVBENCH_TRACEBACK"):
            raise
        return _mistake(str(error))
    except KeyboardInterrupt:
        print(
            "\ncvbench: interrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr
        )
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _mistake(message: str) -> int:
    print(f"cvbench: {message}", file=sys.stderr)
    return MISTAKE
