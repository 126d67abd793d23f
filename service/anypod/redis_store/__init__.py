"""The store on Redis 7+ and Valkey 8+.

Owns nothing itself. `store` is the door. An append walks store → nodes → log/append_queue → log/append_codec → wire/connection →
scripts/append; its delivery comes by feed.
"""

from anypod.redis_store.config import RedisOptions
from anypod.redis_store.functions import FunctionLibrary
from anypod.redis_store.sizing import Sizing, model_rows, survey
from anypod.redis_store.store import RedisStore

__all__ = ["FunctionLibrary", "RedisOptions", "RedisStore", "Sizing", "model_rows", "survey"]
