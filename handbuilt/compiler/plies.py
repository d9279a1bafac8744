"""What depends on the position alone, as tables over the 59 positions."""

import numpy as np

from extracted_rules.othello.notation import CONTEXT
from handbuilt.interpreter.plies import lateness, parity
from handbuilt.weights import Array

#: [59]: +1 where parity names black, else -1.
PARITY: Array = parity(CONTEXT).numpy()
#: [59, 59]: +1 where parity names the same side, else -1.
AGREES: Array = np.outer(PARITY, PARITY)
#: [59, 1]: 1 at the first position, whose board is known by heart.
FIRST: Array = np.eye(CONTEXT)[:, :1]
#: [59, 1]: 0 at the first position, 1 at the last.
LATE: Array = lateness(CONTEXT).numpy()[:, None]
