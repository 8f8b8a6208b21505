"""A gRPC server of grpcio's, without generated code: messages are bytes, methods are found by name.

    grpc_server.py [--certificate FILE --private-key FILE]

Prints its port, and a line for every call that its client gave up.

    /peer.Echo/Unary    one message, back as it came; answers with the caller's `x-*` metadata in the trailers
    /peer.Echo/Server   a number; as many messages, each the number of itself
    /peer.Echo/Client   any messages; their number
    /peer.Echo/Bidi     each message back as it came
    /peer.Echo/Fail     INVALID_ARGUMENT, with details that are not ASCII and a trailer
    /peer.Echo/Hang     one message, and then nothing until the client gives up
"""

import argparse
import threading
from concurrent import futures

import grpc

import peer

MESSAGE_BYTES_MAX = 64 * 1024 * 1024


def unary(message, context):
    context.send_initial_metadata([("x-initial", "from the server")])
    seen = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-")]
    context.set_trailing_metadata([("x-trailing-bin", b"\x00\xff"), *((f"seen-{name}", value) for name, value in seen)])
    return message


def server_stream(message, context):
    for number in range(int(message)):
        yield str(number).encode()


def client_stream(messages, context):
    return str(sum(1 for _ in messages)).encode()


def bidi(messages, context):
    yield from messages


def fail(message, context):
    context.set_trailing_metadata([("x-why", "because")])
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nein, das heißt: no")


def hang(message, context):
    given_up = threading.Event()

    # Not after the wait: a call that is given up while its message is sent does not come back to it.
    def say_it():
        peer.say(event="given up", method="Hang")
        given_up.set()

    context.add_callback(say_it)
    yield b"waiting"
    given_up.wait(peer.SECONDS_MAX)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Server": grpc.unary_stream_rpc_method_handler(server_stream),
    "Client": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--private-key")
    arguments = parser.parse_args()
    peer.end_with_parent()

    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("peer.Echo", METHODS)])
    if arguments.certificate:
        with open(arguments.private_key, "rb") as key, open(arguments.certificate, "rb") as chain:
            credentials = grpc.ssl_server_credentials([(key.read(), chain.read())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    peer.say(port=port)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
