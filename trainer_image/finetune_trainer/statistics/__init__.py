"""From two models' scores on the same examples to an interval, a p value and a verdict. Pure: no files, no clock."""
