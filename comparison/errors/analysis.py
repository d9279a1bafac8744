"""All that is said of some models' answers to a bench, worked out one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import methodcaller

import msgspec

from comparison.errors.causes import ASKED, CauseShares, cause_shares
from comparison.errors.layers import LAYER_GAMES, WrongDiscs, wrong_discs
from comparison.errors.telling import Telling, hardest
from comparison.reading.board_reader import BoardReader
from comparison.scoring.agreement import (
    Agreement,
    Alike,
    NearMisses,
    agreements,
    alike,
    near_misses,
)
from comparison.scoring.bench import Bars, no_bars
from comparison.scoring.matched import Pair, pairs
from comparison.scoring.records import ALL_KINDS, Records
from extracted_rules.benches.intervals import resampled_games
from extracted_rules.benches.matched import Matching
from extracted_rules.catalogue import Catalogue
from extracted_rules.catalogue.failures import RuleErrors, rule_errors


@dataclass(frozen=True)
class Analysis:
    """Each list is of what its module makes; rules: of the models that have a catalogue."""

    records: Records
    pairs: list[Pair]
    near: list[NearMisses]
    alike: list[Alike]
    agreements: list[Agreement]
    causes: list[CauseShares]
    wrong_discs: list[WrongDiscs]
    rules: list[RuleErrors]
    telling: list[Telling]

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        at = self.records.positions
        found = {name: value for name, value in vars(self).items() if name != "records"}
        plain: dict[str, object] = msgspec.to_builtins(found, enc_hook=methodcaller("tolist"))
        return {
            "bench": self.records.bench.source,
            "games": at.games,
            "positions": len(at),
            "models": {a.model: {"tau": a.tau, "trained": a.trained} for a in self.records.answers},
            **plain,
        }


def analyse(
    records: Records,
    readers: Mapping[str, BoardReader],
    catalogues: Mapping[str, Catalogue],
    seed: int,
    bars: Bars = no_bars,
) -> Analysis:
    """readers, catalogues: of those models that have one, by name. seed: of the bootstrap and of
    the controls."""
    at = records.positions
    weights = resampled_games(at.games, seed)
    matching = Matching(at, weights)
    firsts = records.first_of_pairs()
    step = bars("pairs", len(ALL_KINDS) * len(firsts) * (len(records.answers) - 1))
    paired = []
    for pair in pairs(records, matching, seed):
        paired.append(pair)
        step(1)
    step = bars("causes", 2 * ASKED * len(readers))
    caused = cause_shares(records, readers, seed, step)
    step = bars("boards", len(readers) * min(LAYER_GAMES, at.games))
    discs = wrong_discs(records, readers, progress=step)
    ruled = []
    for of in records.answers:
        if known := catalogues.get(of.model):
            step, said = bars("rules", at.games), (of.columns.top, of.columns.predicted)
            ruled.append(rule_errors(of.model, records.bench, said, known, weights, seed, step))
    return Analysis(
        records,
        paired,
        near_misses(records),
        alike(records, matching, seed),
        agreements(records),
        caused,
        discs,
        ruled,
        hardest(records),
    )
