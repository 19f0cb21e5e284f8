"""The contract: what a user may write, what they get back, and how operator and trainer talk. Imports nothing of ours."""
