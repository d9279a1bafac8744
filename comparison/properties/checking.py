"""Put a model to the rules: ``check(model)``."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from comparison.properties.beliefs import BELIEF_PROPERTIES
from comparison.properties.definition import Property, PropertyError, Verdicts, transcript
from comparison.properties.hostile import HOSTILE_PROPERTIES
from comparison.properties.orders import ORDER_PROPERTIES
from comparison.properties.positions import POSITION_PROPERTIES, margin
from comparison.properties.shrinking import TRIED, Failure, reduce, smallest
from comparison.properties.subjects import Subject
from comparison.reading.board_reader import BoardReader
from comparison.scoring.bench import Model, board_of, choose_threshold
from comparison.scoring.recording import device_of
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.benches.made_games import (
    BATCH,
    HUNTED,
    OPENINGS,
    RANDOM,
    draw_plans,
    expand,
    openings,
    seed_of,
)
from extracted_rules.othello.game import random_games, stream_seed
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Every property, in the order in which a report shows them.
PROPERTIES: dict[str, Property] = {
    prop.name: prop
    for prop in (*POSITION_PROPERTIES, *ORDER_PROPERTIES, *BELIEF_PROPERTIES, *HOSTILE_PROPERTIES)
}
#: Random games, and as many that are hunted.
EXAMPLES = 200
#: Of the random games this share, those with the largest margins, are near misses.
NEAR_MISS_SHARE = 0.15

#: Called with the steps done and all steps.
Progress = Callable[[int, int], None]


@dataclass
class Finding:
    """What came of one property.

    missing: why it was not asked. strata[source][group][name]: broken positions among those where
    it applies, with the game as the unit; also[source][measure]: the measures beside it, and
    also_by[source][measure][group][name]. failures: as found, the smallest of each length, with the
    source of the game. smallest: the smallest counterexample that could be made of them; None also
    where rounding decided, so that no case stands alone. board: squares a side.
    """

    prop: Property
    missing: str | None = None
    strata: dict[str, dict[str, dict[str, Ratio]]] = field(default_factory=dict)
    also: dict[str, dict[str, Ratio]] = field(default_factory=dict)
    also_by: dict[str, dict[str, dict[str, dict[str, Ratio]]]] = field(default_factory=dict)
    failures: list[tuple[Failure, str]] = field(default_factory=list)
    smallest: Failure | None = None
    board: int = STANDARD

    def overall(self, source: str = RANDOM) -> Ratio:
        """Broken positions of a source's games."""
        return self.strata.get(source, {}).get("all", {}).get("all", Ratio())

    def elsewhere(self) -> tuple[int, int]:
        """(broken, cases) over all sources but random games."""
        ratios = [self.overall(source) for source in self.strata if source != RANDOM]
        return int(sum(r.x for r in ratios)), int(sum(r.y for r in ratios))

    @property
    def broken(self) -> Estimate:
        """The share of random games' positions where it is broken, with its interval."""
        return self.overall().rate()

    @property
    def holds(self) -> bool:
        """Whether it was asked and never found broken."""
        broken, cases = self.elsewhere()
        broken, cases = broken + int(self.overall().x), cases + int(self.overall().y)
        return self.missing is None and cases > 0 and not broken

    @property
    def transcripts(self) -> list[str]:
        """The smallest counterexample's games; a hostile one, which is no game, by its tokens."""
        if self.smallest is None:
            return []
        if not self.prop.legal:
            return [" ".join(map(str, row)) for row in self.smallest.case.tolist()]
        return [transcript(row, self.board) for row in self.smallest.case]

    @property
    def square(self) -> str | None:
        """The label of the smallest counterexample's offending square, if it has one."""
        if self.smallest is None or self.smallest.square < 0:
            return None
        return Geometry(self.board).labels[self.smallest.square]

    def add(self, source: str, cases: Tensor, verdicts: Verdicts) -> None:
        """Count some judged cases, and keep the smallest failure."""
        masks = [("all", "all", torch.ones_like(verdicts.applies)), *verdicts.strata]
        groups = self.strata.setdefault(source, {})
        for group, name, mask in masks:
            here = verdicts.applies & mask
            ratio = groups.setdefault(group, {}).setdefault(name, Ratio())
            ratio.add((verdicts.broken & here).sum(-1), here.sum(-1))
        for name, (sums, counts) in verdicts.also.items():
            ratio = self.also.setdefault(source, {}).setdefault(name, Ratio())
            ratio.add(sums.double().sum(-1), counts.double().sum(-1))
            by = self.also_by.setdefault(source, {}).setdefault(name, {})
            for group, stratum, mask in verdicts.strata:
                ratio = by.setdefault(group, {}).setdefault(stratum, Ratio())
                ratio.add((sums * mask).double().sum(-1), (counts * mask).double().sum(-1))
        found = smallest(cases, verdicts.broken, verdicts.square, TRIED)
        of_length: dict[int, tuple[Failure, str]] = {}
        for pair in [*self.failures, *((failure, source) for failure in found)]:
            kept = of_length.setdefault(pair[0].plies, pair)
            of_length[pair[0].plies] = min(kept, pair, key=lambda p: p[0].key)
        self.failures = [of_length[plies] for plies in sorted(of_length)[:TRIED]]

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        smallest = None
        if self.smallest is not None:
            smallest = {
                "games": self.transcripts,
                "moves": self.smallest.plies,
                "square": self.square,
                "found_in": self.failures[0][1],
            }
        return {
            "property": self.prop.name,
            "sentence": self.prop.sentence,
            "source": self.prop.source,
            "missing": self.missing,
            "smallest_counterexample": smallest,
            "strata": _plain(self.strata, _counts),
            "also": _plain(self.also, lambda ratio: vars(ratio.mean())),
            "also_by": _plain(self.also_by, lambda ratio: vars(ratio.mean())),
        }


#: Ratios by names, in as many steps as there are.
Ratios = Mapping[str, "Ratio | Ratios"]


def _plain(found: Ratios, numbers: Callable[[Ratio], dict[str, object]]) -> dict[str, object]:
    """What ``numbers`` makes of every ratio that has cases."""
    return {
        name: numbers(part) if isinstance(part, Ratio) else _plain(part, numbers)
        for name, part in found.items()
        if not isinstance(part, Ratio) or part.y
    }


def _counts(ratio: Ratio) -> dict[str, object]:
    return {"cases": int(ratio.y), "broken": int(ratio.x), **vars(ratio.rate())}


@dataclass
class Report:
    """All findings about a model, by the property's name. model: what it is called; board: squares
    a side."""

    model: str
    board: int
    tau: float
    examples: int
    seed: int
    findings: dict[str, Finding]

    def __getitem__(self, name: str) -> Finding:
        return self.findings[name]

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        return {
            "model": self.model,
            "board": self.board,
            "tau": self.tau,
            "examples": self.examples,
            "seed": self.seed,
            "properties": [finding.as_dict() for finding in self.findings.values()],
        }


def named(names: Iterable[str]) -> list[Property]:
    """The properties of some names. Raises PropertyError, which offers the nearest name."""
    found = []
    for name in names:
        if name not in PROPERTIES:
            near = difflib.get_close_matches(name, PROPERTIES, 1, 0.0)[0]
            raise PropertyError(f"no property is called {name!r}; the nearest is {near!r}")
        found.append(PROPERTIES[name])
    return found


def _checked(model: Model, device: torch.device, geometry: Geometry) -> None:
    """Raises PropertyError for a model that does not answer games of this board."""
    moves = geometry.context
    tokens = torch.ones(1, moves, dtype=torch.int64, device=device)
    try:
        with torch.inference_mode():
            shape = tuple(model(tokens).shape)
    except (ValueError, IndexError, RuntimeError) as error:
        raise PropertyError(f"the model does not read {moves} moves: {error}") from None
    if shape != (1, moves, geometry.n_tokens):
        raise PropertyError(
            f"the model gives {list(shape)} for {moves} moves; a model of Othello games gives "
            f"logits [games, moves, {geometry.n_tokens}]"
        )


def _batches(games: Tensor) -> Iterator[Tensor]:
    """At most BATCH games or cases [n, ..., T] at a time, none longer than the longest of them."""
    for start in range(0, len(games), BATCH):
        part = games[start : start + BATCH]
        yield part[..., : max(1, int((part != 0).sum(-1).max()))]


def _some(games: Tensor, count: int, seed: int) -> Tensor:
    """At most so many games, drawn by chance, in their order."""
    generator = torch.Generator().manual_seed(stream_seed("properties: recorded", seed))
    return games[torch.randperm(len(games), generator=generator)[:count].sort().values]


class _Check:
    """One model under test: every property is asked about the same games."""

    def __init__(self, subject: Subject, asked: Iterable[Property], examples: int, seed: int):
        self.subject, self.examples, self.seed = subject, examples, seed
        self.board = subject.geometry.size
        self.findings = {p.name: Finding(p, p.missing(subject), board=self.board) for p in asked}
        #: Random games with their largest margins.
        self.margins: list[tuple[float, Tensor]] = []

    @property
    def able(self) -> list[Finding]:
        """Of the properties that can be asked of this model."""
        return [finding for finding in self.findings.values() if finding.missing is None]

    def ask(self, source: str, games: Tensor) -> None:
        """About legal games uint8 [B, T]."""
        if source == RANDOM:
            largest = margin(self.subject.view(games)).amax(-1).tolist()
            self.margins.extend(zip(largest, games, strict=True))
        for finding in self.able:
            for part in _batches(finding.prop.cases(games, self.seed, self.board)):
                finding.add(source, part, finding.prop.judge(self.subject, part))

    def ask_as_they_are(self, source: str, games: Tensor) -> None:
        """About what lies in recorded games uint8 [B, T] themselves, at each case's last move."""
        for finding in self.able:
            cases = finding.prop.collected(games, self.seed, self.board).to(self.subject.device)
            for part in _batches(cases):
                verdicts = finding.prop.judge(self.subject, part).at_the_end_of(part)
                finding.add(f"{source}, as they are", part, verdicts)

    def hunted(self) -> Iterator[tuple[str, Tensor]]:
        """Games that are likelier to break something, once random games are behind us."""
        # Errors are all as near as can be.
        self.margins.sort(key=lambda pair: -min(pair[0], 0.0))
        share = max(1, int(NEAR_MISS_SHARE * len(self.margins)))
        nearest = [game for _, game in self.margins[:share]]
        pool = torch.zeros(share, self.subject.geometry.max_plies, dtype=torch.uint8)
        for row, game in zip(pool, nearest, strict=True):
            row[: len(game)] = game
        plans = draw_plans(self.examples, seed_of("plans", self.seed), self.board)
        for source in HUNTED:
            if chosen := [plan for plan in plans if plan.source == source]:
                yield source, expand(chosen, pool, self.board)

    def sources(self) -> Iterator[tuple[str, Tensor]]:
        """All games but recorded ones."""
        board, device = self.board, self.subject.device
        for games in random_games(self.examples, self.seed, board=board, device=device):
            yield RANDOM, games
        yield OPENINGS, openings(board)
        yield from self.hunted()


@torch.inference_mode()
def check(
    model: Model,
    *,
    properties: Sequence[str] = tuple(PROPERTIES),
    examples: int = EXAMPLES,
    seed: int = 1,
    tau: float | None = None,
    reader: BoardReader | None = None,
    played: Mapping[str, Tensor] | None = None,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Put a model, tokens int64 [B, T] to logits [B, T, tokens], to the rules of the game.

    examples: random games, which give the rates, and as many hunted ones. tau: the probability
    above which a move counts as predicted, by default chosen as everywhere. reader: what reads the
    model's board, for the properties that ask about it. played: recorded games, uint8 [B, P], by
    the name of their source: ``examples`` of each, drawn by chance, are asked about, too.

    Raises PropertyError for a property that is not there, no examples, or a model that is none.
    """
    if examples < 1:
        raise PropertyError("at least one example is needed")
    asked, recorded = named(properties), dict(played or {})
    device, geometry = device_of(model), Geometry(board_of(model))
    _checked(model, device, geometry)
    if tau is None:
        tau = choose_threshold(model, seed, device)
    run = _Check(Subject(model, tau, device, reader), asked, examples, seed)
    done, steps = 0, _steps(run, recorded.values())
    some = ((source, _some(games, examples, seed)) for source, games in recorded.items())
    for source, games in chain(run.sources(), some):
        for batch in _batches(games.to(device)):
            run.ask(source, batch)
            progress(done := done + 1, steps)
        if source in recorded:
            run.ask_as_they_are(source, recorded[source])
    for finding in run.findings.values():
        found = [failure for failure, _ in finding.failures]
        finding.smallest = reduce(finding.prop, run.subject, found)
        progress(done := done + 1, steps)
    progress(steps, steps)
    return Report("model", geometry.size, tau, examples, seed, run.findings)


def _steps(run: _Check, recorded: Iterable[Tensor]) -> int:
    """Batches of games, at most, and properties whose counterexamples are made smaller."""
    sizes = [run.examples, len(openings(run.board)), *[run.examples] * len(HUNTED)]
    sizes += [min(run.examples, len(games)) for games in recorded]
    return sum(-(-size // BATCH) for size in sizes) + len(run.findings)
