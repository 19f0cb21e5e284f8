"""What the examples of a dataset are like: findings, limits, and the report that a person reads."""
