"""Makes one call of grpc_server.py's methods with grpcio's client, and prints how it ended.

    grpc_client.py ADDRESS METHOD [--token TOKEN] [--message TEXT] [--count N] [--timeout SECONDS] [--cancel] [--ca FILE]

The line of JSON has `code` (0 is OK), `details`, the metadata before and behind the messages (`initial`, `trailing`),
the number of `messages`, and the `last` one. `--cancel` gives the call up after the first message.
"""

import argparse

import grpc

import peer

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
KINDS = {"Unary": "unary_unary", "Fail": "unary_unary", "Server": "unary_stream", "Hang": "unary_stream",
         "Client": "stream_unary", "Bidi": "stream_stream"}


def text(value):
    return value.hex() if isinstance(value, bytes) else value


def metadata(pairs):
    return {name: text(value) for name, value in pairs or ()}




def answers_of(call, kind):
    return call if kind.endswith("_stream") else [call.result()]


def run(channel, arguments):
    kind = KINDS[arguments.method]
    method = getattr(channel, kind)(f"/peer.Echo/{arguments.method}")
    message = arguments.message.encode() * arguments.repeat
    request = iter([message] * arguments.count) if kind.startswith("stream") else message
    options = {"metadata": [("authorization", f"Bearer {arguments.token}")] if arguments.token else [],
               "timeout": arguments.timeout}
    options["metadata"].append(("x-from", "the client"))
    call = method.future(request, **options) if kind.endswith("_unary") else method(request, **options)
    messages, last = 0, b""
    try:
        for last in answers_of(call, kind):
            messages += 1
            if arguments.cancel:
                call.cancel()
    except grpc.RpcError:
        pass
    last = last.decode() if len(last) < 1000 else f"{len(last)} bytes"
    return {"code": call.code().value[0], "details": call.details(), "initial": metadata(call.initial_metadata()),
            "trailing": metadata(call.trailing_metadata()), "messages": messages, "last": last}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("method", choices=KINDS)
    parser.add_argument("--token")
    parser.add_argument("--message", default="hello")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--cancel", action="store_true")
    parser.add_argument("--ca")
    arguments = parser.parse_args()
    peer.end_with_parent()

    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.enable_http_proxy", 0)]
    if arguments.ca:
        with open(arguments.ca, "rb") as roots:
            credentials = grpc.ssl_channel_credentials(roots.read())
        channel = grpc.secure_channel(arguments.address, credentials, options)
    else:
        channel = grpc.insecure_channel(arguments.address, options)
    with channel:
        peer.say(**run(channel, arguments))


if __name__ == "__main__":
    main()
