"""The history of the store's tables; `personalize.store.upgrade` walks it."""
