"""What is measured of pg_durable itself, one module a topic.

| module     | what it holds                                                        |
|------------|----------------------------------------------------------------------|
| measure    | what a measure is                                                    |
| drain      | starting many instances at once, and what they take and cost         |
| throughput | steps and instances a second, by the shape of the workflow           |
| latency    | from a start to its end, idle and under load; signals; timers        |
| starts     | starts a second                                                      |
| traffic    | round trips and statements, of steps and of an idle worker           |
| crowds     | many sleepers, many roles: nothing may grow with them                |
| history    | many instances that have ended: nor with them                        |
| held       | a transaction held open under load                                   |
"""

from pg_durable.bench.measures import (
    crowds,
    held,
    history,
    latency,
    starts,
    throughput,
    traffic,
)
from pg_durable.bench.measures.measure import Measure

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        *starts.MEASURES,
        *throughput.MEASURES,
        *latency.MEASURES,
        *traffic.MEASURES,
        *crowds.MEASURES,
        *history.MEASURES,
        *held.MEASURES,
    )
}

__all__ = ["MEASURES", "Measure"]
