"""What the kubelet asks: is the operator alive, is it ready? And what Prometheus asks."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from finetune_operator.views import Key
from finetune_operator.workqueue import WorkQueue


class Probes:
    """`/healthz` fails when the queue is stuck or a task has died, `/readyz` until the watches have listed."""

    def __init__(
        self, queue: WorkQueue[Key], stuck_after_seconds: float, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._stuck_after = stuck_after_seconds
        self.ready = False
        self.defect = ""
        """What must not have ended, and has."""

    async def _alive(self, _: web.Request) -> web.Response:
        if self.defect:
            return web.Response(status=503, text=f"{self.defect}\n")
        age = self._queue.oldest_age()
        if age > self._stuck_after:
            return web.Response(status=503, text=f"a work item has been waiting or worked on for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def _is_ready(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self.ready else web.Response(status=503, text="starting\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def serve(self, port: int) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._is_ready)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        return runner
