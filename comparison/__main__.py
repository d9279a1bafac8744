"""``python -m comparison``, the form that torchrun starts: the command line itself."""

from comparison.commands.cli import main

main()
