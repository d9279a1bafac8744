"""From rules and strengths to weights: every quantity of the interpreter gets a place and a writer.

Read beside ``interpreter.py``: a line there is a family of heads or neurons here, with the same
names. The residual stream holds one named subspace a quantity; what a layer renews, a *forget* head
or neuron of it first takes away.
"""

import numpy as np

from extracted_rules.notation import LABELS, N_SQUARES, PLAYABLE, token_of
from extracted_rules.patterns import BRACKETS
from handbuilt.interpreter import (
    ENDS_GATE,
    FIRST_MOVES,
    N_LAYERS,
    OCCUPIED_LOGIT,
    Interpreter,
    boards_after_first_move,
    bracket_matrices,
    leaky_kernel,
    start_board,
)
from handbuilt.space import Layout
from handbuilt.strengths import Strengths
from handbuilt.transformer import OthelloGPT
from handbuilt.weights import BALLAST, GATE, Array, Maps, Weights, kernel_scores, self_scores

PLAYABLE_LABELS = [LABELS[square] for square in PLAYABLE]
BRACKET_NAMES = [bracket.name for bracket in BRACKETS]
N = N_SQUARES
#: In layer 0 beliefs are at most 1, so evidence is at most 1.5 with a blank inside: a smaller gate
#: does, and rounds less.
FIRST_GATE = 1.5
#: [60, 64]: from the playable squares to all.
SQUARES: Array = np.eye(N)[list(PLAYABLE)]
RUNS, ENDS = (matrix.numpy() for matrix in bracket_matrices())


class _Compiler:
    def __init__(self, strengths: Strengths) -> None:
        self.s = strengths
        self.layout = Layout()
        self.model = OthelloGPT()
        self.w = Weights(self.model, self.layout)
        self.positions = self.model.shape.n_ctx
        #: [59, 1]: 1 at the first position, whose board is known by heart
        self.first: Array = np.eye(self.positions)[:, :1]
        self.parity = 1.0 - 2.0 * (np.arange(self.positions) % 2)
        #: [59]: what layer 0's "seen" head shows of a taken square: a mean, bounded early on, since
        #: large numbers round
        self.taken = 1 / np.maximum(20.0, 1 + np.arange(self.positions))
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
        add(
            "message",
            LABELS,
            "what later positions are told about {}: twice its flip, and a share of settled",
        )
        add("settled", LABELS, "the belief about {}, sharpened and clipped to -1..1")
        add("first", firsts, "the game began with {}")
        add(
            "opening",
            firsts,
            "the board after {} was played first, in this position's frame, faded by age",
        )
        add("count", PLAYABLE_LABELS, "how many lines make {} legal for the next mover")
        add("need", sentence="how much doubt is forgiven because too little is claimed")
        add("claims", sentence="the sum of all bracket claims")

    # ------------------------------------------------------------------ layers

    def compile(self) -> tuple[OthelloGPT, Layout]:
        self._embed()
        self._first_attention()
        for layer in range(1, N_LAYERS):
            self._attention(layer)
        for layer in range(N_LAYERS - 1):
            self._claim(layer)
            self._settle(layer)
            self._forget_message(layer)
        self._know_the_board()
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
        position[:, here["need"]] = self.s.need_start
        faded = self.parity * self.s.leak ** np.arange(self.positions)
        faded[0] = 0
        position[:, here["belief"]] = faded[:, None] * start_board().numpy()

    def _kernels(self) -> tuple[Array, Array]:
        """The leaky kernel's even lags (mine) and odd lags (theirs), both non-negative."""
        kernel = leaky_kernel(self.s.leak, self.positions).numpy()
        return np.maximum(kernel, 0), np.maximum(-kernel, 0)

    def _first_attention(self) -> None:
        """Layer 0: discs by who put them there; all squares taken; the first move."""
        mine, theirs = self._kernels()
        # The surplus of attention rests on the position itself. What it leaves on the move's own
        # square depends on the position alone, so _claim and _settle can discount it.
        itself = np.arange(self.positions)
        for name, kernel, sign in (("mine", mine, 1), ("theirs", theirs, -1)):
            scores, amplitude = kernel_scores(kernel, itself)
            self.own_belief += sign * (amplitude - kernel.sum(-1))
            self.w.head(
                0,
                name,
                f"discs {'this' if sign > 0 else 'the other'} side put down, older ones fainter",
                scores,
                {"played": np.eye(60)},
                {"belief": sign * amplitude * SQUARES},
            )
        seen = np.tril(np.repeat(self.taken[:, None], self.positions, 1), -1)
        scores, amplitude = kernel_scores(seen, itself)
        self.own_seen += amplitude - seen.sum(-1)
        self.w.head(
            0,
            "seen",
            "all moves so far, in equal parts: above zero where a square is taken",
            scores,
            {"played": np.eye(60)},
            {"message": amplitude * SQUARES},
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

    def _attention(self, layer: int) -> None:
        """Layers 1-7: the leaky read, mixed with what was settled; the need; forgetting."""
        s, w = self.s, self.w
        fresh = (1 - s.mix) * (s.leak if layer == N_LAYERS - 1 else 1.0)
        sink = np.zeros(self.positions, dtype=int)
        for name, kernel, sign in zip(("mine", "theirs"), self._kernels(), (1, -1), strict=True):
            kernel[:, 0] = 0
            scores, amplitude = kernel_scores(kernel, sink)
            w.head(
                layer,
                name,
                f"messages of {'this' if sign > 0 else 'the other'} side's positions, older ones "
                "fainter; what is left of its attention rests on position 0, which says nothing",
                scores,
                {"message": np.eye(N), "placed": SQUARES},
                {"belief": sign * fresh * amplitude * np.eye(N)},
            )
        itself = self_scores(self.positions)
        w.head(
            layer,
            "renew-belief",
            "replaces the old belief by its share of the settled board and of the opening",
            itself,
            {
                "belief": -np.eye(N),
                "settled": s.mix * np.eye(N),
                "opening": fresh * boards_after_first_move().numpy(),
            },
            {"belief": np.eye(N)},
        )
        w.head(
            layer,
            "forget-settled",
            "takes away what the layer before settled",
            itself,
            {"settled": -np.eye(N)},
            {"settled": np.eye(N)},
        )
        # A sigmoid: attention between the position itself and position 0, which has no value.
        balance = self_scores(self.positions)
        balance[:, 0] = 0
        later = 1 - self.first
        w.head(
            layer,
            "need",
            "rises towards 1 while the claims fall short of one flipping line",
            balance,
            {"position": later},
            {"need": np.ones((1, 1))},
            own_score=(
                {
                    "need": np.full((1, 1), s.need_slope),
                    "claims": np.full((1, 1), -s.need_slope * s.need_rate),
                },
                s.need_slope * (s.need_rate - s.need_threshold),
                {"position": later},
            ),
        )
        w.head(
            layer,
            "forget-need",
            "takes away the old need and the old claims",
            itself,
            {"need": -np.eye(2)[:1], "claims": -np.eye(2)[1:]},
            {"need": np.eye(2)[:, :1], "claims": np.eye(2)[:, 1:]},
        )

    def _claim(self, layer: int) -> None:
        """Brackets: 1 + need - doubts, clipped; open if the move is an end and no blank inside."""
        n = len(BRACKETS)
        own_end = (ENDS @ SQUARES.T).T  # [60, n]
        within = ((RUNS + ENDS) @ SQUARES.T).T
        reads: dict[str, Array] = {
            "belief": 0.5 * (ENDS - RUNS).T,
            "played": (0.5 + GATE) * own_end,
            "need": np.ones((1, n)),
            "position": -GATE * self.first @ np.ones((1, n)),
        }
        if layer == 0:
            # A taken square shows self.taken; the move's own square, one of the ends, shows the
            # surplus of three kernels, which depends on the position alone.
            scale = FIRST_GATE * self.positions
            reads["message"] = scale * (SQUARES.T @ within)
            reads["position"] = (
                reads["position"]
                - scale * np.outer(self.taken, within.sum(0))
                - scale * (self.own_seen - self.taken)[:, None]
                - 0.5 * self.own_belief[:, None]
            )
        else:
            reads["blank"] = -GATE * within
        doubts = 0.5 * RUNS.sum(-1) + 0.5 * ENDS.sum(-1)
        self.w.capped(
            layer,
            "bracket",
            BRACKET_NAMES,
            "the move closes {}: both ends mine, all between theirs, so all between flips",
            reads,
            1 - doubts - GATE,
            {"message": 2 * RUNS, "claims": np.ones((n, 1))},
        )

    def _settle(self, layer: int) -> None:
        """settled = clip(gain * belief, -1, 1), and its share of the message."""
        s, w = self.s, self.w
        share = (1 - s.leak) * np.eye(N)
        if layer == 0:
            # Split by sign, so that the gate on the position's own square leaves 0 behind.
            for name, sign in (("mine", 1), ("theirs", -1)):
                w.capped(
                    0,
                    f"settle-{name}",
                    LABELS,
                    f"{{}} is {name} if whoever put the disc there still owns it",
                    {"belief": sign * s.gain * np.eye(N), "played": -GATE * SQUARES},
                    0.0,
                    {"settled": sign * np.eye(N), "message": sign * share},
                )
            return
        last = layer == N_LAYERS - 2
        writes: dict[str, Array] = {"message": 2 * share}
        w.constant(layer, "message", -(1 - s.leak))
        if last:
            self._settle_after(layer)
        else:
            writes["settled"] = 2 * np.eye(N)
            w.constant(layer, "settled", -1.0)
        w.capped(
            layer,
            "settle",
            LABELS,
            "how surely {} is mine, sharpened and clipped",
            {"belief": 0.5 * s.gain * np.eye(N)},
            0.5,
            writes,
        )

    def _settle_after(self, layer: int) -> None:
        """Layer 6 settles the board after the move, with the flips of layer 5."""
        reads = {name: 0.5 * block for name, block in self._after(layer).items()}
        self.w.capped(
            layer,
            "settle-after",
            LABELS,
            "how surely {} is mine after the move",
            reads,
            0.5,
            {"settled": 2 * np.eye(N)},
        )
        self.w.constant(layer, "settled", -1.0)

    def _after(self, layer: int) -> Maps:
        """Reads the board after the move, in the mover's frame: [width, 64] by subspace."""
        if layer == N_LAYERS - 2:
            return {"belief": self.s.leak * np.eye(N), "message": np.eye(N), "played": SQUARES}
        news = 1 - self.s.mix
        return {"belief": np.eye(N), "message": news * np.eye(N), "played": news * SQUARES}

    def _forget_message(self, layer: int) -> None:
        """Neurons that take the old message away (in layer 0: the moves seen)."""
        headroom = 2 * GATE  # far below any message, so that the neuron stays linear
        self.w.relu(
            layer,
            "forget-message",
            LABELS,
            "takes away the old message about {}",
            {"message": np.eye(N)},
            headroom,
            {"message": -np.eye(N)},
        )
        self.w.constant(layer, "message", headroom)

    def _know_the_board(self) -> None:
        """Layer 0: exact occupied squares, events, and the board after the first move."""
        w = self.w
        # Measured against what a taken square shows: at least 1 there, below 0 where blank.
        scale = FIRST_GATE * self.positions
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
        faded = self.s.leak ** (np.arange(self.positions) - 1.0)
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

    def _count_lines(self) -> None:
        """Layers 6 and 7: lines that make a square legal; the second count takes back doubles."""
        w, n = self.w, len(BRACKETS)
        ends = (ENDS @ SQUARES.T).T
        runs = (RUNS @ SQUARES.T).T
        for layer in (N_LAYERS - 2, N_LAYERS - 1):
            reads: dict[str, Array] = {
                name: block @ (0.5 * (RUNS - ENDS)).T for name, block in self._after(layer).items()
            }
            reads["blank"] = -GATE * runs - ENDS_GATE * ends
            reads["position"] = -GATE * self.first @ np.ones((1, n))
            doubts = 0.5 * RUNS.sum(-1) + 0.5 * ENDS.sum(-1) - 0.5
            w.relu(
                layer,
                "line",
                BRACKET_NAMES,
                "{} is a line for the next mover: a blank end, a run of mine, an end of theirs",
                reads,
                1 - doubts + ENDS_GATE,
                {"count": ends.T},
            )
        last = N_LAYERS - 1
        w.relu(
            last,
            "forget-count",
            PLAYABLE_LABELS,
            "takes away layer 6's count for {}",
            {"count": np.eye(60)},
            0.0,
            {"count": -np.eye(60)},
        )
        w.relu(
            last,
            "second-line",
            PLAYABLE_LABELS,
            "takes back what layer 6 counted for {} beyond one line",
            {"count": np.eye(60)},
            -1.0,
            {"count": -self.s.second_line * np.eye(60)},
        )
        w.relu(
            last,
            "book",
            [LABELS[square] for square in FIRST_MOVES],
            "position 0 knows the replies to {} by heart",
            {"first": np.eye(4), "position": self.first @ np.ones((1, 4))},
            -1.0,
            {"count": Interpreter.book().numpy() @ SQUARES.T},
        )

    def _unembed(self) -> None:
        of_token = np.zeros((len(PLAYABLE), self.model.shape.d_vocab))
        of_token[range(len(PLAYABLE)), [token_of(square) for square in PLAYABLE]] = 1
        constant = np.full((1, self.model.shape.d_vocab), OCCUPIED_LOGIT / BALLAST)
        self.w.unembed(
            {
                "count": self.s.logit * of_token,
                "blank": -OCCUPIED_LOGIT * of_token,
                "ballast.plus": constant,
            }
        )


def compile_rules(strengths: Strengths) -> tuple[OthelloGPT, Layout]:
    """The weights of the rules in ``interpreter.py`` with these strengths, and what is where."""
    return _Compiler(strengths).compile()
