/* SPDX-License-Identifier: Apache-2.0 */
/* From reset to main(), then sleep for ever. The programs have no initialised data, so that nothing is to be copied. */
#include <stdint.h>

#include "board.h"

int main(void);
void start(void);
extern const char stack_top[];

void start(void)
{
	main();
	for (;;)
		__asm__ volatile("wfi");
}

#ifdef __arm__
/* The CPU reads stack pointer and start address here. There are no handlers: a fault is a lockup. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = { stack_top, start };
#else
__attribute__((section(".vectors"), naked, used)) void _start(void)
{
	__asm__ volatile(".option push\n.option norelax\nla gp, stack_top\n.option pop\nla sp, stack_top\nj start");
}
#endif
