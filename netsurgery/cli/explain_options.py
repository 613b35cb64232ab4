"""Options that ask for an explanation of the net's answer in the place of a map of windows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from netsurgery.cli.command import EXPLANATION, headed, of_net, useless
from netsurgery.cli.options import SIZE

__all__ = ["explain_options", "explains", "useless_when_explaining"]

F = TypeVar("F", bound=Callable[..., Any])


def explains(values: Mapping[str, Any]) -> bool:
    """Whether a call of these options asks for an explanation."""
    return bool(values["occlusion"] or values["grad_cam"])


def useless_when_explaining(why: str) -> Callable[[Callable[[F], F]], Callable[[F], F]]:
    """Refuse the options that a decorator adds in calls for an explanation."""

    def decorate(decorator: Callable[[F], F]) -> Callable[[F], F]:
        of_occlusion = useless(f"with --occlusion, {why}", lambda values: values["occlusion"])
        of_grad_cam = useless(f"with --grad-cam, {why}", lambda values: values["grad_cam"])
        return of_occlusion(of_grad_cam(decorator))

    return decorate


_with_job = useless("with --job, which maps windows", lambda values: values["job"] is not None)
_OCCLUSION = _with_job(
    click.option(
        "--occlusion",
        is_flag=True,
        help="Explain the answer for the whole input of a classifier: how much the score of the "
        "class falls where a grey patch covers it. --class names the class (default: the "
        "likeliest), --stride the pixels from one place of the patch to the next (default: half a "
        "patch).",
    )
)
_PATCH = useless("without --occlusion", lambda values: not values["occlusion"])(
    click.option(
        "--patch",
        type=SIZE,
        help="With --occlusion: size of the patch in pixels of the input, as 32x32 or 32 (default: "
        "a seventh of its shorter side).",
    )
)


#: What --grad-cam alone stands for.
_LAST = "last"

_GRAD_CAM = useless("with --occlusion, which explains, too", lambda values: values["occlusion"])(
    _with_job(
        click.option(
            "--grad-cam",
            is_flag=False,
            flag_value=_LAST,
            metavar="[LAYER]",
            shell_complete=of_net("complete_blob"),
            help="Explain the answer by Grad-CAM: which places of the map of a layer raise the "
            "score of the class, by its gradient; without LAYER of the last map before the scores "
            "(write it behind the images then, or as last). --class names the class. It takes "
            "real Caffe.",
        )
    )
)


@headed(EXPLANATION)
def explain_options(command: F) -> F:
    """--occlusion, --patch and --grad-cam; the command gets `explain`, None for a map of windows.

    Of an occlusion --stride is the patch's, and --class says which classes are explained: the
    command gets None, and "max", which shows them.
    """

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        occlusion: bool,
        patch: tuple[int, int] | None,
        grad_cam: str | None,
        stride: int | None,
        class_: str,
        **kwargs: Any,
    ) -> Any:
        if not (occlusion or grad_cam):
            return command(*args, explain=None, stride=stride, class_=class_, **kwargs)
        from netsurgery.maps.explain import Explain, GradCam, Occlusion

        explain: Explain = GradCam(None if grad_cam == _LAST else grad_cam, class_)
        if occlusion:
            explain, stride = Occlusion(patch, stride, class_), None
        return command(*args, explain=explain, stride=stride, class_="max", **kwargs)

    decorated: Any = wrapped
    return _OCCLUSION(_PATCH(_GRAD_CAM(decorated)))  # type: ignore[no-any-return]
