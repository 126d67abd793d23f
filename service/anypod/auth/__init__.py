"""Credentials: who is asking, and what they may do."""

from anypod.auth.fetch import Fetcher
from anypod.auth.mint import mint
from anypod.auth.principal import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right
from anypod.auth.request import Ticket, credential_of, origin_allowed
from anypod.auth.tickets import Tickets
from anypod.auth.verifier import Verifier, verifier_of

__all__ = [
    "RIGHTS",
    "RIGHTS_BY_DEFAULT",
    "Fetcher",
    "Principal",
    "Right",
    "Ticket",
    "Tickets",
    "Verifier",
    "credential_of",
    "mint",
    "origin_allowed",
    "verifier_of",
]
