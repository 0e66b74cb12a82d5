"""Work on many items at once in threads, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from convnext_edge.cpu import usable_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return one thread for each CPU that may be used.

    Pillow, hashlib and PyTorch's operators release the GIL, so that threads run at the same time.
    """
    return usable_cpus()


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    look_ahead: int,
    prepare: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Yield the results of `function` in the order of `items`, computed by threads.

    At most `look_ahead` + 1 items are in work or wait to be yielded. `ThreadPoolExecutor.map` would take all
    items at once and hold all results. prepare: is called once in each thread, before its first item.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ordered-map", initializer=prepare)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > look_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
