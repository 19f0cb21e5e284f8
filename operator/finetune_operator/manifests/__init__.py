"""What the children look like. Pure: from specs to JSON."""
