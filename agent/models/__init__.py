"""The models: one module a provider, behind `agent.messages.Model`.

To add a provider, as ``openai:NAME`` was added:

1. ``openai.py`` is the only module that imports that SDK. It holds a class with ``name`` and
   ``reply()`` and gets every credential through its constructor: nothing here reads the
   environment. Its HTTP client comes from `agent.models.transport`.
2. ``openai_errors.py`` beside it is the one place that maps that SDK's errors: those worth another
   attempt become `agent.models.retrying.TransientError`, all others a child of
   `agent.errors.ModelError`; a test proves the map complete over the SDK's classes. What all such
   maps share is in `agent.models.http_errors`. What says that the conversation is too long for the
   model becomes `ModelTooLong`: a shorter one is tried.
3. Turn the SDK's own retries off and run each attempt through `agent.models.retrying.Retrier`, so
   that every provider waits, reports and gives up alike; ``tests/models/test_providers.py`` holds
   what is true of all.
4. Return a reply only when the provider said that it was complete. A tool call whose arguments are
   no JSON object, or which the reply was cut off in, carries a ``problem``.
5. Keep what only the provider understands as `agent.messages.Opaque` under its own name, and leave
   out the blocks of others. History is append-only: what was sent once is sent the same again.
6. What its models cost and hold goes into ``prices.yaml``, with source and date, or stays unknown.
7. Add one line to `agent.models.registry` and list the name in the help of ``--model``.

What turns values into a wire form and back is pure and imports no SDK (``anthropic_request.py``,
``anthropic_stream.py``).
"""
