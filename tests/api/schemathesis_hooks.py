"""What no schema can say of a valid request, told to Schemathesis."""

import schemathesis

QUERIES = "/api/v1/queries/"
QUERY = "acme OR globex"


@schemathesis.hook
def filter_case(context, case):
    """A cursor is one that the API gave; a window ends after it begins; what is tried can be, and what is rescored says
    nothing but a brand."""
    query = case.query or {}
    if isinstance(query, dict) and ("cursor" in query or ("from" in query and "until" in query)):
        return False
    body = case.body
    if "rescores" in case.operation.path and isinstance(body, dict) and ("query" in body or "since" in body):
        return False
    if not case.operation.path.startswith(QUERIES) or not isinstance(body, dict):
        return True
    query, brand, messages = body.get("query"), body.get("brand"), body.get("messages")
    if isinstance(query, str) and query not in ("", QUERY):
        return False
    if case.operation.path.endswith("/explain") and (query is None) == (brand is None):
        return False
    is_told = lambda message: not isinstance(message, dict) or "text" in message
    return not isinstance(messages, list) or all(map(is_told, messages))


@schemathesis.hook
def map_body(context, body):
    """A query can be read; a trial has either a query or a brand; messages have a text."""
    if not context.operation.path.startswith(QUERIES) or not isinstance(body, dict):
        return body
    if isinstance(body.get("query"), str) and body["query"]:
        body["query"] = QUERY
    if context.operation.path.endswith("/explain"):
        has_brand = body.get("brand") is not None
        if not has_brand and body.get("query") is None:
            body["query"] = QUERY
        elif isinstance(body.get("brand"), str) and isinstance(body.get("query"), str):
            del body["brand"]
    messages = body.get("messages")
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        body["messages"] = [{"text": "acme"} for _ in messages]
    return body
