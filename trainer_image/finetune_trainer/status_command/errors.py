"""What the user has to mend."""


class InputError(Exception):
    """The message names the option, or what kubectl said."""
