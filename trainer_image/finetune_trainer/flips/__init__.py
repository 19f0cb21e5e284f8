"""Answers that changed from wrong to right or back, and why the wrong one is wrong."""
