"""What is wrong with what was given on the command line."""


class InputError(ValueError):
    """An option or a file is wrong; the message names it and the remedy."""
