"""What an earlier check found as a bound for a later one."""

import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path

from comparison.properties.checking import Report
from comparison.properties.definition import PropertyError
from extracted_rules.benches.made_games import RANDOM
from extracted_rules.files import uncompressed
from extracted_rules.othello.geometry import STANDARD

#: A rate is held to have risen if its interval of so many standard errors lies wholly above the
#: known rate's 95 % interval: by chance that happens to one property in some ten thousand.
SURE = 3.3


#: Properties of which a single broken case is too many where none is known, hunted ones included.
NEVER = ("hostile", "causality")

Known = dict[tuple[str, str], dict[str, float]]


def read_known(path: Path, board: int) -> Known:
    """The rates on random games of an earlier ``--json``, by model and property; the file may have
    been compressed since.

    Raises PropertyError for another file, for one of another board, and for none.
    """
    try:
        reports = json.loads(uncompressed(path))
        boards = {int(model.get("board", STANDARD)) for model in reports}
        known = {
            (str(model["model"]), str(found["property"])): {
                key: float(rate[key]) for key in ("broken", "high")
            }
            for model in reports
            for found in model["properties"]
            if (rate := found["strata"].get(RANDOM, {}).get("all", {}).get("all"))
        }
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise PropertyError(f"{path} is compressed, and damaged or cut short") from None
    except OSError as error:
        raise PropertyError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PropertyError(f"{path} is not what a check wrote with --json") from None
    for of in boards - {board}:
        raise PropertyError(
            f"{path} is of models of {of} x {of}, and these are of {board} x {board}"
        )
    return known


def check_known(known: Known, models: Iterable[str]) -> None:
    """Raises PropertyError for a model that nothing is known of."""
    for name in models:
        if not any(model == name for model, _ in known):
            raise PropertyError(f"nothing is known of {name}: no earlier check of it is there")


def risen(report: Report, known: Known) -> list[str]:
    """A sentence for every rate that is above what is known."""
    found = []
    for name, finding in report.findings.items():
        before, ratio = known.get((report.model, name)), finding.overall()
        if before is None:
            continue
        broken = int(ratio.x) + finding.elsewhere()[0]
        if name in NEVER and broken and not before["broken"]:
            found.append(f"{report.model}: {name} is broken in {broken} cases, known is none")
        elif ratio.y and ratio.rate(z=SURE).low > before["high"]:
            found.append(
                f"{report.model}: {name} is broken in {100 * ratio.value:.2f} % of "
                f"{int(ratio.y):,} cases, known is at most {100 * before['high']:.2f} %"
            )
    return found
