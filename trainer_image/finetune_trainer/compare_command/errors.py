"""What is wrong with the files or options that a comparison was given."""


class InputError(ValueError):
    """The message names the file and line, or the option, and what would be right."""
