#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ask_as.py SOCKET CALLS: makes gRPC calls as the user who runs it. CALLS is JSON, [[service, method, request], …]; prints for each the
status, the reason and the message; of a stream the first reply counts."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["PWEMU_BUILD"], "gen/python-pwemu"))

import grpc  # noqa: E402
from google.protobuf import json_format, symbol_database  # noqa: E402
from pwemu.v1 import channels_pb2, daemon_pb2, instances_pb2, properties_pb2, targets_pb2  # noqa: E402,F401

SERVICES = {
    name: descriptor
    for module in (instances_pb2, channels_pb2, properties_pb2, targets_pb2, daemon_pb2)
    for name, descriptor in module.DESCRIPTOR.services_by_name.items()
}


def ask(channel, service, method, request):
    row = SERVICES[service].methods_by_name[method]
    database = symbol_database.Default()
    message = json_format.ParseDict(request, database.GetPrototype(row.input_type)())
    reply_class = database.GetPrototype(row.output_type)
    kind = ("stream" if row.client_streaming else "unary") + "_" + ("stream" if row.server_streaming else "unary")
    call = getattr(channel, kind)(f"/pwemu.v1.{service}/{method}", type(message).SerializeToString, reply_class.FromString)
    try:
        result = call(iter([message]) if row.client_streaming else message, timeout=30)
        reply = next(result, None) if row.server_streaming else result
        if row.server_streaming:
            result.cancel()
        return ["OK", "", json_format.MessageToDict(reply, preserving_proto_field_name=True) if reply is not None else None]
    except grpc.RpcError as error:
        reason = dict(error.trailing_metadata() or ()).get("pwemu-reason", "")
        return [error.code().name, reason, error.details()]


def main():
    with grpc.insecure_channel("unix:" + sys.argv[1]) as channel:
        json.dump([ask(channel, *call) for call in json.loads(sys.argv[2])], sys.stdout)


if __name__ == "__main__":
    main()
