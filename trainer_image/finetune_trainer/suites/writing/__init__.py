"""The words of the suite `finance` and of the demo's training data: companies, patterns, and how they are filled."""
