#!/usr/bin/env python3
"""The official client against "bitloom serve": openai_client.py PROGRAM. Exit code 77 where the client is missing."""
import sys

from served import Served

try:
    import openai
except ImportError:
    print("skipped: no openai for this Python; tools/get_openai.sh installs it")
    sys.exit(77)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def check_completions(client):
    ask = dict(model="demo", prompt="Once upon a time", max_tokens=20, temperature=0)
    whole = client.completions.create(**ask)
    assert whole.choices[0].finish_reason == "length" and whole.usage.completion_tokens == 20, whole
    pieces = list(client.completions.create(**ask, stream=True))
    assert "".join(p.choices[0].text for p in pieces) == whole.choices[0].text
    assert pieces[-1].choices[0].finish_reason == "length"
    stop = whole.choices[0].text[10:14]
    stopped = client.completions.create(**ask, stop=[stop], logprobs=2).choices[0]
    assert stopped.text == whole.choices[0].text.split(stop)[0] and stopped.finish_reason == "stop", stopped
    assert len(stopped.logprobs.top_logprobs[0]) == 2


def check_chats(client):
    ask = dict(model="demo", messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
               max_completion_tokens=8, temperature=1, seed=5, n=2)
    whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
    assert len(whole.choices) == 2 and whole.choices[0].message.role == "assistant"
    assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 3
    texts, usage = ["", ""], None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices], texts
    assert usage.completion_tokens == whole.usage.completion_tokens


def check_errors(client):
    ask = dict(model="demo", messages=[{"role": "user", "content": "Hello"}])
    error = refused(openai.BadRequestError, lambda: client.chat.completions.create(
        **ask, response_format={"type": "json_object"}))
    assert error.param == "response_format", error
    refused(openai.NotFoundError, lambda: client.completions.create(model="other", prompt="x"))
    error = refused(openai.BadRequestError, lambda: client.completions.create(model="demo", prompt=" the" * 300))
    assert "context is 256" in error.message, error
    refused(openai.AuthenticationError, lambda: client.with_options(api_key="wrong").models.list())


def main():
    with Served(sys.argv[1], "--api-key", "secret") as served:
        client = openai.OpenAI(base_url=served.url + "/v1", api_key="secret", max_retries=0)
        assert [model.id for model in client.models.list()] == ["demo"]
        check_completions(client)
        check_chats(client)
        check_errors(client)
        stream = client.completions.create(model="demo", prompt="Once", max_tokens=200, stream=True)
        next(iter(stream))
        code = served.end()
        list(stream)  # to its end
        assert code == 0, code
    print("openai", openai.__version__, "works")


if __name__ == "__main__":
    main()
