/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pb.h"

#include <stdlib.h>

#include "wire/mem.h"

void *pb_pack(const ProtobufCMessage *message, size_t *len)
{
	*len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = xmalloc(*len);
	protobuf_c_message_pack(message, bytes);
	return bytes;
}

ProtobufCMessage *pb_copy(const ProtobufCMessage *message)
{
	if (message == NULL)
		return NULL;
	size_t size;
	uint8_t *bytes = pb_pack(message, &size);
	ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
	free(bytes);
	if (copy == NULL) /* we packed it ourselves: only memory can be missing */
		abort();
	return copy;
}

void pb_free(ProtobufCMessage *message)
{
	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
}
