"""From rules and strengths to weights, a stage under the same name as in the interpreter.

Read beside ``handbuilt.interpreter``: each module there has one here of the same name, and a line
there is a family of heads or neurons here. The residual stream holds one named subspace a quantity
(``state``); what a layer renews, a *forget* head or neuron of it first takes away. ``layers``
calls all stages in the order in which heads and neurons get their numbers.
"""

from handbuilt.compiler.layers import compile_rules

__all__ = ["compile_rules"]
