"""`finetune compare`: two files of predictions, no cluster, no model."""
