"""Numbers of the kernel's operations, self-trade modes and answers."""

(
    OP_LIMIT,
    OP_IOC,
    OP_FOK,
    OP_POST,
    OP_MARKET,
    OP_STOP,
    OP_STOPLIMIT,
    OP_CANCEL,
    OP_MODIFY,
    OP_HALT,
    OP_RESUME,
    OP_BAND,
    OP_EXECUTE,
) = range(13)

STP_NONE, STP_CANCEL_NEWEST, STP_CANCEL_OLDEST, STP_CANCEL_BOTH, STP_DECREMENT = range(5)

OK = 0
(
    BAD_SIZE,
    BAD_PRICE,
    BAD_SIDE,
    LIVE_ID,
    UNKNOWN_ID,
    WOULD_TRADE,
    OUTSIDE_BAND,
    NO_TRADING,
    WAITING_STOP,
    BAD_OP,
) = range(1, 11)
"""Refusals: the book stays as it was."""
NOT_FIRST = 101
"""Answer of OP_EXECUTE: carried out, but the order was not first in its queue at the best price."""
NOT_LIVE = 102
"""Answer of OP_EXECUTE: no such order is live."""

FULL = -1
"""A buffer is full: nothing was done; the caller makes it larger and calls again."""
