"""How many groups of examples it takes to say anything. Here without what computes with them, which loads slowly."""

MINIMUM_EFFECTIVE_GROUPS = 20
MINIMUM_CHANGED_GROUPS = 10
