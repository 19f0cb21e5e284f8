"""Trains an adapter as `prepare` planned, from the last complete checkpoint if there is one."""
