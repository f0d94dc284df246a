"""Subscriptions: the consuming side.

Each step of an event is one module, in this order:

1. ``intake`` is the loop that brings events in. The ``member`` looks (which renews its lease, and takes what is due and
   what ended members left behind), compares, and reads, as far as ``in_flight`` has capacity; how much is taken ahead
   follows from the ``pace`` of handling.
2. ``assembly`` routes what came in: events suspected of ending their process go to ``quarantine``, the others on.
3. ``loading`` reads the metadata and loads the payloads of many events together; each goes on once its own is there.
   Those of batch handlers gather in ``batches``.
4. ``workers`` start a task for each event, ``concurrency`` at a time, and only while the lease is valid.
5. ``handling`` decodes the arguments, calls interceptors and handlers, and decides on the ``outcome``;
   ``batch_handling`` does so for the events of a batch. Meanwhile
   producers see the event as a ``handled_event``, which knows what it has already produced once.
6. ``settlement`` carries it out: the event is acked (``acks``), parked at the server until its next attempt, or
   dead-lettered.

The subscriptions of several URIs share what is in ``sharing``. ``subscription`` is what users hold, ``options`` what
they set; ``run`` starts the loops, and stops them in order. ``outage`` repeats calls while Redis does not answer,
``monitoring`` logs and measures, and ``event_loop_watch`` names handlers that block the event loop.

Invariants:

- Only what is in ``EventsInFlight`` may be acted on. An event whose lease is lost leaves it at once, its handlers
  cancelled.
- Looks, comparisons and reads never overlap.
- Nothing begins once the last answered look was sent half a lease ago.
- Whatever ends a lease compares (member, delivery count) at the server, so acting on an outdated view changes nothing.
"""

from event_backbone.subscription.options import SubscriptionKeywords, SubscriptionOptions
from event_backbone.subscription.sharing import Shared
from event_backbone.subscription.subscription import Subscription

__all__ = ["Shared", "Subscription", "SubscriptionKeywords", "SubscriptionOptions"]
