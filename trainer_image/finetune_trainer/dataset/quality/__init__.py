"""What the examples of a dataset are like: copies, leaks, contradictions, what they are about, and the report."""
