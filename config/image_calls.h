/* SPDX-License-Identifier: Apache-2.0 */
/* Where firmware makes semihosting calls, so that a lockup at one can be explained. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/targets.pb-c.h"

/*
 * Addresses of `bkpt 0xab` in the executable segments of a 32-bit little-endian ARM ELF that image_check() has accepted; at most
 * max, of the first MiB of each segment. Returns how many; 0 for any other file or when it cannot be read.
 */
size_t image_semihosting_calls(const char *path, const Pwemu__V1__Target *target, uint32_t *out, size_t max);
