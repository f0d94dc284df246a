"""Subscriptions: the consuming side at work."""

from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.subscription import Subscription

__all__ = ["Subscription", "SubscriptionOptions"]
