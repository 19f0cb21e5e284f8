"""What is wrong with examples that can be read: copies, contradictions, leaks, and what they are about."""
