"""Findings about what is written to the logits: who promotes, who suppresses, and what suffices."""

from collections.abc import Sequence

import torch
from torch import Tensor

from comparison.findings.definition import JYLIN, MAAR, Found, Measure, Value, finding
from comparison.findings.patterns import detectors_of, middle_layers
from comparison.findings.studied import Studied
from comparison.scoring.measures import ThresholdChooser, score
from extracted_rules.benches.intervals import Ratio, ratio_by_game
from extracted_rules.benches.ranks import outranks
from extracted_rules.discovery.detectors import f1_of
from extracted_rules.discovery.patterns import kinds_of_squares, legal_patterns, pattern_tables
from extracted_rules.othello.game import stream_seed
from handbuilt.analysis.samples import Sample, mlp_of
from handbuilt.analysis.streams import READ_GAMES, finish
from handbuilt.network.transformer import Hook, HookPoint

#: A neuron counts as there for a pattern if it agrees with its rule this well, on other games.
MIN_F1 = 0.8
#: Positions of a game in which a pattern's neurons are taken out, one at a time.
TAKEN = 3


# --------------------------------------------------------------------------- suppress, promote


def _there_for(studied: Studied, layer: int) -> tuple[Tensor, Tensor]:
    """(bool [patterns, neurons]: which neurons of a layer are there for which pattern; float32
    [neurons]: what they do where it does not hold), by what was found on the games that are not
    reported on."""
    patterns, size = len(studied.model.geometry.patterns), studied.model.shape.d_mlp
    members, off = torch.zeros(patterns, size, dtype=torch.bool), torch.zeros(size)
    for detector in detectors_of(studied):
        if detector.layer == layer and float(f1_of(*detector.fit.summed())) >= MIN_F1:
            members[list(detector.columns), detector.neuron] = True
            off[detector.neuron] = detector.off
    return members, off


def _cases(holds: Tensor, game: Tensor, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """TAKEN times (rows, patterns), int64: a row of a game and one of the patterns that hold there,
    by chance; in each, no game comes twice. holds: bool [rows, patterns]; game: int64 [rows]."""
    rows, patterns = holds.nonzero(as_tuple=True)
    order = torch.randperm(len(rows), generator=generator)
    order = order[game[rows[order]].argsort(stable=True)]
    of = game[rows[order]]
    place = torch.arange(len(of)) - torch.searchsorted(of, of)
    return [(rows[order[place == n]], patterns[order[place == n]]) for n in range(TAKEN)]


def _without(
    studied: Studied,
    layers: Sequence[int],
    rows: Tensor,
    gone: Sequence[Tensor],
    off: Sequence[Tensor],
) -> Tensor:
    """float64 [cases, moves], by token - 1: probabilities at some rows, each of another game, with
    neurons off at that row. gone: by layer, bool [cases, neurons]. off: by layer, float32
    [neurons], what a neuron does then."""
    seen, context = studied.seen, studied.model.geometry.context
    game, ply = seen.game[rows], seen.boards.ply[rows]
    answers = []
    for part in torch.split(torch.arange(len(rows)), READ_GAMES):
        at = torch.arange(len(part)), ply[part]

        def silence(lost: Tensor, to: Tensor, at: tuple[Tensor, Tensor] = at) -> Hook:
            def hook(value: Tensor, hook: HookPoint) -> Tensor:
                value[at] = torch.where(lost.to(value.device), to.to(value), value[at])
                return value

            return hook

        hooks = [
            (f"blocks.{layer}.mlp.hook_post", silence(lost[part], to))
            for layer, lost, to in zip(layers, gone, off, strict=True)
        ]
        tokens = seen.tokens[game[part], :context].long()
        answers.append(studied.model.run_with_hooks(tokens, hooks)[at].cpu())
    return torch.cat(answers)[:, 1:].double().softmax(-1)


@finding(
    "suppress-promote",
    "Pattern neurons of the last layer suppress their square, earlier ones promote it: how its "
    "probability changes without them.",
    JYLIN,
    Measure("without last layer", "+15", "another pattern's neurons", True, 1),
    Measure("without earlier", "-1.5", "another pattern's neurons", True, 1),
)
def suppress_and_promote(studied: Studied) -> Found:
    """By how much the probability of a pattern's square changes without the pattern's neurons.

    A pattern's neurons are those whose rule names it (as in pattern-neurons; either sense counts)
    at F1 >= .8, on other games. A position and a pattern that holds there are drawn by chance, of a
    game three at most; there, and only there, the neurons are put to their mean where their
    rule does not hold, and the probability of the pattern's square is compared with what it was:
    the sum of differences as a share of the sum before. For neurons of the middle layers together,
    and for those of the last layer. The control takes out the neurons of another pattern, which
    does not hold there and is for another square.
    """
    seen = studied.seen
    generator = torch.Generator().manual_seed(stream_seed("findings: cases", studied.seed))
    holds, board = legal_patterns(seen.boards), studied.model.geometry
    starts = pattern_tables(board).start
    usual = seen.logits[:, 1:].double().softmax(-1)
    values, notes = {}, []
    groups = {"earlier": list(middle_layers(studied.layers)), "last layer": [studied.layers - 1]}
    for name, layers in groups.items():
        there_for = [_there_for(studied, layer) for layer in layers]
        members, off = [m for m, _ in there_for], [o for _, o in there_for]
        served = sum(members, torch.zeros(len(starts), 1)).bool().any(-1)
        if not (holds & served).any():
            notes.append(f"{name}: no neuron stands for a pattern at F1 >= {MIN_F1}")
            continue
        changes: tuple[list[Tensor], list[Tensor]] = ([], [])
        before, game = [], []
        for rows, patterns in _cases(holds & served, seen.game, generator):
            # Another pattern, that is served, does not hold here and is for another square.
            fits = served & ~holds[rows] & (starts[patterns][:, None] != starts)
            chance = torch.rand(fits.shape, generator=generator)
            others = (chance * fits).argmax(-1)
            token = board.token_of_square[starts[patterns]] - 1
            before.append(usual[rows, token])
            game.append(seen.game[rows])
            for change, taken in zip(changes, (patterns, others), strict=True):
                gone = [of_layer[taken] for of_layer in members]
                p = _without(studied, layers, rows, gone, off)
                change.append(p[torch.arange(len(rows)), token] - before[-1])
        whole, of = torch.cat(before), torch.cat(game)
        shares = (ratio_by_game(torch.cat(c), whole, of).mean() for c in changes)
        each = torch.stack(members).sum((0, 2))[served].double().mean()
        values[f"without {name}"] = Value(*shares)
        notes.append(f"{name}: {int(served.sum())} patterns, {float(each):.1f} neurons each")
    return Found(values, "; ".join(notes))


# --------------------------------------------------------------------------- accessible squares


@finding(
    "accessible",
    "Accessible but illegal squares rank above other illegal ones.",
    JYLIN,
    *(
        Measure(name, published, "boards of other games", True, 1)
        for name, published in (
            ("accessible above apart", "above"),
            ("accessible above occupied", "above"),
            ("legal above accessible", ""),
        )
    ),
)
def accessible_squares(studied: Studied) -> Found:
    """How often an accessible square that is illegal is likelier than another illegal one.

    Accessible is a blank square that touches a disc. Of all pairs of squares at a position the
    share in which the first is likelier (the area under the curve, ties half): accessible against
    blank squares apart from all discs, accessible against occupied ones, and for scale legal
    against accessible. The control has the boards of other games at the same ply: what it shows,
    the ply alone does.
    """
    seen, logits = studied.seen, studied.seen.logits[:, 1:]
    compared = (("accessible", "apart"), ("accessible", "occupied"), ("legal", "accessible"))
    ratios: dict[str, list[Ratio]] = {}
    for boards in (seen.boards, seen.others):
        kinds = kinds_of_squares(boards)
        for a, b in compared:
            won, pairs = outranks(logits, kinds[a], kinds[b])
            ratio = ratio_by_game(won, pairs, seen.game)
            ratios.setdefault(f"{a} above {b}", []).append(ratio)
    values = {name: Value(true.share(), other.share()) for name, (true, other) in ratios.items()}
    note = "occupied squares have a logit of their own, below all" if studied.layout else ""
    return Found(values, note)


# --------------------------------------------------------------------------- MLP7


def _answers(studied: Studied, sample: Sample) -> dict[str, Tensor]:
    """Logits [games, context, tokens] of the whole model, of the last MLP alone, with the stream
    that it reads, and both of the latter with the attention of another game."""
    model, last = studied.model, studied.layers - 1
    names = ["blocks.0.hook_resid_post", f"blocks.{last}.hook_attn_out"]
    moves = sample.tokens[:, : model.geometry.context].long()
    runs = [model.run_with_cache(part, names) for part in torch.split(moves, READ_GAMES)]
    whole = torch.cat([logits for logits, _ in runs])
    first, attention = (torch.cat([kept[name] for _, kept in runs]) for name in names)
    found: dict[str, list[Tensor]] = {}
    for name, heard in (("", attention), (CONTROL, attention.roll(1, 0))):
        for x in torch.split(first + heard, READ_GAMES):
            out = mlp_of(model, last, x)
            for what, stream in (("MLP alone", out), ("with its stream", x + out)):
                logits = finish(model, stream, studied.layers)
                found.setdefault(f"{what}{name}", []).append(logits)
    return {"whole model": whole, **{name: torch.cat(logits) for name, logits in found.items()}}


CONTROL = ", attention of another game"
ANSWERS = ("whole model", "MLP alone", "with its stream")


@finding(
    "mlp7",
    "The last MLP, of the first layer's resid_post and the last attn_out (of 8 layers: MLP 7 "
    "of resid_post 0 + attn_out 7), predicts legal moves nearly as well as the model.",
    MAAR,
    *(
        Measure(f"{name}: {what}", published, control, what == "illegal", 3)
        for (name, control), figures in zip(
            (("whole model", ""), *((n, "attention of another game") for n in ANSWERS[1:])),
            (("0.007", "0.993"), ("0.061", "0.961"), ("", "")),
            strict=True,
        )
        for what, published in zip(("illegal", "F1"), figures, strict=True)
    ),
)
def last_mlp(studied: Studied) -> Found:
    """What the last MLP makes of the first layer's resid_post and the last one's attn_out: top-1
    illegal rate and legal-set F1, beside the whole model's.

    "MLP alone": the final LayerNorm and unembedding of what the last MLP writes. "With its stream":
    of that and what it reads, as if the layers between had written nothing but through the last
    attention. In hand-built models the ballast is in the stream, and what the last layer but one
    counted is missing in both. For each tau is chosen on other games. The control has the last
    attn_out of another game at the same ply.
    """
    if studied.layers < 2:
        return Found(note="a model of one layer has no layer between the first and the last")
    taus = {}
    for name, logits in _answers(studied, studied.fit).items():
        chooser = ThresholdChooser()
        chooser.add(logits, studied.fit.played)
        taus[name] = chooser.best()
    measured = {}
    for name, logits in _answers(studied, studied.seen).items():
        s = score(logits, studied.seen.played, taus[name])
        illegal = Ratio.of((s.wrong & s.valid).sum(-1), s.valid.sum(-1))
        right = 2 * (s.true_positives * s.valid).sum(-1)
        wrong = ((s.false_positives + s.false_negatives) * s.valid).sum(-1)
        f1 = Ratio.of(right, right + wrong)
        measured[name] = illegal.rate(), f1.share()
    values = {}
    for name in ANSWERS:
        for which, what in enumerate(("illegal", "F1")):
            null = measured.get(f"{name}{CONTROL}")
            values[f"{name}: {what}"] = Value(measured[name][which], null and null[which])
    return Found(values)
