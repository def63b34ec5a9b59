/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: an allocator that fails when it is told to, and counts the
 * blocks that are in use. It is told by a file that the test has mapped too:
 * the n-th allocation from now on fails, and as many after it as shall. What
 * libraries and libc itself allocate comes by here as well. A child that was
 * forked fails too; its blocks, which end with it, are not counted.
 *
 *	FAILING_MALLOC     the file, a struct control
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
	atomic_long armed;  /* 0: nothing fails */
	atomic_long left;   /* allocations up to the first that fails */
	atomic_long streak; /* how many fail from there on */
	atomic_long failed; /* how many have failed */
	atomic_long live;   /* blocks in use */
};

/* glibc's own, whoever else is called malloc */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static struct control unused;
static struct control *control = &unused;
static atomic_long *live = &unused.live;
static bool in_use;

static void count_apart(void)
{
	live = &unused.live;
}

/* What was allocated before is not counted, and may be freed later. */
__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv("FAILING_MALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		_exit(99);
	page = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	close(fd);
	if (page == MAP_FAILED)
		_exit(99);
	control = page;
	live = &control->live;
	pthread_atfork(NULL, NULL, count_apart);
	in_use = true;
}

static bool fails(void)
{
	long left;

	if (!in_use || !atomic_load(&control->armed))
		return false;
	left = atomic_fetch_sub(&control->left, 1);
	if (left > 1 || left <= 1 - atomic_load(&control->streak))
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = ENOMEM;
	return true;
}

static void *counted(void *block)
{
	if (block)
		atomic_fetch_add(live, 1);
	return block;
}

void *malloc(size_t size)
{
	return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
	if (!old)
		return malloc(size);
	if (size == 0) {
		free(old);
		return NULL;
	}
	return fails() ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
	int saved_errno = errno;
	void *made = memalign(alignment, size);

	errno = saved_errno;
	if (!made)
		return ENOMEM;
	*block = made;
	return 0;
}

void free(void *block)
{
	if (!block)
		return;
	atomic_fetch_sub(live, 1);
	__libc_free(block);
}
