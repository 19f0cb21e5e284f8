"""What happens when: pure decisions, a module a kind. From what is observed to what shall be done."""
