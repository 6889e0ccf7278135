"""The engines under the house: PostgreSQL and NATS, embedded and supervised, or given by URL.

Enter through ``Engines`` (start and stop), ``running`` (find a started instance) and ``Supervisor``
(keep other processes alive beside them). Read next: ``instance.py``.
"""

from caiwutong.engines.instance import Engines, EngineUrls, running
from caiwutong.engines.nats import NatsEngine
from caiwutong.engines.postgres import PostgresEngine
from caiwutong.engines.supervisor import (
    Health,
    ProcessSpec,
    State,
    Supervisor,
    until_told_to_stop,
)

__all__ = [
    "EngineUrls",
    "Engines",
    "Health",
    "NatsEngine",
    "PostgresEngine",
    "ProcessSpec",
    "State",
    "Supervisor",
    "running",
    "until_told_to_stop",
]
