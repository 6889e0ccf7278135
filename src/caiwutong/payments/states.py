"""The life of a payment, as one table: (state, event) → next state and what must follow.

A payment is *created* (创建) and at once either *validated* (验证), when its caller's standing
mandate covers it, or *awaiting signatures* (待审批). It is *submitted* (提交) when its attempt is
written down, before a byte is sent. The rail's word moves it on: *clearing* (清算) while the rail
works, then one of four ends: *completed* (完成) on irrevocable evidence, *rejected* (已拒绝) on a
definite no, *reversed* (撤销) when taken back before netting, *cancelled* (已作废) when it never
left the house. Doubt (结果待确认) is a state, not an end: we ask until the rail knows.

A definite no that is only the channel's (a limit, an outage, the hour) sends the payment back to
*validated* under the same hold, for another attempt over another channel (*reroute*). While in
doubt only two people's signed decision does so (*switch*); then the first attempt may still have
moved the money, so the payment cannot end as unpaid before the rail has spoken of it: it falls back
into doubt. Should the rail confess later that an attempt was executed after all (*late yes*), the
payment completes by it where nothing else is under way; where a second attempt is, people are
alarmed, and nothing is posted twice.

An end is never overwritten. What arrives later is recorded beside it: a return (退汇) is a linked
inflow, and a contradiction (a *no* after a *yes*) raises an alarm and waits for the statement.

Anything not in the table is refused for acts of ours, and ignored as late or duplicate when a rail
says it. The database holds the same table as a guard; the diagram in docs/payment-states.md is
generated from it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from caiwutong.rails.contract import ReportKind


class State(StrEnum):
    CREATED = "created"
    AWAITING_SIGNATURES = "awaiting_signatures"
    VALIDATED = "validated"
    AWAITING_BANK_PAGE = "awaiting_bank_page"
    SUBMITTED = "submitted"
    CLEARING = "clearing"
    IN_DOUBT = "in_doubt"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    REVERSED = "reversed"


TERMINAL = frozenset({State.COMPLETED, State.REJECTED, State.CANCELLED, State.REVERSED})
"""Each payment ends in exactly one of these: the bank's word, or ours before sending."""

AT_THE_RAIL = frozenset({State.SUBMITTED, State.CLEARING, State.IN_DOUBT})
"""The money may move at any moment: only the rail's word counts."""

WORDS: dict[State, tuple[str, str]] = {
    State.CREATED: ("创建", "created"),
    State.AWAITING_SIGNATURES: ("待审批", "awaiting signatures"),
    State.VALIDATED: ("验证", "validated"),
    State.AWAITING_BANK_PAGE: ("待网银授权", "awaiting the bank's page"),
    State.SUBMITTED: ("提交", "submitted"),
    State.CLEARING: ("清算", "clearing"),
    State.IN_DOUBT: ("结果待确认", "in doubt"),
    State.COMPLETED: ("完成", "completed"),
    State.REJECTED: ("已拒绝", "rejected"),
    State.CANCELLED: ("已作废", "cancelled"),
    State.REVERSED: ("撤销", "reversed"),
}


class Event(StrEnum):
    """What can happen to a payment: our acts first, then the rail's word."""

    AUTHORISE = "authorise"
    NEED_SIGNATURES = "need_signatures"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REFUSE = "refuse"
    EXPORT = "export"
    NOT_UPLOADED = "not_uploaded"
    DISPATCH = "dispatch"
    WAIT = "wait"
    """No channel is open yet: its work is due again when one opens."""
    REROUTE = "reroute"
    """改道: the channel said no, another one may carry it."""
    SWITCH = "switch"
    """Two people decided to leave an attempt that is in doubt."""
    FALL_BACK = "fall_back"
    """No other channel is left, and an attempt that people left is still in doubt."""
    LATE_YES = "late_yes"
    """An attempt taken for over was executed after all."""
    ACCEPTED = "accepted"
    NETTED = "netted"
    SETTLED = "settled"
    REJECTED = "rejected"
    REVOKED = "revoked"
    RETURNED = "returned"
    IN_DOUBT = "in_doubt"


class Effect(StrEnum):
    """What follows a step, done in the same transaction."""

    SEND = "send"
    """Put it in the queue for dispatch."""
    ASK_LATER = "ask_later"
    """Enquire if the rail stays silent."""
    POST = "post"
    """Turn the hold into the transfer."""
    RELEASE = "release"
    """Give the hold back."""
    TAKE_BACK = "take_back"
    """Book the returned money as a linked inflow."""
    ALARM = "alarm"
    """The rail contradicts itself: people must look."""


class Precondition(StrEnum):
    """What must be true before one of our own acts; the database checks it too."""

    HELD = "held"
    """The hold on the ledger stands."""
    AUTHORISED = "authorised"
    """A mandate covers it, or enough different people signed these very bytes."""
    NO_OPEN_ATTEMPT = "no_open_attempt"
    """No earlier attempt could still move the money."""
    TWO_DECIDED = "two_decided"
    """Two different people signed: that the bank never got the row, or for leaving this very
    attempt in doubt."""


class Step(msgspec.Struct, frozen=True):
    """Where an event leads, and what follows."""

    to: State
    effects: tuple[Effect, ...] = ()
    needs: tuple[Precondition, ...] = ()


_S, _E, _F, _P = State, Event, Effect, Precondition

_OURS: dict[tuple[State, Event], Step] = {
    (_S.CREATED, _E.AUTHORISE): Step(_S.VALIDATED, (_F.SEND,), (_P.HELD, _P.AUTHORISED)),
    (_S.CREATED, _E.NEED_SIGNATURES): Step(_S.AWAITING_SIGNATURES, (), (_P.HELD,)),
    (_S.AWAITING_SIGNATURES, _E.AUTHORISE): Step(
        _S.VALIDATED, (_F.SEND,), (_P.HELD, _P.AUTHORISED)
    ),
    (_S.AWAITING_SIGNATURES, _E.CANCEL): Step(_S.CANCELLED, (_F.RELEASE,)),
    (_S.AWAITING_SIGNATURES, _E.EXPIRE): Step(_S.CANCELLED, (_F.RELEASE,)),
    (_S.VALIDATED, _E.CANCEL): Step(_S.CANCELLED, (_F.RELEASE,)),
    (_S.VALIDATED, _E.EXPIRE): Step(_S.CANCELLED, (_F.RELEASE,)),
    (_S.VALIDATED, _E.REFUSE): Step(_S.REJECTED, (_F.RELEASE,)),
    (_S.VALIDATED, _E.EXPORT): Step(
        _S.AWAITING_BANK_PAGE, (), (_P.HELD, _P.AUTHORISED, _P.NO_OPEN_ATTEMPT)
    ),
    (_S.AWAITING_BANK_PAGE, _E.NOT_UPLOADED): Step(
        _S.VALIDATED, (_F.SEND,), (_P.HELD, _P.AUTHORISED, _P.TWO_DECIDED)
    ),
    (_S.VALIDATED, _E.DISPATCH): Step(
        _S.SUBMITTED, (_F.ASK_LATER,), (_P.HELD, _P.AUTHORISED, _P.NO_OPEN_ATTEMPT)
    ),
    (_S.VALIDATED, _E.WAIT): Step(_S.VALIDATED, (_F.SEND,), (_P.HELD, _P.AUTHORISED)),
    (_S.VALIDATED, _E.FALL_BACK): Step(_S.IN_DOUBT, (_F.ASK_LATER,)),
    (_S.VALIDATED, _E.LATE_YES): Step(_S.COMPLETED, (_F.POST,)),
}

_AWAY = (_S.SUBMITTED, _S.CLEARING, _S.IN_DOUBT, _S.AWAITING_BANK_PAGE)
"""An attempt is open."""

_ANOTHER_WAY: dict[tuple[State, Event], Step] = {
    key: step
    for state in _AWAY
    for key, step in {
        (state, _E.REROUTE): Step(
            _S.VALIDATED, (_F.SEND,), (_P.HELD, _P.AUTHORISED, _P.NO_OPEN_ATTEMPT)
        ),
        (state, _E.SWITCH): Step(_S.VALIDATED, (_F.SEND,), (_P.HELD, _P.TWO_DECIDED)),
        (state, _E.FALL_BACK): Step(_S.IN_DOUBT, (_F.ASK_LATER,)),
        (state, _E.LATE_YES): Step(state, (_F.ALARM,)),
    }.items()
    if key[1] is not _E.SWITCH or state in (_S.SUBMITTED, _S.IN_DOUBT)
}

_RAILS_WORD: dict[Event, Step] = {
    _E.ACCEPTED: Step(_S.CLEARING, (_F.ASK_LATER,)),
    _E.NETTED: Step(_S.COMPLETED, (_F.POST,)),
    _E.SETTLED: Step(_S.COMPLETED, (_F.POST,)),
    _E.REJECTED: Step(_S.REJECTED, (_F.RELEASE,)),
    _E.REVOKED: Step(_S.REVERSED, (_F.RELEASE,)),
    _E.RETURNED: Step(_S.COMPLETED, (_F.POST, _F.TAKE_BACK)),
    _E.IN_DOUBT: Step(_S.IN_DOUBT, (_F.ASK_LATER,)),
}
"""What the rail can say while the money may move at any moment."""

_AFTER_THE_END: dict[tuple[State, Event], Step] = (
    {
        (_S.COMPLETED, _E.RETURNED): Step(_S.COMPLETED, (_F.TAKE_BACK,)),
        (_S.COMPLETED, _E.REJECTED): Step(_S.COMPLETED, (_F.ALARM,)),
        (_S.COMPLETED, _E.REVOKED): Step(_S.COMPLETED, (_F.ALARM,)),
    }
    | {
        (state, event): Step(state, (_F.ALARM,))
        for state in (_S.REJECTED, _S.CANCELLED, _S.REVERSED)
        for event in (_E.NETTED, _E.SETTLED, _E.RETURNED)
    }
    | {(state, _E.LATE_YES): Step(state, (_F.ALARM,)) for state in State if state in TERMINAL}
)

TABLE: dict[tuple[State, Event], Step] = (
    _OURS
    | _ANOTHER_WAY
    | {(state, event): step for state in _AWAY for event, step in _RAILS_WORD.items()}
    | _AFTER_THE_END
)

FROM_REPORT: dict[ReportKind, Event] = {kind: Event(kind.value) for kind in ReportKind}


def follow(state: State, event: Event) -> Step | None:
    """The step this event takes from this state; None when the event changes nothing here."""
    return TABLE.get((state, event))


def sources(event: Event) -> tuple[State, ...]:
    """The states from which an act of ours is possible, for messages to people."""
    return tuple(state for state, happening in TABLE if happening is event)


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/payment-states.md holds it, a test compares."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), step in TABLE.items():
        if step.to is not state:
            arrows.setdefault((state, step.to), []).append(event.value)
    lines += [
        f"    {source} --> {target}: {' / '.join(events)}"
        for (source, target), events in arrows.items()
    ]
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(lines)
