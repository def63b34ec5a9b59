/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEAP_H
#define HEAP_H

#include <malloc.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEAP_OF_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEAP_OF_SANITIZER
#endif

/*
 * Returns freed memory to the kernel. A sanitizer brings its own allocator and
 * leaves libc's uninitialized, so malloc_trim() must not be called then.
 */
static inline void heap_trim(void)
{
#ifndef HEAP_OF_SANITIZER
	malloc_trim(0);
#endif
}

#endif
