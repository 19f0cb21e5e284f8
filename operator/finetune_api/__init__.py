"""The contract: what a user may write and gets back, and how operator and trainer talk. Imports nothing of ours."""
