"""Reconciles the four kinds: observe, plan, apply."""
