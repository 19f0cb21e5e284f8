"""`finetune suite`: other formats turned into a suite, and suites checked, without a cluster."""
