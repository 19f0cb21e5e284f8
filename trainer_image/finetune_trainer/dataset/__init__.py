"""The examples to learn from: read, checked line by line, split, and counted in tokens."""
