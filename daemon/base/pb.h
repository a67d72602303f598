/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers on protobuf-c messages. */
#pragma once

#include <protobuf-c/protobuf-c.h>

/* A deep copy; free with protobuf_c_message_free_unpacked(). NULL gives NULL. */
ProtobufCMessage *pb_copy(const ProtobufCMessage *message);
/* Its bytes; free with free(). */
void *pb_pack(const ProtobufCMessage *message, size_t *len);
/* Takes NULL. */
void pb_free(ProtobufCMessage *message);

#define PB_COPY(type, message) ((type *)pb_copy((message) != NULL ? &(message)->base : NULL))
#define PB_FREE(message)       pb_free((message) != NULL ? &(message)->base : NULL)
