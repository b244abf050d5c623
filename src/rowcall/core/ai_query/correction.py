"""A request whose answer broke the schema, asked again in SQL: the request as JSON text, with what was wrong."""

import json

from rowcall.core.ai_query.form import FormName
from rowcall.core.endpoints import corrected
from rowcall.core.loose import mapping, parse_json, sequence


def corrected_text(request: str, answer: str, complaint: str, form: FormName) -> str | None:
    """The request to ask instead; None where a form has no place for it. A prompt is one text, made of as many messages as the
    form was made for, so there the last one is made longer."""
    if form == "columns":
        return None
    before = mapping(parse_json(request))
    after = corrected(before, answer, complaint)
    if form == "prompt":
        messages = [mapping(message) for message in sequence(after["messages"])]
        *kept, asked, said, wrong = messages
        parts = [asked.get("content"), f"You answered:\n{said['content']}", wrong["content"]]
        after["messages"] = [*kept, {**asked, "content": "\n\n".join(str(part) for part in parts)}]
    return json.dumps(after, ensure_ascii=False)
