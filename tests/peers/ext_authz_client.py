"""Asks Sidegate about requests as Envoy does, with Envoy's own definitions and grpcio's client.

    ext_authz_client.py ADDRESS QUESTIONS

QUESTIONS is a JSON list of objects with `method`, `path`, `host`, `headers` (a list of
pairs) and, if they are to be encoded raw, `raw`. Prints one line of JSON whose `answers` are the messages that came back,
or `{"code": …}` for calls that failed. With `give_up` so many calls are begun and cancelled, with `at_once` so many are under way
together.
"""

import argparse
import json

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from google.protobuf import json_format

import peer

CHECK = "/envoy.service.auth.v3.Authorization/Check"


def check_request(question):
    http = attribute_context_pb2.AttributeContext.HttpRequest(
        id="1", method=question["method"], path=question["path"], host=question["host"], scheme="http", size=-1,
        protocol="HTTP/1.1")
    pairs = question["headers"]
    if question.get("raw"):
        fields = [base_pb2.HeaderValue(key=name, raw_value=value.encode("latin-1")) for name, value in pairs]
        http.header_map.CopyFrom(base_pb2.HeaderMap(headers=fields))
    else:
        http.headers.update(pairs)
    context = attribute_context_pb2.AttributeContext(request={"http": http}, context_extensions={"a": "b"})
    context.source.address.socket_address.address = question.get("client", "192.0.2.7")
    context.source.address.socket_address.port_value = 4711
    return external_auth_pb2.CheckRequest(attributes=context)


def ask(channel, question):
    method = question.get("call", CHECK)
    encode, decode = external_auth_pb2.CheckRequest.SerializeToString, external_auth_pb2.CheckResponse.FromString
    message = check_request(question) if "method" in question else None
    if message is None:
        encode, message = bytes, question["bytes"].encode("latin-1") * question.get("repeat", 1)
    call = channel.unary_unary(method, request_serializer=encode, response_deserializer=decode)
    if "give_up" in question:
        return {"given_up": give_up(call, message, question["give_up"])}
    if "at_once" in question:
        begun = [call.future(message, timeout=10) for _ in range(question["at_once"])]
        return {"allowed": sum(call.result().HasField("ok_response") for call in begun)}
    try:
        answer = call(message, timeout=10)
    except grpc.RpcError as error:
        return {"code": error.code().value[0], "details": error.details()}
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def give_up(call, message, count):
    """Begins calls, a hundred at a time, and cancels them at once."""
    for _ in range(count // 100):
        for begun in [call.future(message, timeout=10) for _ in range(100)]:
            begun.cancel()
    return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("questions", type=json.loads)
    arguments = parser.parse_args()
    peer.end_with_parent()
    # Of a Unix socket grpcio would make a name that is none, as Envoy does not.
    options = [("grpc.default_authority", "sidegate")]
    with grpc.insecure_channel(arguments.address, options) as channel:
        peer.say(answers=[ask(channel, question) for question in arguments.questions])


main()
