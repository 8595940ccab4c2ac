"""For celery: a broker of files, so that the tests need no other server; each task writes its answer to a file."""

import json
import os
import time
from pathlib import Path

import shop_sites
from celery import Celery

FOLDER = Path(os.environ["SHOP_FOLDER"])

application = Celery("shop_tasks", broker="filesystem://localhost")
application.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER / "queue"),
        "data_folder_out": str(FOLDER / "queue"),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.01,
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
)


@application.task(name="answer")
def answer(name: str) -> None:
    time.sleep(0.002)  # other workers, threads and green threads get their share of the tasks
    part, whole = FOLDER / "answers" / f"{name}.part", FOLDER / "answers" / name
    part.write_text(json.dumps(shop_sites.answer()))
    part.rename(whole)
