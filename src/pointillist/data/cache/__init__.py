"""The training cache: every slice of a dataset, normalised and resized once, in one checksummed file.

NumPy only. ``pointillist.data.augment`` puts it on the device and draws batches from it.
"""

from pointillist.data.cache.build import build_cache, cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.cache.slices import CachedCase, SliceCache

__all__ = ["CacheSettings", "CachedCase", "SliceCache", "build_cache", "cached"]
