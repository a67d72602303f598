/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FIFO that an emulator reads its input from.
 *
 * Never holds a byte: what the FIFO does not take stays with the caller. Watches whether the emulator takes what lies there: some
 * UARTs of QEMU do not look before something wakes its main loop. The watch is a timer that runs only while the FIFO is not empty
 * and the emulator may be worth waking.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Each call is the last thing done in a callback of the loop: the input may be closed or destroyed in there. */
struct input_ops {
	/* After input_await_room: there is room. */
	void (*on_room)(void *ctx);
	/* What lies in the FIFO is not taken. */
	void (*on_stuck)(void *ctx);
	/* After input_await_pace: the emulator has read most of what lay there. */
	void (*on_pace)(void *ctx);
};

struct input {
	const struct input_ops *ops;
	void *ctx;
	int fd;            /* -1: closed */
	int unread_bytes;  /* when last looked */
	unsigned wakes;    /* on_stuck calls since the last progress */
	unsigned delay_ms; /* of the watch */
	int paced_bytes;   /* unread when `pace` last looked */
	unsigned pace_ms;  /* delay of `pace` */
	struct event room;
	struct event watch;
	struct event pace; /* timer; pending while a paced writer waits */
};

void input_init(struct input *input, struct event_base *base, const struct input_ops *ops, void *ctx);
void input_open(struct input *input, int fd); /* fd becomes the input's */
void input_close(struct input *input);        /* unread input is left to die with the FIFO */
bool input_is_open(const struct input *input);

/* Bytes taken, 0 if none. */
size_t input_write(struct input *input, const void *buf, size_t len);
/* The same, but no more than that INPUT_PACE_BYTES lie unread. */
#define INPUT_PACE_BYTES 4096
size_t input_write_paced(struct input *input, const void *buf, size_t len);
/* Moves up to `max` bytes from another descriptor. Bytes taken, 0 if none, -errno. */
ssize_t input_splice(struct input *input, int from, size_t max);
void input_await_room(struct input *input); /* on_room, once */
void input_forget_room(struct input *input);
void input_await_pace(struct input *input); /* on_pace, once */
void input_forget_pace(struct input *input);
/* The emulator prints again after a pause: it may look for input now. */
void input_saw_output(struct input *input);
