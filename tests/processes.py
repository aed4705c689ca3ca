"""Processes that do not wait for imports, alone or many that train together.

Each is forked from a server that imported torch once, because to start Python and import torch
takes longer than what most tests do in a process.
"""

import multiprocessing
import os
import socket
import sys
import traceback
from multiprocessing.connection import wait

SECONDS = 200
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
context = multiprocessing.get_context(METHOD)
if METHOD == "forkserver":
    context.set_forkserver_preload(
        ["datasets", "torch._dynamo", "torch.distributed.fsdp", "minibert.pretraining.run"]
    )


def in_processes(number, log, function, *arguments, **options):
    """Call a function, which a module must hold by its name, in so many processes at once.

    They have the environment that `torchrun` gives to processes that train together. Returns an
    empty text if the function returned in all of them, else what they wrote and how they ended.
    Once a process fails, the others are killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        context.Process(target=_call, args=(rank, number, port, log, function, arguments, options))
        for rank in range(number)
    ]
    for process in started:
        process.start()
    living = {process.sentinel: process for process in started}
    while living and (ended := wait(living, SECONDS)):
        if any(living.pop(sentinel).exitcode for sentinel in ended):
            break
    for process in living.values():
        process.kill()
    for process in started:
        process.join()
    codes = [process.exitcode for process in started]
    said = log.read_text("utf-8", "replace") if log.exists() else ""
    return f"{said}\nexit codes: {codes}" if any(codes) else ""


def _call(rank, number, port, log, function, arguments, options):
    """In the new process."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    try:
        function(*arguments, **options)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        sys.__stderr__.flush()
        os._exit(1)
