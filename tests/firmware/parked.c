/* SPDX-License-Identifier: Apache-2.0 */
/* Says "parked", then stays at one instruction, that at which the program of tests/fake/renode-console.txt was seen. */
#include "board.h"

__attribute__((naked, section(".vectors"), used)) static void park(void)
{
	__asm__ volatile(".org 0x7c\n.thumb_func\n.global parked\nparked: b parked"); /* 0x40 of vectors are before */
}

void parked(void);

int main(void)
{
	uart_open(0);
	uart_print(0, "parked\n");
	parked();
	return 0;
}
