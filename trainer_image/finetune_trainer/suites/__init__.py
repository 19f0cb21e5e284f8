"""Suites as data: the questions, how each is scored, and the generator of the built-in suite `finance`."""
