/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of http2: session, streams, nghttp2's callbacks. */
#pragma once

#include "wire/http2.h"

/* A new nghttp2 session with our callbacks and options. */
nghttp2_session *h2_frames_new(struct h2_session *session);

extern const nghttp2_data_source_read_callback h2_stream_read;

/* Bookkeeping of bytes that left or are dropped from a stream's queue. */
void h2_stream_account(struct h2_stream *stream, size_t removed);
void h2_stream_attach(struct h2_session *session, struct h2_stream *stream);
void h2_stream_free(struct h2_stream *stream);
