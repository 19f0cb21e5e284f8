"""`finetune dataset`: makes synthetic datasets, and tells how two datasets differ."""
