"""The rules at rule level: the specification that weights must meet.

Plain tensor code over games, no transformer, differentiable in the strengths, for any board and
any number of layers from four on (``handbuilt.plan`` says which layer has which role). A position
has seen moves 0..t; its *move* is move t, its frame is the mover's: +1 mine, -1 theirs. For each
layer it computes

- a **belief** about every square before the move: a *leaky read* of what earlier positions told,
  discs of the same side counted as mine, of the other side as theirs; who claims too much is heard
  more faintly (``reading``). Layer 0, which nobody told anything, guesses by who put discs down and
  by the moves near them (``first_guess``);
- the **claims**: for each bracket (two discs of mine around a run of theirs, one end being the
  move), how surely it flips; the **flips** are the sum over brackets (``claims``);
- the **clipped belief**: belief and clipped belief of one layer before, sharpened and clipped;
- the **message** to later positions: the flips, and what brackets say about their ends;
- the **need**: a legal move flips something, so while too little is claimed, doubts are forgiven.

Once, in the middle, every position asks whether the side that parity names had a line at all: by
this move or elsewhere. If none, that side had to **pass**, and from the next layer on the **side**
of this and all later positions is the opposite (``passes``).

The last two layers turn the board after the move into legal moves (``legality``).

``layers`` runs these stages in order; ``programs`` has a module of the same name for each of them.
"""

from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.layers import Interpreter
from handbuilt.interpreter.state import Layer, Trace

__all__ = ["Facts", "Interpreter", "Layer", "Trace"]
