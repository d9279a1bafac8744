"""Rules as data: records of heads and neurons over named directions, a stage a module.

Read beside ``handbuilt.interpreter``: each module there has one here of the same name, and a line
there is a record here. The residual stream holds one named family of directions a quantity
(``directions``); what a layer renews, a *forget* head or neuron of it first takes away. ``layers``
collects all stages in a :class:`Program`, which ``handbuilt.compiler`` makes weights of.
"""

from handbuilt.programs.layers import write
from handbuilt.programs.records import Directions, Head, Link, Neurons, Program, Term

__all__ = ["Directions", "Head", "Link", "Neurons", "Program", "Term", "write"]
