"""Tokens of a DC/OS cluster: whom one belongs to, by the signature of whoever gives them out."""

from __future__ import annotations

from collections.abc import Callable


def token_check(public_key: str) -> Callable[[str], str | None]:
    """For `Authentication.tokens`: the `uid` of a token that is signed (RS256) with this key's other half and not over.

    Raises:
        ValueError: it is no public key in PEM form, or PyJWT and cryptography are not installed.
    """
    try:
        import jwt
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as fault:
        raise ValueError("tokens need PyJWT and cryptography: pip install 'headgate[dcos]'") from fault
    try:
        load_pem_public_key(public_key.encode())
    except ValueError as fault:
        raise ValueError("the key that tokens are checked with is no public key in PEM form") from fault

    def principal(token: str) -> str | None:
        try:
            claims = jwt.decode(token, public_key, algorithms=["RS256"], options={"require": ["exp"]})
        except jwt.InvalidTokenError:
            return None
        uid = claims.get("uid")
        return uid if isinstance(uid, str) and uid else None

    return principal
