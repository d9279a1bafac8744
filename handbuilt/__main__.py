"""``python -m handbuilt``: the same command line as the ``handbuilt`` script.

An entry point, not a module to import: it alone may know the layer above.
"""

from comparison.cli import main

main()
