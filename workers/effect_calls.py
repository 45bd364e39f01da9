"""Calls of an effect's handler: plain functions in threads, ``async`` ones in the loop, each within its time."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic_core import PydanticSerializationError, from_json, to_json

from action_ledger.domain.effects import Compensate, Effect, EffectContext, Record
from action_ledger.domain.errors import NotReversible

from .claim import Unit

MOST_OF_MESSAGE = 2_000
"""Characters of what a handler raised that are kept."""
MOST_OF_RESULT = 1_000_000
"""Bytes of what a handler returned that are kept."""

Function = Callable[[Record, Any, EffectContext], Awaitable[Any] | Any]
"""A handler, or a compensate with the result given to it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one record. ``result`` is a JSON value."""

    position: int
    key: tuple[str, ...]
    idempotency_key: UUID
    outcome: Literal["applied", "failed", "skipped"]
    reason: str | None = None
    result: Any = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One record for which a handler is to be called."""

    position: int
    record: Record
    context: EffectContext
    function: Function
    parameters: Any

    def answer(
        self,
        outcome: Literal["applied", "failed", "skipped"],
        reason: str | None = None,
        *,
        result: object = None,
        message: str | None = None,
    ) -> Answer:
        """Say what came of it."""
        context = self.context
        return Answer(
            position=self.position,
            key=context.key,
            idempotency_key=context.idempotency_key,
            outcome=outcome,
            reason=reason,
            result=result,
            message=message,
        )

    async def make(self, timeout: float) -> Answer:  # noqa: ASYNC109 - the loop's own would wait for the end of what it stops
        """Call, and give what came of it: every fault of a handler is the record's."""
        task = asyncio.ensure_future(self._invoke())
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            task.cancel()
            message = f"it took longer than {timeout:g} seconds; whether it was done is not known"
            return self.answer("failed", "timed_out", message=message)
        try:
            value = task.result()
        except asyncio.CancelledError:
            return self.answer("failed", "handler_failed", message="it was cancelled")
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            return self.answer("failed", "handler_failed", message=told(error))
        if value is False:
            return self.answer("failed", "handler_refused")
        result, why_not = _kept(value)
        return self.answer("applied", result=result, message=why_not)

    async def _invoke(self) -> object:
        arguments = self.record, self.parameters, self.context
        if inspect.iscoroutinefunction(self.function):
            return await _contained(self.function(*arguments))
        value = await in_thread(lambda: self.function(*arguments))
        return await _contained(value) if inspect.isawaitable(value) else value


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


async def _contained(call: Awaitable[object]) -> object:
    """Wait for a call; what would end the worker, such as SystemExit, is the record's own failure, as in a thread."""
    try:
        return await call
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _is_main_thread():
            raise  # somebody's Ctrl-C comes nowhere else
        raise RuntimeError(told(error)) from error


def compensate_of(effect: Effect, unit: Unit) -> Compensate:
    """Give what takes an effect back. Raises NotReversible when there is no such thing any more."""
    if effect.compensate is None:
        reason = f"the action {effect.name} has no compensate"
        raise NotReversible(execution_id=unit.execution_id, reason=reason)
    return effect.compensate


async def in_thread(function: Callable[[], object]) -> object:
    """Run a function in a thread of its own, which nobody waits for at the end of the process.

    A pool would: a handler that hangs would then keep its worker from leaving.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def run() -> None:
        value: object = None
        fault: BaseException | None = None
        try:
            value = context.run(function)
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            fault = RuntimeError(told(error)) if isinstance(error, StopIteration) else error
        except BaseException as error:  # noqa: BLE001 - SystemExit in a thread ends nothing
            fault = RuntimeError(told(error))
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, value, fault)

    threading.Thread(target=run, name="action-ledger-handler", daemon=True).start()
    return await future


def _kept(value: object) -> tuple[Any, str | None]:
    """Give a result as JSON that PostgreSQL takes; else None, and why. The effect was done in either case."""
    try:
        text = to_json(value, inf_nan_mode="strings")
        if len(text) > MOST_OF_RESULT:
            return None, f"its result is larger than {MOST_OF_RESULT:,} bytes and was not kept"
        if b"\\u0000" in text:
            return None, "its result holds the character NUL and was not kept"
        return from_json(text), None
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        return None, f"its result is no JSON and was not kept: {told(error)}"


def told(error: BaseException) -> str:
    """Give the text of an exception in a form that can be stored."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a broken __str__
        text = type(error).__name__
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode(errors="replace").decode()[:MOST_OF_MESSAGE]
