"""`netsurgery caffe`: install real Caffe, show which one is used, choose what runs nets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from netsurgery.cli.command import Group
from netsurgery.cli.files import FolderPathType
from netsurgery.cli.options import json_option, quiet_option
from netsurgery.cli.printing import echo, echo_json
from netsurgery.cli.progress import Progress
from netsurgery.formats.engine_choice import EngineChoice
from netsurgery.io.cleanup import Undo
from netsurgery.io.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netsurgery.engines.discovery import Caffe, ProbeResult

__all__ = ["command"]


@click.group(cls=Group)
def command() -> None:
    """Install real Caffe, show which one is used, and choose what runs nets.

    \b
    Example:
      netsurgery caffe install
      netsurgery caffe info
      netsurgery caffe use embedded
    """


@command.command()
@click.option(
    "--prefix",
    type=FolderPathType(file_okay=False),
    envvar="NETSURGERY_CAFFE_PREFIX",
    help="Folder to install to (default: caffe in netsurgery's user data folder).",
)
@click.option(
    "--mirror", metavar="URL", help="Debian mirror (default: the one that this machine uses)."
)
@click.option("--suite", default="bullseye", show_default=True, help="Debian suite.")
@click.option("--force", is_flag=True, help="Reinstall even if Caffe is already installed.")
@click.option(
    "--keep-downloads", is_flag=True, help="Keep the downloaded packages for a later install."
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show who signed the package index, and the SHA-256 of each package.",
)
@quiet_option
def install(
    prefix: Path | None,
    mirror: str | None,
    suite: str,
    force: bool,
    keep_downloads: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Install Caffe 1.0 from Debian 11, without root.

    Installs Debian's packages of Caffe and of the Python that it needs: 180 MB to download, whose
    signatures are checked, and 700 MB in one folder. Nothing else on the machine changes; to
    uninstall, remove the folder. An interrupted install continues where it stopped when run again.

    \b
    Example:
      netsurgery caffe install
    """
    from netsurgery.engines import debian

    # Asked first: afterwards it is installed in any case.
    earlier = None if force else debian.installed_python(prefix)
    # Said only where a signal ends the install: an error has words of its own.
    stopped = Undo(lambda: say("stopped; run it again to go on from what was downloaded\n"))
    progress = _Phases(quiet, verbose)
    try:
        python = debian.install_caffe(
            prefix,
            mirror,
            suite,
            progress.show,
            force=force,
            keep_downloads=keep_downloads,
            report=progress.line,
        )
    finally:
        stopped.forget()
        progress.clear()
    if not quiet:
        echo(f"{'Caffe is already installed' if earlier else 'Caffe is ready'}: {python}")


class _Phases:
    """A progress bar for each phase, one after another."""

    def __init__(self, quiet: bool, verbose: bool) -> None:
        self.quiet, self.verbose, self.what = quiet, verbose, ""
        self.bar = Progress(0)

    def show(self, what: str, share: float) -> None:
        """How much of `what` is done."""
        if what != self.what:
            self.clear()
            # click counts whole steps: thousandths of the share.
            self.what, self.bar = what, Progress(1000, self.quiet, label=what)
        self.bar.step_to(round(1000 * share))

    def line(self, text: str) -> None:
        """A line of --verbose."""
        if self.verbose:
            self.clear()
            echo(text, err=True)

    def clear(self) -> None:
        self.bar.clear()


@command.command(
    exit_codes={0: "A Caffe can be used.", 1: "No Caffe can be used.", 2: "Wrong usage."}
)
@click.option(
    "--caffe-python",
    metavar="PATH",
    envvar="NETSURGERY_CAFFE_PYTHON",
    help="Python interpreter that has pycaffe.",
)
@json_option
@quiet_option
@click.pass_context
def info(ctx: click.Context, caffe_python: str | None, as_json: bool, quiet: bool) -> None:
    """Show which Caffes there are, and which is used.

    Looks, in this order, at --caffe-python, NETSURGERY_CAFFE_PYTHON, this Python, and what
    `netsurgery caffe install` installed.

    \b
    Example:
      netsurgery caffe info --json
    """
    from netsurgery.engines.discovery import chosen, probe_all
    from netsurgery.formats.user_config import user_engine

    findings = probe_all(caffe_python)
    used = chosen(findings)
    engine = user_engine()
    if as_json:
        facts = [as_dict(finding, finding is used) for finding in findings]
        echo_json({"usable": used is not None, "chosen_engine": engine, "tried": facts})
    elif not quiet:
        for finding in findings:
            for line in lines(finding, finding is used):
                echo(line)
        if used is None:
            echo(no_caffe(findings))
        if engine is not None:
            echo(f"engine: {engine}, by `netsurgery caffe use`")
    ctx.exit(0 if used else 1)


@command.command()
@click.argument("engine", type=click.Choice(get_args(EngineChoice)), default="caffe")
@quiet_option
def use(engine: EngineChoice, quiet: bool) -> None:
    """Choose the engine that runs nets from now on.

    The choice (caffe, if none is named) is saved in the user configuration; --engine,
    NETSURGERY_ENGINE and [engine] in netsurgery.toml override it. With caffe, a net that Caffe
    cannot run is an error; with auto the embedded engine runs it.

    \b
    Example:
      netsurgery caffe use embedded
    """
    from netsurgery.formats.user_config import set_user_engine

    path = set_user_engine(engine)
    if not quiet:
        echo(f"nets are run by --engine {engine} from now on (in {path})")


@command.command()
@quiet_option
def forget(quiet: bool) -> None:
    """Forget the choice of `netsurgery caffe use`.

    \b
    Example:
      netsurgery caffe forget
    """
    from netsurgery.formats.user_config import set_user_engine

    path = set_user_engine(None)
    if not quiet:
        echo(f"nothing is chosen in {path} now: --engine auto is the default")


def no_caffe(findings: list[ProbeResult]) -> str:
    """Why none is used: a usable one is passed over only if another was named."""
    usable = next((finding.caffe for finding in findings if finding.caffe is not None), None)
    if usable is None:
        return "no Caffe to use; `netsurgery caffe install` gets one"
    # One that was named comes first, and no other counts then: `discovery.chosen`.
    origin = findings[0].candidate.origin
    return f"no Caffe to use: {origin} alone counts; without it {usable.python} is used"


def as_dict(finding: ProbeResult, used: bool) -> dict[str, Any]:
    """One candidate, for --json: the same keys whether it is usable or not."""
    caffe, candidate = finding.caffe, finding.candidate
    return {
        "origin": candidate.origin,
        "python": caffe.python if caffe else candidate.python,
        "place": candidate.place,
        "usable": caffe is not None,
        "used": used,
        "reason": finding.reason or None,
        "version": caffe.version if caffe else None,
        "python_version": caffe.python_version if caffe else None,
        "path": caffe.path if caffe else None,
        "blas": caffe.blas if caffe else None,
        "blas_path": caffe.blas_path if caffe else None,
        "cuda": caffe.cuda if caffe else None,
        "layer_types": list(caffe.layer_types) if caffe else None,
        "landlock": caffe.landlock if caffe else None,
        "unconfined": dict(caffe.unconfined) if caffe else None,
    }


def lines(finding: ProbeResult, used: bool) -> list[str]:
    """One candidate, for people."""
    caffe, candidate = finding.caffe, finding.candidate
    if caffe is None:
        return [f"{candidate.origin}: {candidate.place}", f"  not usable: {finding.reason}"]
    blas = f"{caffe.blas} ({caffe.blas_path})" if caffe.blas else "unknown"
    types = click.wrap_text(
        ", ".join(caffe.layer_types) or "this Caffe cannot list them",
        width=98,
        initial_indent=f"  layer types  {len(caffe.layer_types)}: ",
        subsequent_indent=" " * 15,
    )
    return [
        f"{candidate.origin}: {caffe.python}{' (used)' if used else ''}",
        f"  Caffe        {caffe.version} ({caffe.path})",
        f"  Python       {caffe.python_version}",
        f"  BLAS         {blas}",
        f"  CUDA         {'compiled in' if caffe.cuda else 'not compiled in: CPU only'}",
        *confinement(caffe),
        *types.splitlines(),
    ]


def confinement(caffe: Caffe) -> Iterator[str]:
    """How far nets are confined that run in this Caffe."""
    confined = {
        "writes": f"to what netsurgery hands it alone (Landlock {caffe.landlock})",
        "reads": f"of itself, nets and weights alone (Landlock {caffe.landlock})",
        "calls": "no network, no other processes, no privileges (seccomp)",
        "memory": "by the net's size, files likewise (limits)",
        "processes": "few more than there are (limits)",
    }
    for number, (what, how) in enumerate(confined.items()):
        reason = caffe.unconfined.get(what, "it does not say")
        state = f"not confined: {reason}" if reason else how
        yield f"  {'' if number else 'confinement':12} {what:10} {state}"
