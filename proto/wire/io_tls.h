/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS variant of struct io: what io.c does on a socket, on a bufferevent of the TLS module. Only io.c calls it. */
#pragma once

#include "wire/io.h"
#include "wire/tls.h"

/* A handshake that has begun or is done; its bufferevent is the io's from now on. */
void io_tls_init(struct io *io, const struct tls_link *link);
void io_tls_fini(struct io *io);
void io_tls_write(struct io *io);
size_t io_tls_queued(const struct io *io);
uint64_t io_tls_written(const struct io *io);
void io_tls_end_output(struct io *io);
char *io_tls_subject(const struct io *io);
