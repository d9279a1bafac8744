"""Properties of pairs of answers: games whose moves are reordered, mirrored, or go on otherwise.

Pairs of orders come from swapping two moves of one side (:mod:`extracted_rules.benches.orders`):
they lead to the same board, or to the same squares with other colours.
"""

from math import sqrt

import torch
from torch import Tensor

from comparison.properties.definition import Property, Verdicts, last_answer, nowhere, transcript
from comparison.properties.subjects import Subject, View
from extracted_rules.benches.changed_games import with_other_ends
from extracted_rules.benches.orders import parted, same_boards, swapped_pairs
from extracted_rules.othello.game import random_games, stream_seed
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.svg import Picture

VAFA = "Vafa et al. 2024, Evaluating the World Model Implicit in a Generative Model, NeurIPS"
#: Answers to mirrored games may differ by this much in the log-probability of a move that either
#: predicts: legal moves are near ties for a model of uniform play, illegal ones are not.
MIRROR_NATS = 1.0
#: Float sums in another order move a hand-built model's logits by up to 0.02, as its ballast is
#: large, and a trained model's by a thousandth of that.
FLOAT_DISTANCE = 0.05
#: Games that stand beside the one that is asked about; and one game in so many is asked about, as
#: each is run alone.
COMPANIONS, ONE_IN = 7, 4
#: How far back two orders part, in moves up to and with the last one.
PARTED: tuple[tuple[int, int | None], ...] = ((3, 4), (5, 8), (9, 16), (17, None))
#: Draws of the tie-breaking null at each position.
NULL_DRAWS = 8


def _both(subject: Subject, cases: Tensor) -> tuple[View, View, Tensor, Tensor]:
    """Both views; where both are asked about, having parted, with discs on the same squares; and
    whether their boards and sides to move are the same."""
    a, b = subject.view(cases[:, 0]), subject.view(cases[:, 1])
    apart = parted(cases, a.asked.shape[1]).to(a.asked.device) > 0
    after = slice(1, apart.shape[1] + 1)
    boards, others = a.played.boards[:, after], b.played.boards[:, after]
    alike = ((boards != 0) == (others != 0)).all(-1)
    equal = (boards == others).all(-1) & (a.played.movers[:, after] == b.played.movers[:, after])
    return a, b, a.asked & b.asked & apart & alike, equal


def _first_of(view: View, moves: Tensor) -> Tensor:
    """int64 [B, T] from bool [B, T, moves]: the square of one of them, or -1."""
    some = view.square_of(moves.float().argmax(-1))
    return torch.where(moves.any(-1), some, nowhere(some))


class Reordered(Property):
    """A pair of games that differ by one exchange of two moves."""

    rows = 2

    def words(self, case: Tensor, board: int = STANDARD) -> str:
        apart = (case[0] != case[1]).nonzero().squeeze(-1).tolist()
        if len(apart) == 2 and torch.equal(case[0, apart], case[1, apart[::-1]]):
            exchanged = " and ".join(transcript(case[0, [at]], board) for at in apart)
            return f"{transcript(case[0], board)}, {exchanged} exchanged"
        return " and ".join(transcript(row, board) for row in case)

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Picture]:
        titles = ("one order", "the other order")
        return [last_answer(subject, row, t, square) for row, t in zip(case, titles, strict=True)]


class Transposition(Reordered):
    name = "transposition"
    sentence = "Two orders of moves to the same board get the same predicted set."
    source = f"{VAFA} (compression); a world model depends on the board alone"

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return swapped_pairs(games, seed, board, same=True)

    def collected(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return same_boards(games, seed, board)

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        a, b, both, equal = _both(subject, cases)
        applies = both & equal
        differ = (a.predicted != b.predicted) & applies[..., None]
        back = parted(cases, applies.shape[1]).to(applies.device)
        far = tuple(
            ("parted", f"{low}-{high} moves back" if high else f"{low}+ moves back", mask)
            for low, high in PARTED
            for mask in [(back >= low) & (back <= (high or back.shape[1]))]
        )
        distance = 0.5 * (a.log_p.exp() - b.log_p.exp()).abs().sum(-1)
        also = {
            "total variation of the probabilities": distance,
            "likeliest move differs": (a.top != b.top).double(),
            "likeliest move differs, tie-breaking null": tie_breaking_null(a, b),
        }
        return Verdicts(
            applies,
            differ.any(-1),
            _first_of(a, differ),
            {name: (values * applies, applies) for name, values in also.items()},
            (*a.strata, *far),
        )


def tie_breaking_null(a: View, b: View) -> Tensor:
    """float64 [B, T]: how often the likeliest move would differ for a model that knows the legal
    moves and breaks ties between them by the board, but not quite steadily.

    Its log-probabilities of the legal moves are the mean of both answers plus, for each order,
    independent normal noise of the size of the answers' own difference among the legal moves. Who
    differs no more often than this differs in nothing but how ties are broken.
    """
    legal, n = a.legal, a.legal.sum(-1).clamp(min=1)
    mean = (a.log_p + b.log_p) / 2
    gap = (a.log_p - b.log_p) * legal
    gap = gap - gap.sum(-1, keepdim=True) / n[..., None]
    size = ((gap * legal).square().sum(-1) / (n - 1).clamp(min=1)).sqrt() / sqrt(2)
    generator = torch.Generator(legal.device).manual_seed(stream_seed("properties: null", 0))
    differs = torch.zeros_like(size)
    for _ in range(NULL_DRAWS):
        noise = torch.randn((2, *mean.shape), generator=generator, device=legal.device)
        answers = (mean + size[..., None] * noise).masked_fill(~legal, -torch.inf)
        differs += answers[0].argmax(-1) != answers[1].argmax(-1)
    return differs / NULL_DRAWS


class Telling(Reordered):
    """Different boards on the same squares, as swaps that do not commute leave them."""

    source = f"{VAFA}, at continuations of one move"

    def __init__(self, name: str, sentence: str, *, legal_sets_equal: bool) -> None:
        self.name, self.sentence, self.legal_sets_equal = name, sentence, legal_sets_equal

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return swapped_pairs(games, seed, board, same=False)

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        a, b, both, equal = _both(subject, cases)
        truly, differ = a.legal != b.legal, a.predicted != b.predicted
        applies = both & ~equal & (truly.any(-1) != self.legal_sets_equal)
        if self.legal_sets_equal:
            broken, square = differ.any(-1) & applies, _first_of(a, differ)
            return Verdicts(applies, broken, square, {}, a.strata)
        broken, square = ~differ.any(-1) & applies, _first_of(a, truly)
        # A square is told apart rightly if it went from legal to illegal, or back, in both.
        right = (differ & truly & (a.predicted == a.legal) & (b.predicted == b.legal)).sum(-1)
        also = {
            "recall of the squares that tell them apart": (right, truly.sum(-1)),
            "precision of the squares where its sets differ": (right, differ.sum(-1)),
        }
        shown = {name: (x * applies, y * applies) for name, (x, y) in also.items()}
        return Verdicts(applies, broken, square, shown, a.strata)


class Symmetry(Property):
    """Of the board's eight symmetries four map the start position to itself, so legal games to
    legal games; the others exchange the colours of the start, and no model has seen such games."""

    name = "symmetry"
    sentence = (
        "Mirrored and half-turned games get the mirrored answer: the same predicted set, and no "
        f"move in it further off than {MIRROR_NATS:g} nat."
    )
    source = "the symmetries of the board that keep the start position"

    @staticmethod
    def images(subject: Subject, games: Tensor) -> list[tuple[View, Tensor]]:
        """The view of every image but the game itself, and int64 [moves]: which of the image's
        moves, token - 1, each of the game's becomes."""
        board = subject.geometry
        every = torch.arange(board.n_tokens)
        return [
            (
                subject.view(board.transform_tokens(games, symmetry)),
                (board.transform_tokens(every, symmetry)[1:] - 1).to(subject.device),
            )
            for symmetry in board.start_symmetries[1:]
        ]

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        games = cases[:, 0]
        view = subject.view(games)
        applies = view.asked.clone()
        sets = torch.zeros_like(view.predicted)
        far = torch.zeros_like(view.log_p)
        behind = torch.zeros_like(view.asked, dtype=torch.float64)
        for image, move in self.images(subject, games):
            applies &= image.asked
            log_p, predicted = image.log_p[..., move], image.predicted[..., move]
            apart = (log_p - view.log_p).abs()
            # Rounding may carry a move over the threshold; that is no other answer.
            sets |= (predicted != view.predicted) & (apart > FLOAT_DISTANCE)
            far = torch.maximum(far, apart * (predicted | view.predicted))
            top = log_p.gather(-1, view.top[..., None]).squeeze(-1)
            behind = torch.maximum(behind, log_p.amax(-1) - top)
        worst = far.amax(-1)
        broken = (sets.any(-1) | (worst > MIRROR_NATS)) & applies
        also = {
            "predicted sets differ": sets.any(-1),
            f"a move is further off than {MIRROR_NATS:g} nat": worst > MIRROR_NATS,
            f"likeliest move is not within {MIRROR_NATS:g} nat of the image's": behind
            > MIRROR_NATS,
            "furthest move, nats": worst,
        }
        shown = {name: (values * applies, applies) for name, values in also.items()}
        square = torch.where(sets.any(-1), _first_of(view, sets), view.square_of(far.argmax(-1)))
        return Verdicts(applies, broken, square, shown, view.strata)

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Picture]:
        shown = super().answers(subject, case, square)
        for symmetry in subject.geometry.start_symmetries[1:]:
            image = subject.geometry.transform_tokens(case[0], symmetry)
            shown.append(last_answer(subject, image, "mirrored" if symmetry > 3 else "half-turned"))
        return shown


class Causality(Property):
    """Answers may not depend on later moves, on padding or on the games beside this one."""

    name = "causality"
    sentence = (
        "An answer is the same, to float precision, whatever comes later, and whether the game "
        "stands alone or among others."
    )
    source = "what a causal model of moves is"
    rows = 2

    def words(self, case: Tensor, board: int = STANDARD) -> str:
        shared = int((case[0] == case[1]).cumprod(0).sum())
        return f"{transcript(case[0], board)}, the answers up to move {shared}"

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return with_other_ends(games[::ONE_IN], seed, board)

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        board = subject.geometry
        cases = cases[..., : board.context]
        chunks = random_games(COMPANIONS, 0, board=board.size, purpose="companions")
        companions = next(chunks)[:, : cases.shape[-1]]
        crowd = torch.cat([cases[:, 0], companions.to(cases.device)])
        among = subject.logits(crowd.flip(0)).flip(0)[: len(cases)]
        applies = torch.zeros(len(cases), cases.shape[-1], dtype=torch.bool, device=subject.device)
        broken = applies.clone()
        worst = torch.zeros(applies.shape, dtype=torch.float64, device=subject.device)
        for row, (game, other) in enumerate(cases):
            length, other_length = (max(1, int((x != 0).sum())) for x in (game, other))
            shared = int((game == other).cumprod(0)[: min(length, other_length)].sum())
            if length < 2 or not shared or torch.equal(game, other):
                continue
            alone = subject.logits(game[None, :length])[0]
            otherwise = subject.logits(other[None, :other_length])[0]
            gaps = (
                torch.nan_to_num(alone) - torch.nan_to_num(among[row, :length]),
                torch.nan_to_num(alone[:shared]) - torch.nan_to_num(otherwise[:shared]),
            )
            last = max(length, other_length) - 1
            applies[row, last] = True
            worst[row, last] = max(float(gap.abs().max()) for gap in gaps)
        broken = applies & (worst > FLOAT_DISTANCE)
        also = {"largest difference of a logit": (worst, applies)}
        return Verdicts(applies, broken, nowhere(applies), also)


ORDER_PROPERTIES: tuple[Property, ...] = (
    Symmetry(),
    Transposition(),
    Telling(
        "distinction",
        "Different boards on the same squares get different predicted sets where the legal sets "
        "differ.",
        legal_sets_equal=False,
    ),
    Telling(
        "compression",
        "Different boards on the same squares get the same predicted set where the legal sets are "
        "the same.",
        legal_sets_equal=True,
    ),
    Causality(),
)
