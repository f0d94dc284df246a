"""Subscriptions: the consuming side at work."""

from event_backbone.subscription.options import SubscriptionKeywords, SubscriptionOptions
from event_backbone.subscription.subscription import Subscription

__all__ = ["Subscription", "SubscriptionKeywords", "SubscriptionOptions"]
