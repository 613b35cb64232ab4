"""Params of one net copied into another: which goes where, and what must not.

Layers are matched by name, after a rule of names; params within them by their index. An unmatched
param of the target stays as the target's own weights have it or, without those, is left out of
the result with its layer, for Caffe to fill. A layer has all of its params or none: Caffe does
not load a part of them.

Layers of the target that share a param by name get the same values: those for the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from netsurgery.errors import SurgeryError
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.plan import Refusal, refuse
from netsurgery.surgery.transplant.params import (
    ModelParams,
    TransplantLayer,
    outcome,
    same_settings,
    slice_hint,
)

__all__ = ["OUTCOMES", "NameRule", "ParamKey", "Transfer", "TransplantPlan", "plan_transplant"]

#: A param: its layer and its index.
ParamKey = tuple[str, int]

#: What may become of a param, in the order in which they are counted.
OUTCOMES = ("copied", "reshaped", "transposed", "reordered", "sliced", "dropped", "unmatched")


@dataclass(frozen=True)
class NameRule:
    """Which layer of the target a layer goes to.

    pairs: layer -> target layer, "" for none. prefix: put before every other name, and no other
    layer of the target is considered. suffix: appended; a layer whose name with it is not in the
    target goes to the layer of its own name.
    """

    pairs: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    suffix: str = ""

    def names(self, layer: str) -> tuple[str, ...]:
        """The target layers to look for; the first that the target has is taken."""
        if layer in self.pairs:
            return (self.pairs[layer],) if self.pairs[layer] else ()
        full = f"{self.prefix}{layer}{self.suffix}"
        return (full, layer) if self.suffix and not self.prefix else (full,)


@dataclass(frozen=True)
class Transfer:
    """What becomes of one param.

    outcome: "copied", "reshaped", "transposed", "reordered" or "sliced" for one that goes from
    `source` to `target`; "dropped" for one of the source that goes nowhere, "unmatched" for one
    of the target that none is copied to. old, new: the shapes in source and target. reason: why
    it was dropped or what becomes of an unmatched one.
    """

    outcome: str
    source: ParamKey | None
    target: ParamKey | None
    old: Shape | None
    new: Shape | None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a record; a param is its layer and index, null for none."""
        return {
            "outcome": self.outcome,
            "from": _key(self.source),
            "to": _key(self.target),
            "from_shape": None if self.old is None else list(self.old),
            "to_shape": None if self.new is None else list(self.new),
            "reason": self.reason,
        }


def _key(param: ParamKey | None) -> dict[str, Any] | None:
    return None if param is None else {"layer": param[0], "index": param[1]}


@dataclass(frozen=True, repr=False)
class TransplantPlan(ShortRepr):
    """Every param of both nets, and what becomes of it; the target's first, in its order.

    absent: layers of the target that the result has no params for, so that Caffe fills them.

    >>> import netsurgery as ns
    >>> source = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.transplant(source, (source[0], None)) as result:
    ...     result.plan.counts["copied"]
    10
    """

    source: ModelParams
    target: ModelParams
    transfers: tuple[Transfer, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> how many params have it, 0 included."""
        counts = Counter(transfer.outcome for transfer in self.transfers)
        return {word: counts[word] for word in OUTCOMES}

    def __str__(self) -> str:
        return ", ".join(f"{count} {word}" for word, count in self.counts.items() if count)

    @cached_property
    def matched(self) -> dict[ParamKey, Transfer]:
        """The target's params that are replaced, and by what."""
        return {t.target: t for t in self.transfers if t.target and t.source}


def plan_transplant(
    source: NetWithWeights,
    target: NetWithWeights,
    rule: NameRule,
    *,
    cut: bool = False,
    strict: bool = False,
) -> TransplantPlan:
    """Plan which params of `source` go where in `target`.

    cut: where sizes differ, the part that overlaps goes. strict: a layer that the result would
    have no params for is refused. Raises SurgeryError naming every refusal, where weights are of
    another net, and where nothing at all would be copied.
    """
    for model in (source, target):
        if reason := model.another_net():
            raise SurgeryError(reason)
    sides = ModelParams.of(source), ModelParams.of(target)
    planner = _Planner(*sides, rule, cut)
    planner.match()
    planner.share()
    unmatched = list(planner.unmatched())
    absent = planner.absent(unmatched)
    if strict:
        planner.refusals += [
            Refusal(name, f"no params are copied to it, which {argument('--strict')} requires")
            for name in absent
        ]
    between = f"{source.net.prototxt.path} to {target.net.prototxt.path}"
    refuse(between, [*planner.touched, *planner.refusals])
    if not planner.matched:
        raise SurgeryError(f"{between}: nothing would be copied; {planner.why_nothing()}")
    order = [
        (name, index)
        for name, layer in sides[1].layers.items()
        for index in range(len(layer.shapes or ()))
    ]
    known = {t.target: t for t in [*planner.matched.values(), *unmatched]}
    transfers = [known[param] for param in order if param in known]
    return TransplantPlan(*sides, (*transfers, *planner.dropped), absent, tuple(planner.notes()))


class _Planner:
    """A plan being made: what is matched, what is dropped, what is refused."""

    def __init__(self, source: ModelParams, target: ModelParams, rule: NameRule, cut: bool) -> None:
        self.source, self.target, self.rule, self.cut = source, target, rule, cut
        self.matched: dict[ParamKey, Transfer] = {}
        self.dropped: list[Transfer] = []
        #: Layers of the target whose shapes are not known, and assumed to be the source's.
        self.assumed: list[str] = []
        #: Whether --slice was mentioned: once is enough.
        self.hinted = False
        self.refusals = [*self._unknown_pairs()]
        #: Layers of the target that have a refusal already.
        self.refused: set[str] = set()
        #: Refusals of layers whose params are not those of their own net, once they are touched.
        self.touched: dict[Refusal, None] = {}

    def _unknown_pairs(self) -> Iterator[Refusal]:
        for name, goal in self.rule.pairs.items():
            if not (name in self.source.layers and self.source.layers[name].blobs):
                hint = self.source.net.name_hint(name)
                yield Refusal(
                    name,
                    f"named in {argument('--map')}, but there are no params of it to take{hint}",
                )
            if goal and goal not in {layer.name for layer in self.target.net.layers}:
                net = self.target.net
                sent = f"{argument('--map')} sends it to {goal!r}"
                what = f"{sent}, which {net.prototxt.path} does not have"
                yield Refusal(name, f"{what}{net.name_hint(goal)}")

    def match(self) -> None:
        """Send each layer of the source to one of the target, or nowhere."""
        names = {layer.name for layer in self.target.net.layers}
        taken: dict[str, str] = {}
        for old in self.source.layers.values():
            if not old.blobs or old.shapes is None:
                continue
            goal = next((name for name in self.rule.names(old.name) if name in names), None)
            if goal is None:
                self._drop(old, "the target has no such layer")
            elif self._touch(old.name, goal):
                continue
            elif goal in taken:
                also = f"goes to {goal!r}, and so does {taken[goal]!r}"
                self._refuse(goal, Refusal(old.name, also, _left_out(old.name)))
            elif goal not in self.refused:
                taken[goal] = old.name
                self._send(old, goal)
        for name in self.source.model.extra:
            self._drop_extra(name)

    def _touch(self, old: str, goal: str) -> bool:
        """Whether the params of one of the two are not those of its own net, which is refused."""
        refusals = [each for each in self.source.refusals if each.layer == old]
        refusals += [each for each in self.target.refusals if each.layer == goal]
        self.touched |= dict.fromkeys(refusals)
        if refusals:
            self.refused.add(goal)
        return bool(refusals)

    def _refuse(self, goal: str, refusal: Refusal) -> None:
        self.refused.add(goal)
        self.refusals.append(refusal)

    def _drop(self, old: TransplantLayer, reason: str, start: int = 0) -> None:
        shapes = old.shapes or ()
        for index in range(start, len(shapes)):
            self.dropped.append(
                Transfer("dropped", (old.name, index), None, shapes[index], None, reason)
            )

    def _drop_extra(self, name: str) -> None:
        shapes = tuple(blob.shape for blob in self.source.model.stored[name].blobs)
        self._drop(TransplantLayer(name, "", shapes), "its own net has no such layer")

    def _send(self, old: TransplantLayer, goal: str) -> None:
        new = self.target.layers.get(goal)
        if new is None:
            self._drop(old, f"{goal!r} has no params")
        elif new.shapes is None and self._same_settings(old, new):
            # Equal settings are all that is known; Caffe holds the params against its data anyway.
            known = replace(new, shapes=old.shapes, columns=old.columns)
            self.target.layers[goal] = known
            self.assumed.append(goal)
            self._send_params(old, known)
        elif new.shapes is None:
            reason = f"the shapes of its params are not known ({new.unknown})"
            remedy = "give a prototxt that declares its input, or the target's weights"
            self._refuse(goal, Refusal(goal, reason, remedy))
        elif _of_one_kind(old.type, new.type):
            self._send_params(old, new)
        else:
            reason = f"is of type {old.type}; {goal!r} is of type {new.type}"
            self._refuse(goal, Refusal(old.name, reason, _left_out(old.name)))

    def _same_settings(self, old: TransplantLayer, new: TransplantLayer) -> bool:
        """Whether both layers, by their own texts, have the same params on the same bottom."""
        return same_settings(self.source.net.named(old.name)[0], self.target.net.named(new.name)[0])

    def _send_params(self, old: TransplantLayer, new: TransplantLayer) -> None:
        assert old.shapes is not None
        assert new.shapes is not None
        both = min(len(old.shapes), len(new.shapes))
        for index in range(both):
            word, reason = outcome(old, new, index, cut=self.cut)
            if word == "sliced" and not new.blobs:
                word, reason = (
                    "",
                    f"param {index}: {argument('--slice')} needs the target's weights for the rest",
                )
            if word:
                pair = (old.name, index), (new.name, index)
                self.matched[pair[1]] = Transfer(word, *pair, old.shapes[index], new.shapes[index])
            else:
                bare = reason.removesuffix(f"; {slice_hint()}")
                hint = "" if bare == reason or self.hinted else slice_hint()
                self.hinted = self.hinted or bool(hint)
                self._refuse(new.name, Refusal(old.name, f"{bare} (in {new.name!r})", hint))
        self._drop(old, f"{new.name!r} has {counted(len(new.shapes), 'param')}", start=both)

    def share(self) -> None:
        """Give all layers that share a param what is copied to the first of them."""
        shared = self.target.net.sharing.owners
        for sharer, owner in shared.items():
            if sharer in self.matched and owner not in self.matched and self._has(owner):
                # The source may have it under a sharer's name alone.
                self.matched[owner] = replace(self.matched[sharer], target=owner)
        for sharer, owner in shared.items():
            if owner in self.matched and self._has(sharer):
                self.matched[sharer] = replace(self.matched[owner], target=sharer)

    def _has(self, param: ParamKey) -> bool:
        layer = self.target.layers.get(param[0])
        return layer is not None and param[1] < len(layer.shapes or ())

    def unmatched(self) -> Iterator[Transfer]:
        """The target's params that none is copied to."""
        for name, layer in self.target.layers.items():
            reason = "kept as it is" if layer.blobs else "absent: Caffe fills it"
            for index, shape in enumerate(layer.shapes or ()):
                if (name, index) not in self.matched:
                    yield Transfer("unmatched", None, (name, index), None, shape, reason)

    def absent(self, unmatched: list[Transfer]) -> tuple[str, ...]:
        """Layers without params in the result; those that would have only a part are refused."""
        names: dict[str, list[int]] = {}
        for transfer in unmatched:
            if transfer.target:
                names.setdefault(transfer.target[0], []).append(transfer.target[1])
        matched = {goal for goal, _ in self.matched}
        absent = []
        for name in (name for name in names if name not in self.refused):
            layer = self.target.layers[name]
            if not layer.blobs and name not in matched:
                absent.append(name)
            elif not layer.blobs:
                lacking = names[name]
                self.refusals.append(
                    Refusal(
                        name,
                        f"nothing is copied to param {', '.join(map(str, lacking))} of "
                        f"{len(layer.shapes or ())}, and Caffe loads all of a layer's or none",
                        "give the target's weights",
                    )
                )
        return tuple(absent)

    def why_nothing(self) -> str:
        """Why no param of the source goes anywhere."""
        if not self.dropped:
            return "there are no params to copy"
        first = self.dropped[0]
        assert first.source is not None
        layer = first.source[0]
        goals = ", or ".join(map(repr, self.rule.names(layer))) or "no layer"
        return f"layer {layer!r}, for example, would go to {goals}: {first.reason}"

    def notes(self) -> Iterator[str]:
        """What the user should know beside the transfers."""
        for side in (self.source, self.target):
            yield from (f"{side.net.prototxt.path}: {note}" for note in side.net.notes)
        for layer in self.source.layers.values():
            if layer.shapes and not layer.blobs and self.source.model.has_weights:
                yield f"{self.source.model.path} has no params for layer {layer.name!r}"
        for refusal in self.source.refusals:
            yield f"layer {refusal.layer!r}: {refusal.reason}: left out"
        for refusal in self.target.refusals:
            yield f"layer {refusal.layer!r}: {refusal.reason}: kept as it is"
        if self.assumed:
            why = self.target.layers[self.assumed[0]].unknown
            names = ", ".join(map(repr, self.assumed))
            yield f"the shapes of the params of {names} are assumed to be the source's ({why})"
        hidden = [layer for layer in self.target.layers.values() if layer.shapes is None]
        if hidden:
            names = ", ".join(repr(layer.name) for layer in hidden)
            yield f"whether these layers have params is not known ({hidden[0].unknown}): {names}"


def _of_one_kind(first: str, second: str) -> bool:
    return first == second or {first, second} == {types.INNER_PRODUCT.name, types.CONVOLUTION.name}


def _left_out(layer: str) -> str:
    return argument(f"--map '{layer}='") + " leaves it out"
