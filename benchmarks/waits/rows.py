"""Write deferred task instances and their triggers into the metadata database; a program of its own.

Standard input has a JSON list of ``[class path, arguments]``, one for each task instance.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.dag import DagModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.trigger import Trigger
from airflow.sdk import DAG, task, timezone
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from benchmarks.airflow_home import BUNDLE


def main() -> None:
    triggers: list[tuple[str, dict[str, Any]]] = json.load(sys.stdin)

    @task
    def wait(number: int) -> None:
        """A task that waits in the triggerer."""

    with DAG("waits") as dag:
        wait.expand(number=list(range(len(triggers))))
    manager: Any = DagBundlesManager
    manager().sync_bundles_to_db()
    serialized = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db(BUNDLE, None, [serialized])
    SerializedDagModel.write_dag(serialized, BUNDLE)
    with create_session() as session:
        now = timezone.utcnow()
        known: Any = SerializedDagModel.get("waits", session=session)
        run = known.dag.create_dagrun(
            run_id="waits",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        instances = run.get_task_instances(session=session)
        if len(instances) != len(triggers):
            raise RuntimeError(f"{len(instances)} task instances instead of {len(triggers)}")
        for instance, (path, arguments) in zip(instances, triggers, strict=True):
            trigger = Trigger(classpath=path, kwargs=arguments)
            session.add(trigger)
            session.flush()
            instance.state, instance.trigger_id = "deferred", trigger.id
            instance.next_method, instance.next_kwargs = "execute_complete", {}
            instance.start_date = now
        session.get_one(DagModel, "waits").is_paused = False


if __name__ == "__main__":
    main()
