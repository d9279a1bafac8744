"""What is known about the game and about the rules found in trained Othello-GPTs.

Nothing here knows a model class: everything works on tensors of tokens, squares and boards.
"""
