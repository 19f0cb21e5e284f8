"""Prepares, trains, evaluates and compares. In a pod, or by hand; knows nothing of Kubernetes."""
