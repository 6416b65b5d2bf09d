"""One function over many items: in this process, on this machine, on a cluster."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from boldformer.errors import InputError, import_extra

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONNECT_TIMEOUT_S = 5
_TRIES_ALONE = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """In place of a result: every worker that took the item died.

    Parameters
    ----------
    reason : str
        What happened, and what can be done; also its ``str``.
    """

    reason: str

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason


_KILLED = Failure(
    "the worker process was killed every time it took this, alone too; "
    "most often by lack of memory: give workers more, or use fewer at once"
)


def run_each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    n_jobs: int = 1,
    scheduler: str = "",
) -> Iterator[tuple[Item, Result | Failure]]:
    """Apply a function to each item; every item comes back exactly once.

    With several processes the order is that of completion. A worker that is killed
    loses nothing: the items it may have held are run again, so the function must bear
    being run twice on one item.

    Parameters
    ----------
    function : callable
        Applied to one item. For several processes it can be pickled, as can the items
        and what it returns. An exception it raises ends everything and is raised here.
    items : iterable
        What to apply it to.
    n_jobs : int
        Processes on this machine: 1 works in this very process, -1 takes every core.
    scheduler : str
        Address of a Dask scheduler that is running, ``tcp://host:port``; its workers
        are used instead of this machine's processes.

    Yields
    ------
    item
        The very object given.
    result
        What the function returned for it, or `Failure` when it killed its workers.

    Raises
    ------
    InputError
        When the scheduler cannot be reached, or is lost before the end.
    MissingExtraError
        When a scheduler is given and Dask is not installed.

    Notes
    -----
    Closing the iterator (as Ctrl-C does) cancels what has not started. Processes of
    this machine are stopped; a Dask worker first ends the item it is at.
    """
    todo = list(items)
    if scheduler:
        yield from _on_cluster(function, todo, scheduler)
    elif n_jobs == 1 or len(todo) < 2:
        for item in todo:
            yield item, function(item)
    else:
        yield from _in_processes(function, todo, n_jobs)


# --- this machine -----------------------------------------------------------------


def _in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], n_jobs: int
) -> Iterator[tuple[Item, Result | Failure]]:
    waiting = list(range(len(items)))
    while waiting:
        taken: set[int] = set()
        returned: set[int] = set()
        try:
            for index, result in _pool(function, items, waiting, n_jobs, taken):
                returned.add(index)
                yield items[index], result
        except TerminatedWorkerError:
            # A killed worker takes the whole pool down and leaves no word on whose
            # item it was: what was under way is run alone.
            for index in sorted(taken - returned):
                yield items[index], _alone(function, items[index])
        waiting = [index for index in waiting if index not in taken]


def _pool(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    indices: Sequence[int],
    n_jobs: int,
    taken: set[int],
) -> Iterator[tuple[int, Result]]:
    """Run items in a pool, noting in `taken` which ones it was handed."""

    def tasks() -> Iterator[Any]:
        for index in indices:
            taken.add(index)
            yield delayed(_numbered)(function, index, items[index])

    # Nothing is handed out ahead of time, so that little is under suspicion when
    # a worker dies.
    parallel = Parallel(
        n_jobs=n_jobs,
        return_as="generator_unordered",
        pre_dispatch="n_jobs",
        batch_size=1,
    )
    with contextlib.closing(parallel(tasks())) as results:
        yield from results


def _numbered(
    function: Callable[[Item], Result], index: int, item: Item
) -> tuple[int, Result]:
    return index, function(item)


def _alone(function: Callable[[Item], Result], item: Item) -> Result | Failure:
    for _ in range(_TRIES_ALONE):
        # joblib runs a single job in this process, which must survive it.
        with contextlib.suppress(TerminatedWorkerError):
            return Parallel(n_jobs=2)([delayed(function)(item)])[0]
    return _KILLED


# --- a Dask cluster ---------------------------------------------------------------


def _on_cluster(
    function: Callable[[Item], Result], items: Sequence[Item], address: str
) -> Iterator[tuple[Item, Result | Failure]]:
    distributed = import_extra("distributed", "dask")
    client = _connect(distributed, address)
    futures: dict[Any, Item] = {}
    killed: list[Item] = []
    try:
        submitted = client.map(function, items, pure=False) if items else []
        futures.update(zip(submitted, items, strict=True))
        for future in distributed.as_completed(submitted, loop=client.loop):
            try:
                yield futures[future], future.result()
            except distributed.KilledWorker:
                killed.append(futures[future])
        # Dask blames all that a dead worker held; alone, only the culprit fails.
        for item in killed:
            future = client.submit(function, item, pure=False)
            futures[future] = item
            try:
                yield item, future.result()
            except distributed.KilledWorker:
                yield item, _KILLED
    except distributed.client.FutureCancelledError:
        raise InputError(
            f"lost the Dask scheduler at {address}",
            fix="start it and run again: what is done is kept",
        ) from None
    finally:
        client.cancel(list(futures), force=True)
        client.close()


def _knock(address: str) -> None:
    """Raise unless something listens at an address.

    A client that fails to connect leaves threads behind that can block the next one.
    """
    place = urlsplit(address)
    if place.scheme not in ("tcp", "tls") or not place.hostname or not place.port:
        raise ValueError("an address of another form")
    socket.create_connection((place.hostname, place.port), _CONNECT_TIMEOUT_S).close()


def _connect(distributed: Any, address: str) -> Any:
    try:
        _knock(address)
        client = distributed.Client(
            address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address!r}",
            wanted="the address of one that is running, such as tcp://10.0.0.1:8786",
            received=str(error).splitlines()[0],
        ) from None
    if not client.scheduler_info()["workers"]:
        _log.warning("the Dask cluster at %s has no worker yet: waiting", address)
    return client
