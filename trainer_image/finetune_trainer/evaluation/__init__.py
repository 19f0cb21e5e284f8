"""Asking a model the questions of a suite: what is asked, how answers are generated, how unfinished work is kept."""
