"""``/docs``: the whole interface on one page, from the same description that programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persona_img.domain.roles import PERMISSIONS
from persona_img.serving.gate import needed
from persona_img.serving.pages import page

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import Response

_METHODS = ("get", "post")
_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key of `persona-img keys add`."}
_LIMITED = {
    "401": "No valid key.",
    "403": "The key's role may not do this.",
    "413": "The body is too long.",
    "415": "The body is not application/json.",
    "429": "Too many requests; `Retry-After` says when to come again.",
}


def add_docs(app: FastAPI) -> None:
    """Add ``/docs``, and to ``/openapi.json`` who may do what; called after every other route."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        known = app.openapi_schema is not None
        document = describe()
        if not known:
            _say_who(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]

    def docs() -> Response:
        """This page."""
        document = app.openapi()
        return page("docs.html", info=document["info"], operations=_operations(document))

    app.get("/docs", include_in_schema=False)(docs)


def _say_who(document: dict[str, Any]) -> None:
    document.setdefault("components", {})["securitySchemes"] = {"key": _SCHEME}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            wanted = needed(path)
            told = dict(_LIMITED)
            if wanted is None:
                del told["401"], told["403"]
            else:
                operation["security"] = [{"key": []}]
            if "requestBody" not in operation:
                del told["413"], told["415"]
            for status, why in told.items():
                answer = {
                    "description": why,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                    },
                }
                operation["responses"].setdefault(status, answer)


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for path, methods in document["paths"].items():
        for method in _METHODS:
            operation = methods.get(method)
            if operation is None:
                continue
            wanted = needed(path)
            found.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "text": operation.get("description", operation.get("summary", "")),
                    "roles": [r for r, may in PERMISSIONS.items() if wanted in may],
                    "given": [_given(one) for one in operation.get("parameters", [])],
                    "body": _fields(document, operation.get("requestBody")),
                    "answer": _fields(document, operation["responses"].get("200")),
                    "statuses": sorted(operation["responses"]),
                }
            )
    return found


def _given(parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter.get("schema", {})
    options = [schema, *schema.get("anyOf", [])]
    rule = next((one["pattern"] for one in options if "pattern" in one), "")
    return {
        "name": parameter["name"],
        "where": parameter["in"] + (", required" if parameter.get("required") else ""),
        "rule": rule,
        "text": parameter.get("description", schema.get("description", "")),
    }


def _fields(document: dict[str, Any], part: dict[str, Any] | None) -> list[dict[str, str]]:
    """Names, kinds and meanings of a JSON object's fields, those of its lists behind a dot."""
    schema = ((part or {}).get("content", {}).get("application/json") or {}).get("schema", {})
    return _flat(document, schema, "", 0)


def _flat(
    document: dict[str, Any], schema: dict[str, Any], before: str, depth: int
) -> list[dict[str, str]]:
    schema = _resolved(document, schema)
    rows = []
    for name, raw in schema.get("properties", {}).items():
        one = _resolved(document, raw)
        many = _resolved(document, one.get("items", {}))
        rows.append({"name": before + name, "kind": _kind(one), "text": one.get("description", "")})
        if depth < 2 and "properties" in (many or one):
            inner = many if "properties" in many else one
            rows += _flat(document, inner, f"{before}{name}.", depth + 1)
    return rows


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_kind(one) for one in schema["anyOf"])
    return str(schema.get("type", "object"))
