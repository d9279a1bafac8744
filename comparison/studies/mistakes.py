"""Where do mistakes of a network in names come from: from facts that it has wrong, or from rules?
And which neurons of the last layer mend what those before it leave wrong?

Names are coordinates of its stream, so facts can be put right there, and a neuron's reads are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.scoring.bench import Bars
from comparison.scoring.measures import score
from extracted_rules.benches.intervals import Ratio, interval, ratio_by_game
from extracted_rules.benches.positions import legal_tokens
from extracted_rules.discovery.names import all_names, kind_of, truth
from extracted_rules.discovery.regression import means_by
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import Replay, stream_seed
from handbuilt.analysis.streams import finish, moves_of, random_replays
from handbuilt.network.transformer import HookPoint, OthelloGPT
from handbuilt.transcripts.program import Told, names_of
from handbuilt.transcripts.transcript import before_mlp

#: Random games that nothing else uses.
PURPOSE = "mistakes"
#: Facts that a model can have wrong; it is told moves and plies.
LEGAL = "legal next"
DOUBTED = ("mine", "theirs", "flipped", LEGAL)
#: Which are put right: what the table says, kinds.
CORRECTED = {"discs and flips": DOUBTED[:3], LEGAL: DOUBTED[3:], "all of these": DOUBTED}


class Facts:
    """What a layer's neurons are told of some kinds of facts. Raises CheckpointError for a model
    that does not say what its names mean."""

    def __init__(self, model: OthelloGPT, kinds: Sequence[str], layer: int) -> None:
        told, names, place = Told.of(model), names_of(model), before_mlp(layer)
        every = all_names(model.geometry)
        self.names = len(names)
        self.some = [n for n, name in enumerate(names) if kind_of(name) in kinds]
        self.columns = [every.index(names[n]) for n in self.some]
        norm = float(model.get_parameter(f"blocks.{layer}.ln2.w")[0].detach())
        self.false, self.more = (
            torch.tensor(part[place], device=model.device)[self.some] * told.unit / norm
            for part in (told.false, told.more)
        )

    def told(self, felt: Tensor) -> Tensor:
        """[N, names], of what LayerNorm gives, [N, d_model]."""
        return felt[:, 1 : 1 + self.names] - felt[:, :1]

    def put_right(self, felt: Tensor, facts: Tensor) -> Tensor:
        """The same [N, d_model], told what these facts mostly look like; facts: [N, all names]."""
        right = self.false + self.more * facts[:, self.columns].float()
        found = felt.clone()
        found[:, [1 + n for n in self.some]] = felt[:, :1] + right
        return found

    def wrong(self, felt: Tensor, facts: Tensor) -> Tensor:
        """bool [N, names]: where what is told is nearer to what is told when it is otherwise."""
        said = (self.told(felt)[:, self.some] - self.false) / self.more > 0.5
        found = torch.zeros(len(felt), self.names, dtype=torch.bool, device=felt.device)
        found[:, self.some] = said != facts[:, self.columns].bool()
        return found


@torch.inference_mode()
def corrected(model: OthelloGPT, games: int, seed: int, bar: Bars) -> Table:
    """One row for some of the last layers and some facts: of mistakes, how many go when neurons
    there are told right; of right choices, how many go wrong. Beside it, the same with the facts of
    another game at the same ply."""
    last = model.shape.n_layers - 1
    cases = [
        (first, name)
        for first in dict.fromkeys((last, max(last - 1, 0), min(last, 1)))
        for name in CORRECTED
    ]
    sums = {case: [Ratio() for _ in range(4)] for case in cases}
    facts = {
        (layer, name): Facts(model, kinds, layer)
        for layer in range(last + 1)
        for name, kinds in CORRECTED.items()
    }
    step = bar("facts put right", games)
    for played in random_replays(model, games, seed, PURPOSE):
        scores = score(model(moves_of(played)), played, 0.5)
        wrong, right = scores.wrong, scores.valid & ~scores.wrong
        true, where = truth(played)
        everywhere = true.new_zeros(*where.shape, true.shape[1])
        everywhere[where] = true
        for first, name in cases:
            layers = {layer: facts[layer, name] for layer in range(first, last + 1)}
            for number, of in enumerate((true, everywhere.roll(1, 0)[where])):
                now = score(_told(model, layers, played, of, where), played, 0.5).wrong
                sums[first, name][2 * number].add((wrong & ~now).sum(-1), wrong.sum(-1))
                sums[first, name][2 * number + 1].add((right & now).sum(-1), right.sum(-1))
        step(len(played.tokens))
    rows = [
        [f"{first} to {last}", name, *(interval(ratio.rate(), 100, 1) for ratio in of)]
        for (first, name), of in sums.items()
    ]
    gone, lost = "mistakes gone %", "right choices gone wrong %"
    headings = (gone, lost, f"another game's: {gone}", f"another game's: {lost}")
    title = f"Neurons are told the facts as they are ({games} random games, seed {seed})"
    return Table(title, ("in MLPs", "facts"), headings, rows)


def _told(
    model: OthelloGPT, layers: dict[int, Facts], played: Replay, facts: Tensor, where: Tensor
) -> Tensor:
    def put(felt: Tensor, hook: HookPoint) -> Tensor:
        found = felt.clone()
        found[where] = layers[int(hook.name.split(".")[1])].put_right(felt[where], facts)
        return found

    at = [f"blocks.{layer}.ln2.hook_normalized" for layer in layers]
    return model.run_with_hooks(moves_of(played), [(at, put)])


# ------------------------------------------------------------------ the last layer's neurons


@dataclass(frozen=True)
class Last:
    """What the last layer's neurons do, at N positions after which a side can move.

    reads: float32 [d_mlp, names]; writes: [d_mlp, d_model]. middle: [N, d_model], the stream behind
    the MLP, its neurons at their means of the same ply. off: [N, d_mlp], by how much they are off
    these. told: [N, names], what names are told to be, less the same means; wrong: bool [N, names],
    facts that are told wrongly. legal: bool [N, moves]. game: int64 [N].
    """

    model: OthelloGPT
    reads: Tensor
    writes: Tensor
    middle: Tensor
    off: Tensor
    told: Tensor
    wrong: Tensor
    legal: Tensor
    game: Tensor

    @classmethod
    def of(cls, model: OthelloGPT, games: int, seed: int, bar: Bars) -> "Last":
        """Raises CheckpointError."""
        layer, parts, done = model.shape.n_layers - 1, [], 0
        facts, block = Facts(model, DOUBTED, layer), f"blocks.{layer}"
        names = [f"{block}.{x}" for x in ("hook_resid_mid", "mlp.hook_post", "ln2.hook_normalized")]
        step = bar("the last layer", games)
        for played in random_replays(model, games, seed, PURPOSE):
            _, found = model.run_with_cache(moves_of(played), names)
            true, where = truth(played)
            middle, post, felt = (found[name][where] for name in names)
            game, ply = where.nonzero(as_tuple=True)
            legal = legal_tokens(played, where.shape[1])[where]
            said = facts.told(felt), facts.wrong(felt, true)
            parts.append((middle, post, *said, legal, game + done, ply))
            step(len(played.tokens))
            done += len(played.tokens)
        middle, post, told, wrong, legal, game, ply = map(torch.cat, zip(*parts, strict=True))
        reads, writes, bias = (
            model.get_parameter(f"{block}.mlp.{name}").detach()
            for name in ("W_in", "W_out", "b_out")
        )
        means = _by_ply(post, ply)
        return cls(
            model,
            reads[1 : 1 + facts.names].T,
            writes,
            middle + means @ writes + bias,
            post - means,
            told - _by_ply(told, ply),
            wrong,
            legal,
            game,
        )

    def logits(self, stream: Tensor) -> Tensor:
        """float32 [n, moves]"""
        return finish(self.model, stream, self.model.shape.n_layers)[..., 1:]

    def stream(self, some: Tensor) -> Tensor:
        """[n, d_model], behind the layer, at some positions."""
        return self.middle[some] + self.off[some] @ self.writes

    def says(self, some: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """float32 [n, d_mlp]: what neurons add to one move's logit less another's, the final
        LayerNorm's scale as it is."""
        final, unembed = self.model.ln_final, self.model.unembed.W_U[:, 1:].T
        scale = (self.stream(some).var(-1, unbiased=False) + final.eps).sqrt()
        towards = (unembed[one] - unembed[other]) * final.w
        towards = (towards - towards.mean(-1, keepdim=True)) / scale[:, None]
        return self.off[some] * (towards @ self.writes.T)

    def strongest_read(self, some: Tensor, neurons: Tensor) -> Tensor:
        """int64 [n]: the name that moves each neuron most in the way in which it is moved."""
        way = self.off[some].gather(1, neurons[:, None]).sign()
        return (self.told[some] * self.reads[neurons] * way).argmax(1)

    def share(self, hits: Tensor, some: Tensor) -> str:
        """In per cent, with the game as the unit; nothing where there are no positions."""
        game = self.game[some].cpu()
        return interval(ratio_by_game(hits.cpu(), torch.ones(len(game)), game).mean(), 100, 1)


def _by_ply(values: Tensor, ply: Tensor) -> Tensor:
    """[N, n]: the mean over positions of the same ply."""
    return means_by(values, ply, int(ply.max()) + 1)[ply]


@torch.inference_mode()
def neurons(last: Last, seed: int) -> Table:
    """Of each mistake: the neuron that says most for the illegal move rather than for the likeliest
    legal one. Of each mistake that the layer mends: the neurons that say most against it. Beside
    it, the same of another such position's neurons, or squares."""
    every = torch.arange(len(last.game), device=last.game.device)
    logits, before = last.logits(last.stream(every)), last.logits(last.middle)
    top, was = logits.argmax(1), before.argmax(1)
    best = logits.masked_fill(~last.legal, -torch.inf).argmax(1)
    wrong, left = (~last.legal.gather(1, x[:, None])[:, 0] for x in (top, was))
    drawn = torch.Generator().manual_seed(stream_seed(PURPOSE, seed))
    mistakes, mended = wrong.nonzero()[:, 0], (left & ~wrong).nonzero()[:, 0]
    rows = [
        *_mistakes(last, logits, mistakes, top[mistakes], best[mistakes], drawn),
        ["left wrong by the layers before", last.share(left, every), ""],
        ["of these, mended", last.share(~wrong[left], left.nonzero()[:, 0]), ""],
        *_mended(last, before, mended, was[mended], top[mended], drawn),
    ]
    title = f"Neurons of the last layer ({int(last.game.max()) + 1} random games, seed {seed})"
    return Table(title, ("positions",), ("%", "control, %"), rows)


def _mistakes(
    last: Last, logits: Tensor, some: Tensor, top: Tensor, best: Tensor, drawn: torch.Generator
) -> list[list[str]]:
    blamed = last.says(some, top, best).argmax(1)
    others = blamed[torch.randperm(len(blamed), generator=drawn)]
    gone, elsewhere = [], []
    for neurons in (blamed, others):
        off = last.off[some].gather(1, neurons[:, None])
        now = last.logits(last.stream(some) - off * last.writes[neurons]).argmax(1)
        gone.append(last.share(last.legal[some].gather(1, now[:, None])[:, 0], some))
    first, second = logits.topk(2).indices.T
    is_right = last.legal.gather(1, first[:, None])[:, 0]
    right = is_right.nonzero()[:, 0]
    praised = last.says(right, first[right], second[right]).argmax(1)
    told = [
        last.share(last.wrong[at, last.strongest_read(at, neuron)], at)
        for at, neuron in ((some, blamed), (right, praised))
    ]
    for which in (blamed, torch.randint(len(last.writes), (len(blamed),), generator=drawn)):
        changed = torch.zeros_like(last.game, dtype=torch.float64)
        for neuron in which.tolist():
            changed += _legal_without(last, neuron) != is_right
        elsewhere.append(changed / len(which))
    return [
        ["of mistakes: gone without the neuron that says most for them", *gone],
        ["of mistakes: that neuron's strongest read is told wrongly (control: right ones)", *told],
        ["of other mistakes: gone without it", *(last.share(x[some], some) for x in elsewhere)],
        ["of right choices: wrong without it", *(last.share(x[right], right) for x in elsewhere)],
    ]


def _legal_without(last: Last, neuron: int) -> Tensor:
    """bool [N]: whether the likeliest move is legal with the neuron at its mean."""
    every = torch.arange(len(last.game), device=last.game.device)
    stream = last.stream(every) - last.off[:, [neuron]] * last.writes[neuron]
    return last.legal.gather(1, last.logits(stream).argmax(1, keepdim=True))[:, 0]


def _mended(
    last: Last, before: Tensor, some: Tensor, was: Tensor, top: Tensor, drawn: torch.Generator
) -> list[list[str]]:
    """By the neurons that say most against the illegal move."""
    says, other = last.says(some, top, was), torch.randperm(len(some), generator=drawn)
    behind = (before[some].gather(1, was[:, None]) - before[some].gather(1, top[:, None]))[:, 0]
    rows = []
    for number in (1, 4):
        enough = (
            says.gather(1, ranked.topk(number).indices).sum(1) > behind
            for ranked in (says, says[other])
        )
        label = f"of mended: the {number} that say most against it alone outweigh it"
        rows.append([label, *(last.share(x, some) for x in enough)])
    read = last.strongest_read(some, says.argmax(1)).tolist()
    names, board = names_of(last.model), last.model.geometry
    for which, moves in (("chosen", top), ("illegal", was)):
        square = [board.labels[board.square_of_token[token + 1]] for token in moves.tolist()]
        hits = (
            [names[n] == f"{LEGAL} {square[at]}" for n, at in zip(read, order, strict=True)]
            for order in (range(len(square)), other.tolist())
        )
        label = f"of mended: the first one's strongest read is {LEGAL!r} of the {which} move"
        rows.append([label, *(last.share(torch.tensor(x), some) for x in hits)])
    return rows
