"""Params of one net put into another: which goes where, and what must not.

Layers are matched by name, after a rule of names; params within them by their number. A param of
the target that nothing comes for keeps what the target's own weights have, or is left out of the
result with its layer, for Caffe to fill. All of a layer's params are there, or none: Caffe loads
no half.

Layers of the target that share a param by name get one and the same: what comes for the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from netsurgery.errors import SurgeryError
from netsurgery.net import types
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.plan import Refusal, refuse
from netsurgery.surgery.transplant.params import (
    SLICE_HINT,
    ModelParams,
    TransplantLayer,
    asks_the_same,
    verdict,
)

__all__ = ["NameRule", "Param", "Transfer", "TransplantPlan", "plan_transplant"]

#: A param by its layer and its number.
Param = tuple[str, int]

#: What may come of a param, in the order it is counted.
VERDICTS = ("copied", "reshaped", "turned", "reordered", "sliced", "dropped", "left")


@dataclass(frozen=True)
class NameRule:
    """Which layer of the target a layer goes to.

    pairs: layer -> target layer, "" for none. prefix: put before every other name; only layers
    that have it are meant. suffix: put behind; a layer whose name with it is not in the target
    goes to that of its own name.
    """

    pairs: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    suffix: str = ""

    def names(self, layer: str) -> tuple[str, ...]:
        """The target layers that may be meant, the first that is there being the one."""
        if layer in self.pairs:
            return (self.pairs[layer],) if self.pairs[layer] else ()
        full = f"{self.prefix}{layer}{self.suffix}"
        return (full, layer) if self.suffix and not self.prefix else (full,)


@dataclass(frozen=True)
class Transfer:
    """What becomes of one param.

    verdict: "copied", "reshaped", "turned", "reordered" or "sliced" for one that goes from
    `source` to `target`; "dropped" for one that goes nowhere, "left" for a target that nothing
    comes for. old, new: the shapes there and here. reason: why it was dropped or left.
    """

    verdict: str
    source: Param | None
    target: Param | None
    old: Shape | None
    new: Shape | None
    reason: str = ""


@dataclass(frozen=True)
class TransplantPlan:
    """Every param of both nets, and what becomes of it; the target's first, in its order.

    absent: layers of the target that the result has no params for, so that Caffe fills them.
    """

    source: ModelParams
    target: ModelParams
    transfers: tuple[Transfer, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many params of each verdict; those reordered are named where there are any."""
        found = Counter(transfer.verdict for transfer in self.transfers)
        return {word: found[word] for word in VERDICTS if word in found or word != "reordered"}

    @cached_property
    def coming(self) -> dict[Param, Transfer]:
        """The target's params that something comes for."""
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
    have no params for is refused. Raises SurgeryError naming every refusal, and where nothing at
    all would be copied.
    """
    one, other = ModelParams.of(source), ModelParams.of(target)
    planner = _Planner(one, other, rule, cut)
    planner.match()
    planner.share()
    left = list(planner.left())
    absent = planner.absent(left)
    if strict:
        planner.refusals += [
            Refusal(name, "nothing comes for its params, and --strict wants all") for name in absent
        ]
    between = f"{source.net.prototxt.path} to {target.net.prototxt.path}"
    refuse(between, [*planner.touched, *planner.refusals])
    if not planner.coming:
        raise SurgeryError(f"{between}: nothing would be copied; {planner.why_nothing()}")
    order = [(name, i) for name, of in other.layers.items() for i in range(len(of.shapes or ()))]
    known = {t.target: t for t in [*planner.coming.values(), *left]}
    transfers = [known[param] for param in order if param in known]
    return TransplantPlan(
        one, other, (*transfers, *planner.dropped), absent, tuple(planner.notes())
    )


class _Planner:
    """The plan in the making: what comes, what is dropped, what is refused."""

    def __init__(self, source: ModelParams, target: ModelParams, rule: NameRule, cut: bool) -> None:
        self.source, self.target, self.rule, self.cut = source, target, rule, cut
        self.coming: dict[Param, Transfer] = {}
        self.dropped: list[Transfer] = []
        #: Layers of the target whose shapes are not known, and taken to be the source's.
        self.assumed: list[str] = []
        #: Whether --slice was spoken of: once is enough.
        self.hinted = False
        self.refusals = [*self._unknown_pairs()]
        #: Layers of the target of which enough has been said.
        self.refused: set[str] = set()
        #: Refusals of layers whose params are not those of their own net, once they are touched.
        self.touched: dict[Refusal, None] = {}

    def _unknown_pairs(self) -> Iterator[Refusal]:
        for name, goal in self.rule.pairs.items():
            if not (name in self.source.layers and self.source.layers[name].blobs):
                hint = self.source.net.name_hint(name)
                yield Refusal(name, f"named in --map, but there are no params of it to take{hint}")
            if goal and goal not in {layer.name for layer in self.target.net.layers}:
                net = self.target.net
                what = f"--map sends it to {goal!r}, which {net.prototxt.path} has not"
                yield Refusal(name, f"{what}{net.name_hint(goal)}")

    def match(self) -> None:
        """Send each layer of the source to one of the target, or nowhere."""
        here = {layer.name for layer in self.target.net.layers}
        taken: dict[str, str] = {}
        for old in self.source.layers.values():
            if not old.blobs or old.shapes is None:
                continue
            goal = next((name for name in self.rule.names(old.name) if name in here), None)
            if goal is None:
                self._drop(old, "the target has no such layer")
            elif self._touch(old.name, goal):
                continue
            elif goal in taken:
                also = f"goes to {goal!r}, and so does {taken[goal]!r}"
                self._refuse(goal, Refusal(old.name, also, f"--map '{old.name}=' leaves it out"))
            elif goal not in self.refused:
                taken[goal] = old.name
                self._send(old, goal)
        for name in self.source.model.extra:
            self._drop_extra(name)

    def _touch(self, old: str, goal: str) -> bool:
        """Whether the params of one of the two are not those of its own net, which is refused."""
        found = [one for one in self.source.refusals if one.layer == old]
        found += [one for one in self.target.refusals if one.layer == goal]
        self.touched |= dict.fromkeys(found)
        if found:
            self.refused.add(goal)
        return bool(found)

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
        elif new.shapes is None and self._asks_the_same(old, new):
            known = replace(new, shapes=old.shapes, columns=old.columns)
            self.target.layers[goal] = known
            self.assumed.append(goal)
            self._send_params(old, known)
        elif new.shapes is None:
            reason = f"the shapes of its params cannot be told ({new.unknown})"
            remedy = "give a prototxt that declares its input, or the target's weights"
            self._refuse(goal, Refusal(goal, reason, remedy))
        elif _of_one_kind(old.type, new.type):
            self._send_params(old, new)
        else:
            reason = f"is of type {old.type}; {goal!r} is of type {new.type}"
            self._refuse(goal, Refusal(old.name, reason, f"--map '{old.name}=' leaves it out"))

    def _asks_the_same(self, old: TransplantLayer, new: TransplantLayer) -> bool:
        """Whether both layers, by their own texts, have the same params on the same bottom."""
        one, *_ = self.source.net.named(old.name)
        other, *_ = self.target.net.named(new.name)
        return asks_the_same(one, other)

    def _send_params(self, old: TransplantLayer, new: TransplantLayer) -> None:
        assert old.shapes is not None
        assert new.shapes is not None
        both = min(len(old.shapes), len(new.shapes))
        for index in range(both):
            word, reason = verdict(old, new, index, cut=self.cut)
            if word == "sliced" and not new.blobs:
                word, reason = "", f"param {index}: --slice needs the target's weights for the rest"
            if word:
                pair = (old.name, index), (new.name, index)
                self.coming[pair[1]] = Transfer(word, *pair, old.shapes[index], new.shapes[index])
            else:
                bare = reason.removesuffix(f"; {SLICE_HINT}")
                hint = "" if bare == reason or self.hinted else SLICE_HINT
                self.hinted = self.hinted or bool(hint)
                self._refuse(new.name, Refusal(old.name, f"{bare} (in {new.name!r})", hint))
        self._drop(old, f"{new.name!r} has {len(new.shapes)} params", start=both)

    def share(self) -> None:
        """What comes for one of several layers that share a param comes for all of them."""
        shared = self.target.net.sharing.owners
        for sharer, owner in shared.items():
            if sharer in self.coming and owner not in self.coming and self._has(owner):
                self.coming[owner] = replace(self.coming[sharer], target=owner)
        for sharer, owner in shared.items():
            if owner in self.coming and self._has(sharer):
                self.coming[sharer] = replace(self.coming[owner], target=sharer)

    def _has(self, param: Param) -> bool:
        layer = self.target.layers.get(param[0])
        return layer is not None and param[1] < len(layer.shapes or ())

    def left(self) -> Iterator[Transfer]:
        """The target's params that nothing comes for."""
        for name, layer in self.target.layers.items():
            reason = "kept as it is" if layer.blobs else "absent: Caffe fills it"
            for index, shape in enumerate(layer.shapes or ()):
                if (name, index) not in self.coming:
                    yield Transfer("left", None, (name, index), None, shape, reason)

    def absent(self, left: list[Transfer]) -> tuple[str, ...]:
        """Layers without params in the result; those of which a part comes are refused."""
        names: dict[str, list[int]] = {}
        for transfer in left:
            if transfer.target:
                names.setdefault(transfer.target[0], []).append(transfer.target[1])
        coming = {goal for goal, _ in self.coming}
        found = []
        for name in (name for name in names if name not in self.refused):
            layer = self.target.layers[name]
            if not layer.blobs and name not in coming:
                found.append(name)
            elif not layer.blobs:
                lacking = names[name]
                self.refusals.append(
                    Refusal(
                        name,
                        f"nothing comes for param {', '.join(map(str, lacking))} of "
                        f"{len(layer.shapes or ())}, and Caffe loads all of a layer's or none",
                        "give the target's weights",
                    )
                )
        return tuple(found)

    def why_nothing(self) -> str:
        """Why no param of the source goes anywhere."""
        if not self.dropped:
            return "there are no params to copy"
        first = self.dropped[0]
        assert first.source is not None
        layer = first.source[0]
        meant = ", or ".join(map(repr, self.rule.names(layer))) or "no layer"
        return f"layer {layer!r}, for one, would go to {meant}: {first.reason}"

    def notes(self) -> Iterator[str]:
        """What is worth knowing and no param of the target's."""
        for side in (self.source, self.target):
            yield from (f"{side.net.prototxt.path}: {note}" for note in side.net.notes)
        for layer in self.source.layers.values():
            if layer.shapes and not layer.blobs and self.source.model.has_weights:
                yield f"{self.source.model.path} has no params for layer {layer.name!r}"
        for one in self.source.refusals:
            yield f"layer {one.layer!r}: {one.reason}: left out"
        for one in self.target.refusals:
            yield f"layer {one.layer!r}: {one.reason}: kept as it is"
        if self.assumed:
            why = self.target.layers[self.assumed[0]].unknown
            names = ", ".join(map(repr, self.assumed))
            yield f"the shapes of the params of {names} are taken to be the source's ({why})"
        hidden = [layer for layer in self.target.layers.values() if layer.shapes is None]
        if hidden:
            names = ", ".join(repr(layer.name) for layer in hidden)
            yield f"whether these layers have params cannot be told ({hidden[0].unknown}): {names}"


def _of_one_kind(one: str, other: str) -> bool:
    return one == other or {one, other} == {types.INNER_PRODUCT.name, types.CONVOLUTION.name}
