"""`finetune status`: who waits for GPUs, who is in front, and how long it may last."""
