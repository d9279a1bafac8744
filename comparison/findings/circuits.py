"""The previous-colour circuit: attention carries on which colour discs had."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from comparison.findings.attention import one_sided
from comparison.findings.boards import UNREAD
from comparison.findings.definition import MAAR, Found, Grid, Measure, Value, finding
from comparison.findings.studied import Studied
from extracted_rules.benches.intervals import ratio_by_game
from extracted_rules.othello.game import stream_seed
from handbuilt.analysis.samples import Sample

#: What is told so much more faintly than the loudest is rounding, and tells nothing.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Directions:
    """Where a layer's heads find the board and where they write it.

    read: float32 [squares, k, d_model], for every square an orthonormal basis of the directions
    along which the stream before the layer holds it (rows may be zero). written: float32 [squares,
    d_model], along which the square's "mine less theirs" is read behind attention. own_frame:
    whether mine is what belongs to the side that made the move, as hand-built models have it, or to
    the next one, as probes have it.
    """

    read: Tensor
    written: Tensor
    own_frame: bool

    @classmethod
    def of(cls, studied: Studied, layer: int) -> "Directions":
        """By the names of a hand-built model: messages, clipped and placed discs, read into
        beliefs. By probes: mine, theirs and flipped of the layer before, read by this layer's."""
        reader = studied.reader
        assert reader is not None
        return cls(reader.spans(layer - 1), reader.towards(layer), reader.own_frame)

    def told(self, studied: Studied, layer: int, squares: Tensor) -> Tensor:
        """float32 [heads, squares, k]: what each direction read makes of "mine less theirs" through
        each head's output and value weights. squares: int64 [squares], whose "mine less theirs"."""
        w_v, w_o, gain = (
            studied.model.get_parameter(f"blocks.{layer}.{name}").detach().cpu().double()
            for name in ("attn.W_V", "attn.W_O", "ln1.w")
        )
        back = w_v @ (w_o @ self.written[squares].double().T)  # [heads, d_model, squares]
        back = back * gain[:, None]
        # LayerNorm takes the mean off; its scale is positive and changes no sign.
        back = back - back.mean(1, keepdim=True)
        return torch.einsum("skd,hds->hsk", self.read.double(), back).float()


class Layer:
    """What a layer's heads of some roles make of the board that the stream before it holds."""

    def __init__(self, studied: Studied, layer: int, roles: dict[int, str]) -> None:
        self.where = Directions.of(studied, layer)
        self.heads = list(roles)
        self.sign = torch.tensor([1 if role == "mine" else -1 for role in roles.values()])
        itself = torch.arange(len(self.where.read))
        self.told = partial(self.where.told, studied, layer)
        self.least = ROUNDING * float(self.told(itself)[self.heads].abs().max())
        self.fit, self.seen = (self._held(s, layer) for s in (studied.fit, studied.seen))
        read, discs = self.fit
        there = (discs != 0).unsqueeze(-1)
        self.usual = (read * there).sum(0) / there.sum(0).clamp(min=1)

    def _held(self, sample: Sample, layer: int) -> tuple[Tensor, Tensor]:
        """(float32 [rows, squares, k]: the stream along the directions read; int8 [rows, squares]:
        the true board in their frame, without discs where nothing is told of them)."""
        read = torch.einsum("nd,skd->nsk", sample.before(layer), self.where.read)
        frame = sample.mover[:, None] if self.where.own_frame else 1
        # Nothing is told by the first position, on which heads rest.
        return read, sample.boards.now * frame * (sample.boards.ply > 0)[:, None]

    def agreement(self, held: tuple[Tensor, Tensor], squares: Tensor) -> tuple[Tensor, Tensor]:
        """(float32 [rows, heads]: discs whose colour the circuit tells; [rows]: discs). held:
        ``fit`` or ``seen``; squares: as :meth:`Directions.told` takes them."""
        read, truth = held
        told = self.told(squares)[self.heads]
        told = told * (told.abs() > self.least)
        says = torch.einsum("nsk,hsk->nhs", read - self.usual, told)
        # A head that says nothing of a square is right half of the time.
        right = (1 + says.sign() * self.sign[:, None] * truth.sign()[:, None]) / 2
        return (right * (truth != 0)[:, None]).sum(-1), (truth != 0).sum(-1)


@finding(
    "previous-colour",
    "Attention carries on the colour that discs had: projected on a square's directions and "
    "taken through OV, a position's stream still tells it.",
    MAAR,
    Measure("agrees, all heads", "0.818", "another square", digits=3),
    Measure("agrees, best head", "0.97", "another square", digits=3),
)
def previous_colour(studied: Studied) -> Found:
    """How often a head's output and value weights make of a position's board what its role says.

    Of the residual stream before a layer, at a position, only its mean and its component within the
    span of a square's directions are kept (mine, theirs and flipped of the probes after the layer
    before; of a hand-built model message, clipped and placed), taken through a head's W_V W_O and
    read along the layer's own "mine less theirs" of that square. The circuit agrees if what comes
    out, above its mean over discs on that square in other games, has the colour of the disc there:
    as it is for a mine-head, the other one for a theirs-head, which looks from the other side. Over
    all heads above layer 0 that are one or the other, all positions but the first, and all discs.
    The best head is chosen on other games. The control reads another square instead, by chance.
    """
    if studied.reader is None:
        return Found(note=UNREAD)
    by_layer: dict[int, dict[int, str]] = {}
    for (layer, head), role in one_sided(studied.fit).items():
        if layer > 0:
            by_layer.setdefault(layer, {})[head] = role
    if not by_layer:
        return Found(note="no head above layer 0 looks at one side's moves")
    generator = torch.Generator().manual_seed(stream_seed("findings: squares", studied.seed))
    itself = torch.arange(studied.model.geometry.n_squares)
    # A shift by chance among shuffled squares: no square is read for itself.
    shuffled = torch.randperm(len(itself), generator=generator)
    other = torch.empty_like(itself).scatter_(0, shuffled, shuffled.roll(1))
    seen = studied.seen
    drawn = torch.full((studied.layers, studied.model.shape.n_heads), torch.nan)
    right, chance, discs = [], [], torch.zeros(0)
    best, of_best = -1.0, (torch.zeros(0), torch.zeros(0))
    for layer, roles in by_layer.items():
        of_layer = Layer(studied, layer, roles)
        told, discs = of_layer.agreement(of_layer.seen, itself)
        right.append(told)
        elsewhere = of_layer.agreement(of_layer.seen, other)[0]
        chance.append(elsewhere)
        drawn[layer, of_layer.heads] = told.sum(0) / discs.sum()
        before, of = of_layer.agreement(of_layer.fit, itself)
        highest = (before.sum(0) / of.sum()).max(0)
        if float(highest.values) > best:
            head = int(highest.indices)
            best, of_best = float(highest.values), (told[:, head], elsewhere[:, head])
    heads = sum(part.shape[1] for part in right)

    def share(told: Tensor, by_chance: Tensor) -> Value:
        both = (ratio_by_game(x, discs, seen.game).share() for x in (told, by_chance))
        return Value(*both)

    note = f"{heads} heads"
    if studied.layout:
        note += "; flips-heads carry nothing but flips, board-heads whole boards"
    return Found(
        {
            "agrees, all heads": share(*(torch.cat(all_, 1).mean(1) for all_ in (right, chance))),
            "agrees, best head": share(*of_best),
        },
        note,
        Grid(tuple(map(tuple, drawn.tolist())), "head", "layer", "agreement", 0.0, 1.0, True),
    )
