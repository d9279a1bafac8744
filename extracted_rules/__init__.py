"""The game, and what is known of playing it: rules by name, rules found in models; no model.

Nothing here knows a model class: everything works on tensors of tokens, squares and boards.
"""
