"""What a comparison found, for people: a page that a manager reads in a minute, and the figures behind it."""
