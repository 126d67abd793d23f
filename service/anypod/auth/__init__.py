"""Authentication and authorisation: credentials, principals and their rights."""

from anypod.auth.authorise import ACCESS_OF_FRAME, Access, authorise, is_authorised, owner_demanded
from anypod.auth.credential_header import ANY_ORIGIN, Ticket, credential_of, origin_allowed
from anypod.auth.http_fetch import Fetcher
from anypod.auth.mint import mint
from anypod.auth.principal import RIGHTS, RIGHTS_BY_DEFAULT, Principal, Right
from anypod.auth.tickets import Tickets
from anypod.auth.verifier import Verifier, verifier_of

__all__ = [
    "ACCESS_OF_FRAME",
    "ANY_ORIGIN",
    "RIGHTS",
    "RIGHTS_BY_DEFAULT",
    "Access",
    "Fetcher",
    "Principal",
    "Right",
    "Ticket",
    "Tickets",
    "Verifier",
    "authorise",
    "credential_of",
    "is_authorised",
    "mint",
    "origin_allowed",
    "owner_demanded",
    "verifier_of",
]
