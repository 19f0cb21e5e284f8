"""`finetune plan`: what prepare would decide, by hand and without a cluster."""
