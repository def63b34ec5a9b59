/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: says on standard error how many bytes of the heap are in use,
 * whenever malloc_trim(3) was called. Unlike the memory that the kernel counts,
 * they do not depend on where the blocks lie.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

int malloc_trim(size_t pad)
{
	int (*trim)(size_t) = (int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim");
	int trimmed = trim ? trim(pad) : 0;
	struct mallinfo2 now = mallinfo2();

	dprintf(2, "heap: %zu bytes in use\n", now.uordblks + now.hblkhd);
	return trimmed;
}
