"""Caffe's NetState, and the rules by which layers are in or out of a net in that state.

With it goes what else decides how a net is read: the shapes given for blobs that the text says
nothing of. The rules are those of ``Net::FilterNet`` and ``Net::StateMeetsRule`` of Caffe 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from netsurgery.errors import NetError
from netsurgery.io.argument_types import as_names, checks_arguments, shown
from netsurgery.io.size import as_shape
from netsurgery.io.wording import argument

if TYPE_CHECKING:
    from netsurgery.formats.textformat import Message, TextField

__all__ = ["TEST", "NetState", "Phase", "rule_fields"]

#: What a call says; at run time any case is taken, as on the command line.
Phase: TypeAlias = Literal["TEST", "TRAIN"]

#: A phase may be written as its number.
_PHASES = {"TRAIN": "TRAIN", "0": "TRAIN", "TEST": "TEST", "1": "TEST"}
_FIELDS = ("phase", "min_level", "max_level", "stage", "not_stage")
_INT32 = (-(2**31), 2**31 - 1)


@checks_arguments()
@dataclass(frozen=True)
class NetState:
    """What decides which layers count: a phase, a level (an int32) and any number of stages.

    phase: "TEST" or "TRAIN", in any case. shapes: (blob, shape) of inputs and data layers' tops,
    as if the text declared them; `shapes.infer` takes them and refuses one that fits no blob.
    Raises NetError for another phase, and for a level that is not an int32.

    >>> state = NetState("TRAIN", stages=("deploy",)).at({"data": (1, 3, 9, 9)})
    >>> state.phase, state.shapes
    ('TRAIN', (('data', (1, 3, 9, 9)),))
    """

    phase: Phase = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", str(self.phase).upper())
        if self.phase not in get_args(Phase):
            raise NetError(f"found the phase {self.phase!r}, expected TEST or TRAIN")
        if not _INT32[0] <= self.level <= _INT32[1]:
            raise NetError(f"found the level {self.level}, expected one from -2^31 to 2^31 - 1")

        object.__setattr__(self, "stages", tuple(as_names(self.stages, "stages")))
        try:
            pairs = dict(self.shapes)
        except (TypeError, ValueError):
            raise TypeError(
                f"shapes: found {shown(self.shapes)}, expected pairs of a blob and a shape"
            ) from None
        shapes = tuple((name, as_shape(each, f"blob {name!r}")) for name, each in pairs.items())
        object.__setattr__(self, "shapes", shapes)

    @checks_arguments()
    def at(self, shapes: Mapping[str, tuple[int, ...]] | None) -> NetState:
        """The same state with these shapes of blobs besides those given before."""
        merged = {**dict(self.shapes), **(shapes or {})}
        return replace(self, shapes=tuple(merged.items()))

    def within(self, root: Message) -> NetState:
        """The state of the net that `root` is the text of, when it is asked for in this state.

        Caffe adds the stages to those of the text's own ``state { }``, and puts the phase and the
        level in the place of the text's.
        """
        own = root.message("state")
        if own is None:
            return self
        _checked(own, ("phase", "level", "stage"))
        stages = [stage.as_string() for stage in own.scalars("stage")]
        return replace(self, stages=tuple(dict.fromkeys([*stages, *self.stages])))

    def includes(self, layer: Message) -> bool:
        """Whether the layer counts: an ``include`` is met, or there is none and no ``exclude`` is.

        Raises PrototxtError for a layer that has both, as Caffe does, and for rules that are not
        Caffe's.
        """
        include, exclude = layer.messages("include"), layer.messages("exclude")
        if include and exclude:
            name = layer.string("name")
            raise exclude[0].error(
                f"layer {name!r} has include and exclude rules; Caffe takes rules of one kind"
            )
        # Every rule is read, so that a wrong one is found whichever is met.
        met = [self._meets(rule) for rule in (*include, *exclude)]
        return any(met) if include else not any(met)

    def _meets(self, rule: Message) -> bool:
        """Whether all that the rule asks for holds; an empty rule is always met."""
        _checked(rule, _FIELDS)
        # What a rule leaves out it does not ask for: it reads as the state's own.
        phase = rule.word("phase", self.phase)
        low, high = (rule.integer(key, self.level, *_INT32) for key in ("min_level", "max_level"))
        required, unwanted = (
            {stage.as_string() for stage in rule.scalars(key)} for key in ("stage", "not_stage")
        )
        return (
            _PHASES[phase] == self.phase
            and low <= self.level <= high
            and required.issubset(self.stages)
            and unwanted.isdisjoint(self.stages)
        )

    def others(self, layer: Message) -> Iterator[tuple[str, str, NetState]]:
        """States of the other phase, or of a level that the layer's rules name.

        Each with the option that leads there, and what it is for.
        """
        rules = [*layer.messages("include"), *layer.messages("exclude")]
        phase: Phase = "TRAIN" if self.phase == "TEST" else "TEST"
        what = "training (phase TRAIN)" if phase == "TRAIN" else "the phase TEST"
        yield argument(f"--phase {phase.lower()}"), what, replace(self, phase=phase)
        for key in ("min_level", "max_level"):
            for rule in rules:
                level = rule.integer(key, self.level, *_INT32)
                yield argument(f"--level {level}"), f"level {level}", replace(self, level=level)

    def untried(self, layers: Iterable[Message]) -> tuple[str, ...]:
        """The stages that rules of the layers name, if this state has none of them."""
        named = dict.fromkeys(
            stage.as_string()
            for layer in layers
            for rule in (*layer.messages("include"), *layer.messages("exclude"))
            for key in ("stage", "not_stage")
            for stage in rule.scalars(key)
        )
        return tuple(named) if named.keys().isdisjoint(self.stages) else ()


def rule_fields(layer: Message) -> list[TextField]:
    """The fields that say in which states a layer is there."""
    return [field for name in ("include", "exclude") for field in layer.all(name)]


#: The state in which a trained net is used.
TEST = NetState()


def _checked(message: Message, known: tuple[str, ...]) -> None:
    """Raise PrototxtError for a field that Caffe does not know there, or a phase that is none."""
    for field in message.fields:
        if field.name not in known:
            raise message.source.error(
                f"found {field.name}, expected one of {', '.join(known)}", field.start
            )
    phase = message.scalar("phase")
    if phase is not None and phase.as_word() not in _PHASES:
        raise phase.error(f"found {phase.shown}, expected TRAIN or TEST")
