/* SPDX-License-Identifier: Apache-2.0 */
/* Says "boot" and jumps to the application at APP, which has a vector table of its own. ARM only. */
#include "board.h"

int main(void)
{
	const uint32_t *table = (const uint32_t *)APP;

	uart_open(0);
	uart_print(0, "boot\n");
	REG(0xe000ed08) = APP; /* VTOR */
	__asm__ volatile("msr msp, %0\nbx %1" ::"r"(table[0]), "r"(table[1]));
	return 0;
}
