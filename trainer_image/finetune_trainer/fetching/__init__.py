"""Downloads what lies in a storage that speaks S3."""
