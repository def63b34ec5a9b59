/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_H
#define MEMORY_H

#include <malloc.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEMORY_OF_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_OF_SANITIZER
#endif

/*
 * Gives the kernel back what has been freed. A sanitizer has an allocator of
 * its own, and libc's, which nobody has set up then, must not be touched.
 */
static inline void memory_give_back(void)
{
#ifndef MEMORY_OF_SANITIZER
	malloc_trim(0);
#endif
}

#endif
