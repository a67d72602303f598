/* SPDX-License-Identifier: Apache-2.0 */
/* Cortex-M: a fault without a handler is a lockup, which QEMU answers with abort(). */
#include "board.h"

int main(void)
{
	uart_open(0);
	uart_print(0, "about to fault\n");
	__asm__ volatile("udf #0");
	return 0;
}
