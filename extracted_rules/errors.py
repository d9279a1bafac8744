"""What a user can do wrong, as opposed to a defect."""


class UserError(ValueError):
    """The message is one sentence for whoever gave the input; the command line prints it and exits
    with code 2."""
