"""`python3 -m finetune_operator`: in the cluster, or by hand with a kubeconfig. Settings come from the environment."""

import asyncio
import logging
import sys

from finetune_operator.main import run
from finetune_operator.settings import SettingsError, settings_from_environment


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = settings_from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
