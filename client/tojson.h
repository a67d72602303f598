/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any protobuf-c message as JSON, driven by its descriptor: names as in the .proto, every field present also when it has its default,
 * enums as lower-case words without their prefix (END_CAUSE_GUEST_FAULT: "guest-fault"), 64-bit numbers as numbers, bytes as base64,
 * of a oneof only the member that is set, an absent message as null. Indented by 2.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

void tojson_message(FILE *to, const ProtobufCMessage *message);                     /* with a line end */
void tojson_compact(FILE *to, const ProtobufCMessage *message);                     /* on one line, without a line end */
void tojson_array(FILE *to, const ProtobufCMessage *const *messages, size_t count); /* with a line end */

/* As protobuf's own JSON: enums by the names of the .proto. Without a line end. */
void tojson_proto(FILE *to, const ProtobufCMessage *message, int depth);

/* One string with its quotes. What is no valid UTF-8 is written as U+DC80..U+DCFF escapes (Python's surrogateescape), so that the
 * output is JSON and the bytes can be had back. */
void tojson_string(FILE *to, const char *text, size_t len);

/* "running" for STATE_RUNNING; "unknown-7" for a number that this program does not know. Static storage. */
const char *tojson_word(const ProtobufCEnumDescriptor *type, int value);
