/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/ends.h"

#include <string.h>

#include "base/pb.h"

void ends_add(struct ends *ends, const Pwemu__V1__End *end)
{
	if (ends->count == ENDS_MAX) {
		PB_FREE(ends->rows[0]);
		ends->count--;
		memmove(ends->rows, ends->rows + 1, ends->count * sizeof(ends->rows[0]));
	}
	ends->rows[ends->count++] = PB_COPY(Pwemu__V1__End, end);
}

void ends_clear(struct ends *ends)
{
	for (size_t i = 0; i < ends->count; i++)
		PB_FREE(ends->rows[i]);
	ends->count = 0;
}

Pwemu__V1__End *ends_last(const struct ends *ends)
{
	return ends->count > 0 ? ends->rows[ends->count - 1] : NULL;
}
