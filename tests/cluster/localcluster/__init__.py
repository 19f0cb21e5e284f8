"""A real Kubernetes of one node on one machine, built from source: for the demo and for the tests.

`python3 -m localcluster` is its command line; `load()` gives tests the running cluster.
"""

from localcluster.cluster import Cluster, load
from localcluster.errors import ClusterError
from localcluster.node_plan import ComponentName

__all__ = ["Cluster", "ClusterError", "ComponentName", "load"]
