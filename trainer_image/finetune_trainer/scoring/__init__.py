"""From an answer to a score between 0 and 1, without ever counting an unreadable answer as right."""
