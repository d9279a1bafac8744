"""From rules and strengths to weights: every quantity of the interpreter gets a place and a writer.

Read beside ``interpreter.py``: a line there is a family of heads or neurons here, with the same
names. The residual stream holds one named subspace a quantity; what a layer renews, a *forget* head
or neuron of it first takes away.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from extracted_rules.othello.notation import LABELS, N_SQUARES, PLAYABLE, token_of
from extracted_rules.othello.patterns import BRACKETS, PATTERNS
from handbuilt.interpreter import (
    ENDS_GATE,
    FIRST_MOVES,
    LOOK_LAYER,
    N_LAYERS,
    OCCUPIED_LOGIT,
    SIDE_SCORE,
    STEP,
    amplitude,
    boards_after_first_move,
    book,
    bracket_lengths,
    bracket_matrices,
    bracket_weights,
    lag_kernel,
    lateness,
    neighbours,
    parity,
    start_board,
)
from handbuilt.space import Layout
from handbuilt.strengths import LINE_VOICES, MEMORIES, SOURCES, TOLD, VOICES, Strengths
from handbuilt.transformer import OthelloGPT
from handbuilt.weights import (
    BALLAST,
    GATE,
    Array,
    Maps,
    Weights,
    kernel_scores,
    self_scores,
)

PLAYABLE_LABELS = [LABELS[square] for square in PLAYABLE]
BRACKET_NAMES = [bracket.name for bracket in BRACKETS]
BRACKET_OF = {bracket.ends: row for row, bracket in enumerate(BRACKETS)}
N = N_SQUARES
LAST = N_LAYERS - 1
#: Added to what a linear neuron reads, so that it never falls silent; no larger than need be, as
#: large numbers round.
HEADROOM = {"message": 16.0, "settled": 16.0, "claims": 32.0}
COUNT_HEADROOM = 64.0
#: Closes what turns the other colour's positions.
TURN_GATE = 2 * STEP
#: [60, 64]: from the playable squares to all.
SQUARES: Array = np.eye(N)[list(PLAYABLE)]
RUNS, ENDS = (matrix.numpy() for matrix in bracket_matrices())
LENGTH_OF: Array = bracket_lengths().numpy()


def _weights(run: Tensor, end: Tensor) -> Array:
    """float64 [64, 518]: what each bracket's neuron reads of every square."""
    read: Array = bracket_weights(run, end).numpy().T
    return read


def _most_evidence(run: Tensor, end: Tensor) -> Tensor:
    """[..., 6]: how much a bracket's discs can add at most, if none is larger than 1."""
    depths = torch.tensor([[1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1], [2, 2, 2]])
    return (run.abs() * depths).sum(-1) + end.abs()


def most_near(strengths: Strengths) -> float:
    """A bound on what layer 0's near heads say about a square.

    Moves of one side speak for it where ``near`` is positive, those of the other where it is
    negative; no square is played twice. What two heads leave of their attention rests on the move
    itself.
    """
    most = 0.0
    for kernel, now, near in zip(
        strengths.near_kernel, strengths.near_now, strengths.near, strict=True
    ):
        by_lag, spread = kernel.exp(), neighbours(near)
        by_side = by_lag.view(-1, 2).sort(0, descending=True).values
        signed = torch.stack([spread.clamp(min=0), -spread.clamp(max=0)], 1)
        loudest = signed.sort(0, descending=True).values[: len(by_side)]
        speaks = max(
            float(torch.einsum("ks,ksq->q", order, loudest).max())
            for order in (by_side, by_side.flip(1))
        )
        left = now + torch.cat([now.new_zeros(1), by_lag * parity(len(by_lag))]).cumsum(0)
        most += speaks + float(left.abs().max() * near.abs().max())
    return most


class _Compiler:
    def __init__(self, strengths: Strengths) -> None:
        self.s = strengths
        self.layout = Layout()
        self.model = OthelloGPT()
        self.w = Weights(self.model, self.layout)
        self.positions = self.model.shape.n_ctx
        self.parity: Array = parity(self.positions).numpy()
        #: [59, 1]: 1 at the first position, whose board is known by heart
        self.first: Array = np.eye(self.positions)[:, :1]
        #: [59, 1]: 0 at the first position, 1 at the last
        self.late: Array = lateness(self.positions).numpy()[:, None]
        #: [59]: what layer 0's "seen" head shows of a taken square: a mean
        self.taken = 1 / np.arange(1.0, 1 + self.positions)
        #: [59]: what layer 0's heads leave on the move's own square
        self.own_belief = np.zeros(self.positions)
        self.own_seen = np.zeros(self.positions)
        self._lay_out_directions()

    def _lay_out_directions(self) -> None:
        add = self.layout.directions.add
        steps = [str(t) for t in range(self.positions)]
        firsts = [LABELS[square] for square in FIRST_MOVES]
        add("played", PLAYABLE_LABELS, "the move of this position is {}")
        add("position", steps, "this is position {}")
        add("blank", PLAYABLE_LABELS, "{} holds no disc once the move is made")
        add("placed", PLAYABLE_LABELS, "as played.{}, but empty at position 0: an event to be read")
        add("belief", LABELS, "{} before the move: 1 mine, -1 theirs")
        add("message", LABELS, "what others are told about {}: its flip, and ends of brackets")
        add(
            "settled",
            LABELS,
            "the belief about {}, sharpened and clipped to -1..1; in the midst of layer 0, what "
            "moves near it have likely turned",
        )
        add("first", firsts, "the game began with {}")
        add(
            "opening",
            firsts,
            "the board after {} was played first, in this position's frame, faded by age",
        )
        add("count", PLAYABLE_LABELS, "how many lines make {} legal for the next mover")
        add("need", sentence="how much doubt is forgiven because too little is claimed")
        add("claims", sentence="the sum of all bracket claims")
        add("others", sentence="how many lines the side named by parity had for other moves")
        add("passed", sentence="how surely somebody passed, up to this move")
        add("side", sentence="1 if black moves here, -1 if white does; 0 at position 0")

    # ------------------------------------------------------------------ layers

    def compile(self) -> tuple[OthelloGPT, Layout]:
        self._embed()
        self._first_attention()
        for layer in range(1, N_LAYERS):
            self._attention(layer)
        for layer in range(LAST):
            self._claim(layer)
            if layer < LAST - 1:
                self._settle(layer)
            self._forget(layer)
        self._know_the_board()
        self._look_for_passes()
        self._turn_sides()
        self._settle_after()
        self._count_lines()
        self._unembed()
        self.w.store()
        return self.model, self.layout

    def _embed(self) -> None:
        here = self.layout.directions
        for column, square in enumerate(PLAYABLE):
            self.w["embed.W_E"][token_of(square), here["played"].start + column] = 1
        position = self.w["pos_embed.W_pos"]
        position[:, here["position"]] = np.eye(self.positions)
        later = 1 - self.first
        position[:, here["need"]] = float(self.s.need_start) * later
        position[:, here["side"]] = self.parity[:, None] * later
        faded = self.parity * np.exp(float(self.s.start) * np.arange(self.positions))
        position[:, here["belief"]] = later * faded[:, None] * start_board().numpy()

    def _first_attention(self) -> None:
        """Layer 0: discs by who put them there; all squares taken; the first move."""
        # The surplus of attention rests on the position itself. What it leaves on the move's own
        # square depends on the position alone, so _claim and _settle can discount it.
        itself = np.arange(self.positions)
        owner: Array = lag_kernel(self.s.owner.exp()).numpy()
        agrees = np.outer(self.parity, self.parity)
        for name, sign in (("mine", 1), ("theirs", -1)):
            kernel = owner * (sign * agrees > 0)
            scores, size = kernel_scores(kernel, itself)
            self.own_belief += sign * (size - kernel.sum(-1))
            self.w.head(
                0,
                name,
                f"discs {'this' if sign > 0 else 'the other'} side put down, older ones fainter",
                scores,
                {"played": np.eye(60)},
                {"belief": sign * size * SQUARES},
            )
        self._near_heads(agrees, itself)
        seen = np.tril(np.repeat(self.taken[:, None], self.positions, 1), -1)
        scores, size = kernel_scores(seen, itself)
        self.own_seen += size - seen.sum(-1)
        self.w.head(
            0,
            "seen",
            "all moves so far, in equal parts: above zero where a square is taken",
            scores,
            {"played": np.eye(60)},
            {"message": size * SQUARES},
        )
        to_first = self_scores(self.positions)
        to_first[:, 0], to_first[itself[1:], itself[1:]] = 0, to_first[0, 1]
        columns = [PLAYABLE.index(square) for square in FIRST_MOVES]
        self.w.head(
            0,
            "first",
            "looks at position 0: which of the four first moves was played",
            to_first,
            {"played": np.eye(60)[:, columns]},
            {"first": np.eye(4)},
        )

    def _near_heads(self, agrees: Array, itself: npt.NDArray[np.int_]) -> None:
        """What moves nearby have likely turned, into "settled", which is still free there."""
        for memory, name in enumerate(MEMORIES):
            spread = SQUARES @ neighbours(self.s.near[memory]).numpy()
            if not spread.any():
                continue
            near: Array = lag_kernel(self.s.near_kernel[memory].exp()).numpy()
            kernels = [near * (sign * agrees > 0) for sign in (1, -1)]
            # But for what this very move says, their sizes are the same, so that what is left of
            # their attention nearly cancels.
            most = max(kernel_scores(kernel, itself)[1] for kernel in kernels)
            now = float(self.s.near_now[memory])
            for who, sign, kernel in zip(("mine", "theirs"), (1, -1), kernels, strict=True):
                scores, size = kernel_scores(kernel, itself, most + max(sign * now, 0.0))
                self.w.head(
                    0,
                    f"{name}-{who}",
                    f"what moves of {'this' if sign > 0 else 'the other'} side say of the discs "
                    "around them, and of their own",
                    scores,
                    {"played": np.eye(60)},
                    {"settled": sign * size * spread},
                )

    def _attention(self, layer: int) -> None:
        """Layers 1-7: what earlier positions told; the need; passes; forgetting."""
        s, w, i = self.s, self.w, layer - 1
        later = 1 - self.first
        self._reading_heads(layer, "flips", s.flips_kernel[i], {"message": np.eye(N)})
        share = float(s.board_share[i])
        told = {"placed": SQUARES, "settled": share * np.eye(N)}
        self._reading_heads(layer, "board", s.board_kernel[i], told)
        itself = self_scores(self.positions)
        w.head(
            layer,
            "renew-belief",
            "replaces the old belief by the board after the first move, faded",
            itself,
            {
                "belief": -np.eye(N),
                "opening": float(s.opening[i]) * boards_after_first_move().numpy(),
            },
            {"belief": np.eye(N)},
        )
        if layer == LAST:
            return
        # A sigmoid: attention between the position itself and position 0, which has no value.
        balance = self_scores(self.positions)
        balance[:, 0] = 0
        asks = {
            "need": np.full((1, 1), float(s.need_kept[i])),
            "claims": np.full((1, 1), -float(s.need_claims[i])),
        }
        w.head(
            layer,
            "need",
            "rises towards 1 while the claims fall short of one flipping line",
            balance,
            {"position": later},
            {"need": np.ones((1, 1))},
            [(asks, float(s.need_bias[i]), {"position": later})],
        )
        if layer == LOOK_LAYER + 1:
            self._hear_the_stuck(layer)
        w.head(
            layer,
            "forget-need",
            "takes away the old need",
            itself,
            {"need": -np.eye(1)},
            {"need": np.eye(1)},
        )

    def _hear_the_stuck(self, layer: int) -> None:
        """A sigmoid again: between position 0 and positions where parity names a stuck side."""
        s, positions = self.s, self.positions
        odds = float(s.stuck) - float(s.stuck_early) * (1 - self.late[:, 0])
        scores = np.tile(odds, (positions, 1))
        scores[:, 0] = 0
        lowers = {"others": s.stuck_others, "claims": s.stuck_claims, "need": -s.stuck_need}
        slopes = {name: np.full((1, 1), -float(slope)) for name, slope in lowers.items()}
        self.w.head(
            layer,
            "passed",
            "looks for a position where the side named by parity had no move: it had passed",
            scores,
            {"position": 1 - self.first},
            {"passed": np.eye(1)},
            [({}, 1.0, slopes)],
        )

    def _reading_heads(self, layer: int, name: str, log_kernel: Tensor, told: Maps) -> None:
        """Two heads: what positions of this side told is mine, what the other's told is theirs."""
        # Fainter with more claims than one line, louder with fewer; the need has a weight of either
        # sign.
        claims = float(self.s.overclaim[layer - 1, TOLD.index(name)])
        need = float(self.s.needy[layer - 1, TOLD.index(name)])
        loud = {
            "position": claims * (1 - self.first),
            "claims": np.full((1, 1), -claims),
            "need": np.full((1, 1), need),
        }
        kernel = lag_kernel(log_kernel.exp())
        kernel[:, 0] = 0
        size = amplitude(kernel)
        share: Array = (kernel / size).numpy()
        agrees = np.outer(self.parity, self.parity)
        half = SIDE_SCORE / 2
        for who, sign in (("mine", 1), ("theirs", -1)):
            scores, _ = kernel_scores(share, np.zeros(self.positions, dtype=int), size=1.0)
            scores[:, 1:] -= half
            scores[:, 0] = np.log(1 - (share * (sign * agrees > 0)).sum(-1))
            sides = (
                {"side": np.full((1, 1), sign * half)}, 0.0, {"side": np.ones((1, 1))},
            )  # fmt: skip
            self.w.head(
                layer,
                f"{name}-{who}",
                f"{name} told by positions of {'this' if sign > 0 else 'the other'} side, older "
                "ones and those that claim too much fainter; what is left of its attention "
                "rests on position 0, which is silent",
                scores,
                told,
                {"belief": sign * size * np.eye(N)},
                [sides, ({}, 1.0, loud)],
            )

    # ------------------------------------------------------------------ neurons

    def _claim(self, layer: int) -> None:
        """Brackets: open if the move is an end and no blank inside."""
        s, n = self.s, len(BRACKETS)
        own_end = (ENDS @ SQUARES.T).T  # [60, n]
        within = ((RUNS + ENDS) @ SQUARES.T).T
        sentences = (
            "the move closes {}: both ends mine, all between theirs, so all between flips",
            "takes back what bracket.{} claims too much",
            "takes back what bracket.{} claims because its run is beyond doubt",
            "takes back what bracket.{} claims because its end is beyond doubt",
        )
        for voice, (name, sentence) in enumerate(zip(VOICES, sentences, strict=True)):
            end = s.end[layer, voice]
            heard = [_weights(s.run[layer, voice, :, i], end[:, i]) for i in range(len(SOURCES))]
            reads: dict[str, Array] = {
                "belief": heard[0],
                "settled": heard[1],
                "played": GATE * own_end,
                "need": s.forgive[layer, voice].numpy()[None, LENGTH_OF],
                "position": (float(s.late[layer, voice]) * self.late - GATE * self.first)
                @ np.ones((1, n)),
            }
            if layer == 0:
                # A taken square shows self.taken; the move's own square, one of the ends, shows the
                # surplus of three kernels, which depends on the position alone.
                scale = self._first_gate() * self.positions
                reads["message"] = scale * (SQUARES.T @ within)
                reads["position"] = (
                    reads["position"]
                    - scale * np.outer(self.taken, within.sum(0))
                    - scale * (self.own_seen - self.taken)[:, None]
                    - np.outer(self.own_belief, end[:, 0].numpy()[LENGTH_OF])
                )
            else:
                reads |= {"message": heard[2], "blank": -GATE * within}
            claim = s.claim[layer, voice].numpy()[LENGTH_OF, None]
            holds = s.holds[layer, voice].numpy()[LENGTH_OF, None]
            told = float(s.flip[layer]) * claim * RUNS + holds * ENDS
            writes = {"message": told, "claims": claim}
            bias = s.bias[layer, voice].numpy()[LENGTH_OF] - GATE
            family = "bracket" if name == "claim" else f"bracket-{name}"
            self._one_each(layer, family, BRACKET_NAMES, sentence, reads, bias, writes)

    def _one_each(
        self,
        layer: int,
        name: str,
        lines: Sequence[str],
        sentence: str,
        reads: Maps,
        bias: Array,
        writes: Maps,
    ) -> None:
        """A neuron for every bracket or pattern that it says something about."""
        speaks = np.any([block.any(1) for block in writes.values()], 0).nonzero()[0]
        if len(speaks):
            members = [lines[row] for row in speaks]
            hears = {subspace: block[:, speaks] for subspace, block in reads.items()}
            says = {subspace: block[speaks] for subspace, block in writes.items()}
            self.w.relu(layer, name, members, sentence, hears, bias[speaks], says)

    def _first_gate(self) -> float:
        """What closes layer 0's brackets: as small as their evidence allows, as it rounds less.

        There a square is at most what its one event or the start says, and what moves near it say.
        """
        s = self.s
        largest = max(float(s.owner.max()), 0.0, (self.positions - 1) * float(s.start))
        bar = s.bias[0] + s.forgive[0] * s.need_start + s.late[0, :, None].clamp(min=0)
        for source, most in enumerate((np.exp(largest), most_near(s))):
            bar = bar + most * _most_evidence(s.run[0, :, :, source], s.end[0, :, :, source])
        return float(bar.max())

    def _settle(self, layer: int) -> None:
        """settled: the belief and what was settled one layer ago, clipped to -1..1."""
        s, w = self.s, self.w
        weights = s.settle[layer].tolist()
        if layer == 0:
            # Split by sign, so that gates on blank squares and the move's own leave 0 behind.
            # The move's own square shows a surplus, as if it were taken many times.
            scale, taken = GATE * self.positions, SQUARES.T @ SQUARES
            shut = GATE + scale * float(self.own_seen.max())
            for name, sign in (("mine", 1), ("theirs", -1)):
                w.capped(
                    0,
                    f"settle-{name}",
                    LABELS,
                    f"{{}} was taken before, likely {name}, by who put it there and moves nearby",
                    {
                        "belief": sign * weights[0] * np.eye(N),
                        "settled": sign * weights[1] * np.eye(N),
                        "played": -shut * SQUARES,
                        "message": scale * taken,
                        "position": -scale * np.outer(self.taken, taken.sum(0)) - shut * self.first,
                    },
                    0.0,
                    {"settled": sign * np.eye(N)},
                )
            return
        w.constant(layer, "settled", -1.0)
        w.capped(
            layer,
            "settle",
            LABELS,
            "how surely {} is mine, sharpened and clipped",
            {name: 0.5 * w * np.eye(N) for name, w in zip(SOURCES, weights, strict=True)},
            0.5,
            {"settled": 2 * np.eye(N)},
        )

    def _look_for_passes(self) -> None:
        """Layer 3: patterns that would have let the side named by parity move elsewhere."""
        s = self.s
        rows = [BRACKET_OF[min(p.start, p.end), max(p.start, p.end)] for p in PATTERNS]
        starts = np.eye(N)[:, [p.start for p in PATTERNS]]
        within = SQUARES @ ((RUNS + ENDS)[rows].T - starts)
        discs = self._discs_of_lines(s.other_run, s.other_end)
        reads = {source: discs[source][:, rows] for source in ("belief", "settled")}
        # The start is blank, even now; all else was taken before.
        reads["blank"] = GATE * (SQUARES @ starts - within)
        reads["played"] = -GATE * within
        reads["position"] = -GATE * self.first @ np.ones((1, len(PATTERNS)))
        lengths = LENGTH_OF[rows]
        self._one_each(
            LOOK_LAYER,
            "other",
            [p.name for p in PATTERNS],
            "{} was there for the side named by parity: a blank start, a run of theirs, an end "
            "of mine",
            reads,
            s.other_bias.numpy()[lengths] - GATE,
            {"others": s.other_line.numpy()[lengths, None]},
        )

    def _turn_sides(self) -> None:
        """Layer 4: a pass turns the side that parity names."""
        for who, sign in (("black", 1.0), ("white", -1.0)):
            here = (self.parity == sign)[:, None] * (1 - self.first)
            self.w.capped(
                LOOK_LAYER + 1,
                f"turn-{who}",
                [""],
                f"parity names {who}, but somebody passed, so it is the other side's move",
                {"passed": np.full((1, 1), STEP), "position": TURN_GATE * here},
                0.5 - STEP / 2 - TURN_GATE,
                {"side": np.full((1, 1), -2 * sign)},
            )

    def _forget(self, layer: int) -> None:
        """Linear neurons that take the old values away (in layer 0: what its heads left there)."""
        names = ("message", "settled", "claims")
        for name in names[:2] if layer == 0 else names:
            members = [""] if name == "claims" else LABELS
            size, room = np.eye(len(members)), HEADROOM[name]
            if (layer, name) == (0, "settled"):
                room = max(room, most_near(self.s))
            self.w.relu(
                layer,
                f"forget-{name}",
                members,
                f"takes away the old {name} about {{}}" if members == LABELS else f"the old {name}",
                {name: size},
                room,
                {name: -size},
            )
            self.w.constant(layer, name, room)

    def _know_the_board(self) -> None:
        """Layer 0: exact occupied squares, events, and the board after the first move."""
        w = self.w
        # Measured against what a taken square shows: at least 1 there, below 0 where blank.
        scale = 1.5 * self.positions
        w.capped(
            0,
            "occupied",
            PLAYABLE_LABELS,
            "{} has been played",
            {
                "message": scale * SQUARES.T,
                "position": -scale * np.outer(self.taken, np.ones(60)),
            },
            1.0,
            {"blank": -np.eye(60)},
        )
        w.constant(0, "blank", 1.0)
        w.relu(
            0,
            "placed",
            PLAYABLE_LABELS,
            "the move is {}, and this is not position 0",
            {"played": np.eye(60), "position": -self.first @ np.ones((1, 60))},
            0.0,
            {"placed": np.eye(60)},
        )
        faded = np.exp(float(self.s.opening_fade) * (np.arange(self.positions) - 1.0))
        faded[0] = 0
        for side, sign in (("even", 1.0), ("odd", -1.0)):
            strength = np.where(self.parity == sign, faded, 0.0)
            w.relu(
                0,
                f"opening-{side}",
                [LABELS[square] for square in FIRST_MOVES],
                f"the game began with {{}} and this is an {side} position",
                {"first": GATE * np.eye(4), "position": np.outer(strength, np.ones(4))},
                -GATE,
                {"opening": sign * np.eye(4)},
            )

    def _settle_after(self) -> None:
        """Layer 6 settles the board after the move, with the flips of layer 5."""
        reads = {
            source: 0.5 * float(weight) * np.eye(N)
            for source, weight in zip(SOURCES, self.s.after, strict=True)
        }
        reads["placed"] = 0.5 * float(self.s.after_placed) * SQUARES
        self.w.capped(
            LAST - 1,
            "settle-after",
            LABELS,
            "how surely {} is mine after the move",
            reads,
            0.5,
            {"settled": 2 * np.eye(N)},
        )
        self.w.constant(LAST - 1, "settled", -1.0)

    def _line(
        self,
        layer: int,
        name: str,
        sentence: str,
        evidence: tuple[Tensor, Tensor, Tensor],
        bias: Tensor,
        line: Tensor,
        scale: Array | float = 1.0,
        late: float = 0.0,
    ) -> None:
        """A family of lines: a blank end, no blank between, and evidence for the discs."""
        n = len(BRACKETS)
        ends, runs = (ENDS @ SQUARES.T).T, (RUNS @ SQUARES.T).T
        run, end, placed = evidence
        of_run, of_end = placed.tolist()
        discs = self._discs_of_lines(run, end)
        discs["placed"] = 0.5 * SQUARES @ (of_run * RUNS - of_end * ENDS).T
        reads = {subspace: scale * block for subspace, block in discs.items()}
        reads["blank"] = -GATE * runs - ENDS_GATE * ends
        reads["position"] = (late * self.late - GATE * self.first) @ np.ones((1, n))
        bar = bias.numpy()[LENGTH_OF] + ENDS_GATE
        writes = {"count": line.numpy()[LENGTH_OF, None] * ends.T}
        self._one_each(layer, name, BRACKET_NAMES, sentence, reads, bar, writes)

    def _discs_of_lines(self, run: Tensor, end: Tensor) -> dict[str, Array]:
        """What the neurons of all brackets read of discs to find a line."""
        return {source: _weights(run[:, i], end[:, i]) for i, source in enumerate(SOURCES)}

    def _count_lines(self) -> None:
        """Layers 6 and 7: lines that make a square legal; the second count takes back doubles."""
        s, w = self.s, self.w
        legal = "{} is a line for the next mover: a blank end, a run of mine, an end of theirs"
        first = (s.line_run, s.line_end, s.line_placed)
        late = float(s.line_late)
        self._line(LAST - 1, "line", legal, first, s.line_bias, s.line, late=late)
        for voice, name in enumerate(LINE_VOICES):
            evidence = (s.last_run[voice], s.last_end[voice], s.last_placed[voice])
            said = legal if voice == 0 else "takes back what line.{} counts too much"
            bias, late = s.last_bias[voice], float(s.last_late[voice])
            self._line(LAST, name, said, evidence, bias, s.last_line[voice], late=late)
        self._line(
            LAST,
            "line-again",
            "{} is a line for the mover itself, should the other side have to pass",
            (s.last_run[0], s.last_end[0], s.last_placed[0]),
            s.again_bias,
            s.again_line,
            -s.again_scale.numpy()[LENGTH_OF],
        )
        w.relu(
            LAST,
            "keep-count",
            PLAYABLE_LABELS,
            "keeps a part of layer 6's count for {}",
            {"count": np.eye(60)},
            COUNT_HEADROOM,
            {"count": (float(s.first_count) - 1) * np.eye(60)},
        )
        w.constant(LAST, "count", (1 - float(s.first_count)) * COUNT_HEADROOM)
        w.relu(
            LAST,
            "second-line",
            PLAYABLE_LABELS,
            "takes back what layer 6 counted for {} beyond one line",
            {"count": np.eye(60)},
            -float(s.surplus_from),
            {"count": -float(s.surplus) * np.eye(60)},
        )
        w.relu(
            LAST,
            "book",
            [LABELS[square] for square in FIRST_MOVES],
            "position 0 knows the replies to {} by heart",
            {"first": np.eye(4), "position": self.first @ np.ones((1, 4))},
            -1.0,
            {"count": book().numpy() @ SQUARES.T},
        )

    def _unembed(self) -> None:
        of_token = np.zeros((len(PLAYABLE), self.model.shape.d_vocab))
        of_token[range(len(PLAYABLE)), [token_of(square) for square in PLAYABLE]] = 1
        constant = np.full((1, self.model.shape.d_vocab), OCCUPIED_LOGIT / BALLAST)
        self.w.unembed(
            {
                "count": float(self.s.logit) * of_token,
                "blank": -OCCUPIED_LOGIT * of_token,
                "ballast.plus": constant,
            }
        )


def compile_rules(strengths: Strengths) -> tuple[OthelloGPT, Layout]:
    """The weights of the rules in ``interpreter.py`` with these strengths, and what is where."""
    return _Compiler(strengths).compile()
