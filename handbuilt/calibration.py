"""Fitting a recipe's strengths through the interpreter, on random games.

Gradient descent on the rules' strengths alone: every square and direction shares them, and what a
neuron may listen to is fixed by its rule. The games of the fit ("calibration"), those on which
versions are compared ("choosing") and those of every report ("bench") have different seeds.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from extracted_rules.errors import UserError
from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.game import Replay, random_games, replay, stream_seed
from extracted_rules.othello.geometry import STANDARD
from handbuilt.interpreter import Interpreter, Trace
from handbuilt.interpreter.plies import parity
from handbuilt.strengths import Axes, Strengths, axes_of, digest, load_strengths

#: A square's logit is kept from minus infinity, so that one bad square cannot drown a batch.
FLOOR = -30.0
#: A position's rank loss weighs LATE / (its blank squares + SPARE): where few are left, errors are
#: frequent.
LATE = 20.0
SPARE = 6.0
#: A position's weight at or after a pass, where errors are frequent; elsewhere it is 1.
PASSED = 3.0


class CalibrationError(UserError):
    """A fit that cannot start, go on or be resumed; the message is one sentence."""


@dataclass(frozen=True)
class FitSettings:
    """What decides a fit's outcome; a resumed fit must have the same.

    positions: how many a game are asked for their legal moves, at random. Weights of the parts of
    the loss: flips are taught at every layer, passes where they are looked for, legality as
    cross-entropy and by rank.
    tied: axes (see ``strengths.AXES``) along which strengths may not move apart.
    """

    steps: int = 3600
    batch: int = 48
    positions: int = 12
    rate: float = 0.012
    seed: int = 1
    flips: float = 1.0
    rank: float = 6.0
    passes: float = 20.0
    tied: tuple[str, ...] = ()

    def free_scalars(self, axes: Axes) -> int:
        """How many numbers the fit may choose, for a board and its layers."""
        number = 0
        for f in fields(Strengths):
            read = axes.fitted(f.name)
            for place, axis in enumerate(axes_of(f.name)):
                if axis in self.tied:
                    read = read.any(place, keepdim=True)
            number += int(read.sum())
        return number


def starting_point(board: int = STANDARD, layers: int | None = None) -> Strengths:
    """`logic` for a board and layers, with the rules that it leaves out barely audible, so that
    they can be learned.

    Its table of what moves say is shared by two memories. The second fades at 0.3 of the rate, or
    both would learn the same.
    """
    start = load_strengths("logic", board, layers)
    claim = start.claim.clone()
    claim[:, 2:] -= 0.3
    return replace(
        start,
        near=start.near[:1].expand_as(start.near) / 2,
        near_kernel=start.near_kernel * torch.tensor([[1.0], [0.3]]),
        claim=claim,
        overclaim=torch.full_like(start.overclaim, 0.3),
        other_bias=start.line_bias,
        other_run=-start.line_run,
        other_end=-start.line_end,
        other_line=start.line,
        pass_base=torch.full_like(start.pass_base, 2.0),
        pass_early=start.pass_early + 1,
        pass_others=start.pass_others + 2,
        pass_claims=start.pass_claims + 4.5,
        pass_need=start.pass_need + 4,
        first_count=start.first_count + 0.05,
    ).only_fitted()


@dataclass(frozen=True)
class Progress:
    """A line of the log."""

    step: int
    loss: float
    flips: float
    excess: float
    rank: float
    passes: float
    seconds: float


def _flip_loss(trace: Trace, played: Replay) -> Tensor:
    context = played.geometry.context
    truth = played.flips[:, :context].to(trace.layers[0].flips.dtype)
    there = (played.tokens[:, :context] != 0).to(truth)
    there[:, 0] = 0
    total = truth.new_zeros(())
    for layer, now in enumerate(trace.layers):
        wrong = ((now.flips - truth).square().sum(-1) * there).sum() / there.sum()
        total = total + (0.2 + layer / len(trace.layers)) * wrong
    return total


def _pass_loss(trace: Trace, played: Replay) -> Tensor:
    """How badly positions judge whether somebody passed, as cross-entropy of log-odds.

    Up to where parity is right again, after a second pass: to the layer that looks for passes,
    boards behind a pass are a mixture of right and inverted discs.
    """
    movers = played.movers[:, : played.geometry.context]
    wrong = movers * parity(movers.shape[1]).to(movers) < 0
    again = (wrong.cumsum(-1) > 0) & ~wrong
    there = (movers != 0) & (again.cumsum(-1) == 0)
    there[:, 0] = False
    odds = trace.pass_log_odds.logcumsumexp(-1)
    loss = nn.functional.binary_cross_entropy_with_logits(odds, wrong.to(odds), reduction="none")
    return (loss * there).sum() / there.sum()


def _legal_loss(trace: Trace, played: Replay, at: Tensor) -> tuple[Tensor, Tensor]:
    """(excess cross-entropy, how near the best illegal square comes to the best legal one).

    Means over positions, weighted by PASSED.
    """
    squares, context = played.geometry.square_of_token[1:], played.geometry.context
    legal = played.legal[:, 1 : context + 1][..., squares]
    legal = legal.gather(1, at[..., None].expand(-1, -1, len(squares)))
    there = legal.any(-1)
    legal, logits = legal[there], trace.logits[there][:, 1:]
    log_p = logits.log_softmax(-1).clamp(min=FLOOR)
    number = legal.sum(-1)
    excess = -(log_p * legal).sum(-1) / number - number.log()
    worst = (4 * logits.masked_fill(legal, -1e4)).logsumexp(-1) / 4
    best = logits.masked_fill(~legal, -1e4).amax(-1)
    close = nn.functional.softplus(4 * (worst - best + 0.5))
    blanks = context + SPARE - at[there]
    passed = played.passes[:, 1 : context + 1].cumsum(-1) > 0
    weight = torch.where(passed.gather(1, at)[there], PASSED, 1.0)
    weight = weight / weight.mean()
    return (weight * excess).mean(), (weight * LATE / blanks * close).mean()


@contextmanager
def _deterministic() -> Iterator[None]:
    """Gradients add up in a fixed order, however the threads are scheduled."""
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA asks for this
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@dataclass
class _Fit:
    """Strengths that learn, and the moments of their optimiser."""

    start: Strengths
    strengths: Strengths
    optimizer: torch.optim.Adam

    @classmethod
    def of(cls, start: Strengths, plan: FitSettings, device: torch.device | str) -> "_Fit":
        leaves = start.apply(lambda x: x.to(device, torch.float32, copy=True).requires_grad_())
        tensors = list(vars(leaves).values())
        return cls(start, leaves, torch.optim.Adam(tensors, lr=plan.rate, betas=(0.9, 0.98)))

    @torch.no_grad()
    def tie(self, axes: tuple[str, ...]) -> None:
        """Let strengths that differ along tied axes only have moved equally far."""
        for f in fields(Strengths):
            places = [i for i, axis in enumerate(axes_of(f.name)) if axis in axes]
            if places:
                leaf = getattr(self.strengths, f.name)
                start = getattr(self.start, f.name).to(leaf)
                read = self.start.axes.fitted(f.name).to(leaf)
                moved = ((leaf - start) * read).sum(places, keepdim=True)
                leaf.copy_(start + read * moved / read.sum(places, keepdim=True).clamp(min=1))

    def update(self, plan: FitSettings, step: int, tokens: Tensor) -> Progress:
        since = time.perf_counter()
        progress = min(1.0, step / plan.steps)
        for group in self.optimizer.param_groups:
            warm = min(1.0, (step + 1) / 20)
            group["lr"] = plan.rate * warm * (0.51 + 0.49 * math.cos(math.pi * progress))
        tokens = tokens.to(self.strengths.run.device)
        rules, board = Interpreter(self.strengths), self.start.geometry
        played = replay(tokens, board=board.size)
        draw = torch.Generator().manual_seed(stream_seed("positions", plan.seed, step))
        at = torch.randint(1, board.context, (len(tokens), plan.positions), generator=draw)
        at = at.to(tokens.device)
        trace = rules(tokens[:, : board.context].long(), at)
        flips, passes = _flip_loss(trace, played), _pass_loss(trace, played)
        excess, rank = _legal_loss(trace, played, at)
        # Flips teach the layers first; at the end legal moves decide, the likeliest most of all.
        teach, choose = plan.flips * (1 - 0.8 * progress), plan.rank * progress
        loss = teach * flips + excess + choose * rank + plan.passes * passes
        if not bool(loss.isfinite()):
            raise CalibrationError(f"the fit diverged at step {step + 1}; choose a smaller rate")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for f in fields(Strengths):
            leaf = getattr(self.strengths, f.name)
            leaf.grad *= self.start.axes.fitted(f.name).to(leaf)
        nn.utils.clip_grad_norm_(list(vars(self.strengths).values()), 1.0)
        self.optimizer.step()
        self.tie(plan.tied)
        parts = [float(part.detach()) for part in (loss, flips, excess, rank, passes)]
        loss_, flips_, excess_, rank_, passes_ = parts
        seconds = time.perf_counter() - since
        return Progress(step + 1, loss_, flips_, excess_, rank_, passes_, seconds)

    def save(self, path: Path, plan: FitSettings, step: int) -> None:
        tensors = {}
        for f in fields(Strengths):
            leaf = getattr(self.strengths, f.name)
            tensors[f.name] = leaf.detach()
            for key, value in self.optimizer.state[leaf].items():
                tensors[f"{key}.{f.name}"] = torch.as_tensor(value)
        if not all(bool(t.isfinite().all()) for t in tensors.values()):
            raise CalibrationError(f"the fit diverged at step {step}; choose a smaller rate")
        metadata = {"plan": self.identity(plan), "step": str(step)}
        write_tensors(path, tensors, metadata)

    def identity(self, plan: FitSettings) -> str:
        """What must be the same when a fit goes on: its plan, and where it began."""
        sizes = {"board": str(self.start.geometry), "layers": self.start.plan.layers}
        return json.dumps({**asdict(plan), **sizes, "start": digest(self.start)})

    def load(self, path: Path, plan: FitSettings) -> int:
        try:
            tensors, metadata = read_tensors(path)
            saved, now = (json.loads(of) for of in (metadata["plan"], self.identity(plan)))
            step = int(metadata["step"])
            # States of before do not name the board, which decides where a fit begins.
            other = [name for name in now if saved.get(name, now[name]) != now[name]]
            if other:
                raise ValueError(f"it is of one with another {', '.join(other)}")
            for f in fields(Strengths):
                leaf = getattr(self.strengths, f.name)
                with torch.no_grad():
                    leaf.copy_(tensors[f.name].view(leaf.shape))
                self.optimizer.state[leaf] = {
                    key: tensors[f"{key}.{f.name}"].to("cpu" if key == "step" else leaf.device)
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise CalibrationError(f"{path} is no state of this fit: {error}") from None
        return step


def calibrate(
    plan: FitSettings,
    start: Strengths,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
    save_every: int = 50,
    report: Callable[[Progress], None] = lambda _: None,
) -> Strengths:
    """Fit strengths on a device, beginning with ``start``; float64 on the CPU.

    Leaves ``state.safetensors`` and ``log.jsonl`` in ``out``.

    A fit that was killed goes on where its last state was saved. Raises CalibrationError.
    """
    if not math.isfinite(plan.rate):
        raise CalibrationError(f"the learning rate is {plan.rate}, which is no finite number")
    state, log = out / "state.safetensors", out / "log.jsonl"
    if state.exists() and not resume:
        raise CalibrationError(f"{out} holds a fit already; resume it or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    fit = _Fit.of(start, plan, device)
    first = fit.load(state, plan) if resume and state.exists() else 0
    games = random_games(
        plan.steps * plan.batch,
        plan.seed,
        board=start.geometry.size,
        purpose="calibration",
        skip=first * plan.batch,
    )
    step, rest = first, torch.empty(0, start.geometry.max_plies, dtype=torch.uint8)
    for chunk in games:
        rest = torch.cat([rest, chunk])
        while len(rest) >= plan.batch:
            with _deterministic():
                line = fit.update(plan, step, rest[: plan.batch])
            rest, step = rest[plan.batch :], step + 1
            if step % save_every == 0 or step == plan.steps:
                fit.save(state, plan, step)
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(line)) + "\n")
            report(line)
    return fit.strengths.apply(lambda x: x.detach().cpu().double())
