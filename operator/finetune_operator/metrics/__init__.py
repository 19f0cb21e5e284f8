"""What Prometheus is told, documented in docs/metrics.md.

What happens is counted where it happens, at a cost that does not depend on how much there is. What there is is counted
when somebody asks, from the cache. Nothing here asks the API server for anything.
"""

from prometheus_client import disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each began: a series more that nobody asks for
