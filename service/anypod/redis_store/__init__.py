"""The store on Redis 7+ and Valkey 8+.

Owns nothing itself. `store` is the door; an append walks store → writer → log → connection → scripts/append.lua, and its
delivery listener → sink.
"""

from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.sizing import Sizing, model_rows, survey
from anypod.redis_store.store import RedisStore

__all__ = ["FunctionLibrary", "RedisOptions", "RedisStore", "Sizing", "model_rows", "survey"]
