"""The options that choose the engine, and what the one that ran has to say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from netsurgery.cli.command import ENGINE, WordType, headed, useless
from netsurgery.cli.options import NumberType
from netsurgery.cli.printing import echo_notes
from netsurgery.engines.contract import EFFECTS, EngineChoice, EngineOptions
from netsurgery.errors import UntrustedError

__all__ = ["engine_hint", "engine_options", "running_options"]

#: Command -> what the embedded engine gives, and how many times faster (docs/performance.md).
SPEEDS = {
    "convert": ("the same params", 5),
    "classify-map": ("the same map to 1e-4", 2),
    "features": ("the same values to 1e-4", 2),
}

F = TypeVar("F", bound=Callable[..., Any])


def _effects(text: str) -> frozenset[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in EFFECTS:
            raise ValueError(f"found {word[:60]!r}, expected any of {', '.join(EFFECTS)}")
    return frozenset(words)


def _embedded_alone(values: Mapping[str, Any]) -> bool:
    # `get`, since only verify has --engines, and `job resume` has no --engine.
    return values.get("choice") == "embedded" and not values.get("engines")


def _for_caffe(add_option: Callable[[F], F]) -> Callable[[F], F]:
    both = useless(
        "with --engines embedded,embedded",
        lambda values: set(values.get("engines") or ()) == {"embedded"},
    )
    return useless("with --engine embedded, which is not Caffe", _embedded_alone)(both(add_option))


_for_running = useless(
    "with --engine embedded, which converts without running the net",
    # True for commands without --verify, which always run the net.
    lambda values: _embedded_alone(values) and not values.get("verify", True),
)


@headed(ENGINE)
def engine_options(command: F) -> F:
    """--engine, --caffe-python, --gpu, --timeout, --threads, --allow, -v: `engine` of the command.

    What is allowed is not taken from the environment: it is for this net, now, and an environment
    that was once set up for another would allow it to every net.
    """

    @useless("with --engines, which names both", lambda values: values.get("engines"))(
        click.option(
            "--engine",
            "choice",
            type=click.Choice(get_args(EngineChoice)),
            envvar="NETSURGERY_ENGINE",
            help="Engine that runs the net; auto uses Caffe if it is installed and knows every "
            "layer  [default: what netsurgery.toml says, else `netsurgery caffe use`, else auto]",
        )
    )
    @running_options
    @functools.wraps(command)
    def wrapped(
        *args: Any, choice: EngineChoice | None, engine: EngineOptions, **kwargs: Any
    ) -> Any:
        configured, skipped = ("auto", ()) if choice else _configured_engine()
        try:
            return command(*args, engine=replace(engine, choice=choice or configured), **kwargs)
        except UntrustedError:
            skipped = ()  # it says the same
            raise
        finally:
            echo_notes(skipped, err=True)

    return wrapped  # type: ignore[return-value]


@headed(ENGINE)
def running_options(command: F) -> F:
    """Those but --engine, for a command whose job says which one: `engine` is "auto"."""

    @_for_caffe(
        click.option(
            "--caffe-python",
            metavar="PATH",
            envvar="NETSURGERY_CAFFE_PYTHON",
            help="Python interpreter that has pycaffe.",
        )
    )
    @_for_running(
        click.option(
            "--gpu",
            type=click.IntRange(min=0),
            metavar="N",
            envvar="NETSURGERY_GPU",
            help="Use CUDA device N instead of the CPU.",
        )
    )
    @_for_running(
        click.option(
            "--timeout",
            type=NumberType(min=0, min_open=True),
            default=600,
            show_default=True,
            metavar="SECONDS",
            envvar="NETSURGERY_TIMEOUT",
            help="Abort a request to the engine after this many seconds.",
        )
    )
    @_for_running(
        click.option(
            "--threads",
            type=click.IntRange(1, 256),
            metavar="N",
            envvar="NETSURGERY_THREADS",
            help="Number of threads (default: chosen by the engine).",
        )
    )
    @_for_caffe(
        click.option(
            "--allow",
            type=WordType(f"[{','.join(EFFECTS)}]", _effects, EFFECTS, listed=True),
            multiple=True,
            help="Side effects that layers may have in Caffe: read or write files that the net "
            "names, import Python modules  [default: nothing]",
        )
    )
    @_for_running(
        click.option("-v", "--verbose", is_flag=True, help="Show the engine's own output.")
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        caffe_python: str | None,
        gpu: int | None,
        timeout: float,
        threads: int | None,
        allow: tuple[frozenset[str], ...],
        verbose: bool,
        **kwargs: Any,
    ) -> Any:
        engine = EngineOptions(
            caffe_python=caffe_python,
            gpu=gpu,
            timeout=timeout,
            threads=threads,
            verbose=verbose,
            allow=frozenset().union(*allow),
        )
        return command(*args, engine=engine, **kwargs)

    return wrapped  # type: ignore[return-value]


#: In a context's `meta`: that nothing has chosen an engine.
_NO_ENGINE = "netsurgery.no_engine"


def _configured_engine() -> tuple[EngineChoice, tuple[str, ...]]:
    """What the files of configuration say where neither option nor variable does, and notes."""
    context = click.get_current_context()
    if context.params.get("dry_run"):  # no engine is started
        return "auto", ()
    from netsurgery.formats.found_settings import chosen_engine

    engine, notes = chosen_engine(Path(), context.params.get("trust_config"))
    context.meta[_NO_ENGINE] = engine is None
    return engine or "auto", () if context.params.get("quiet") else notes


def engine_hint(description: str, what: str) -> list[str]:
    """That the other engine does the same in less time, where Caffe ran and nobody chose it.

    description: of the engine that ran. what: of `SPEEDS`.
    """
    context = click.get_current_context()
    by_chance = context.meta.get(_NO_ENGINE) and context.params.get("gpu") is None
    if not by_chance or description.split(" ")[0] != "caffe":
        return []
    same, times = SPEEDS[what]
    return [
        f"Caffe was used; --engine embedded gives {same}, about {times} times faster for a net of "
        "CaffeNet's size; `netsurgery caffe use embedded`, or `use caffe`, settles it"
    ]
