"""What was published about trained Othello-GPTs, asked of any model.

``from comparison.findings import FINDINGS, Studied``
"""

from comparison.findings.definition import Found
from comparison.findings.registry import FINDINGS, ask, ask_all, named
from comparison.findings.studied import FindingsError, Studied

__all__ = ["FINDINGS", "FindingsError", "Found", "Studied", "ask", "ask_all", "named"]
