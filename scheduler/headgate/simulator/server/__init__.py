"""The HTTP edge: master and agents as servers on loopback, as a Mesos client meets them.

* `request`, `checks`, `paths`, `responses`: pure; what is refused, and how answers look on the wire.
* `streams`: bounded buffers between the model and the connections that read events.
* `files`: the sandbox files of an agent.
* `forms`: the older endpoints that take forms or bare JSON, translated to operator calls.
* `app`: one ASGI application per port, which ties these to a `Service`.
* `tls`, `tokens`: certificates of a port, and tokens that prove who one is.
* `listener`: a port with an HTTP server on it that can also die the way a process does.

What a call means is decided behind the `Service`, never here.
"""
