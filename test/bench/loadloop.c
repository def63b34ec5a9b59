/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads an object by libbpf again and again, as a program that needs nothing
 * else would: opens it, loads all of it, attaches each program to what its
 * section names, detaches them, closes all.
 *
 *	loadloop OBJECT COUNT
 *
 * Prints the time that all of it took in nanoseconds, wall clock and CPU, and
 * the number of links. The file is read before the clock starts.
 */
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_PROGRAMS 64

struct bytes {
	void *data;
	size_t size;
};

static struct bytes mapped(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct bytes file;
	struct stat about;

	if (fd < 0 || fstat(fd, &about) < 0)
		err(1, "%s", path);
	file.size = (size_t)about.st_size;
	file.data = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
			 fd, 0);
	if (file.data == MAP_FAILED)
		err(1, "%s", path);
	(void)close(fd);
	return file;
}

/* Returns how many links there were. */
static uint32_t load_once(struct bytes file)
{
	struct bpf_object *object =
		bpf_object__open_mem(file.data, file.size, NULL);
	struct bpf_link *links[MOST_PROGRAMS];
	struct bpf_program *program;
	uint32_t n = 0;

	if (!object || bpf_object__load(object) < 0)
		err(1, "no load");
	bpf_object__for_each_program(program, object)
	{
		if (n == MOST_PROGRAMS)
			errx(1, "more than %d programs", MOST_PROGRAMS);
		links[n] = bpf_program__attach(program);
		if (!links[n])
			err(1, "attach of %s", bpf_program__name(program));
		n++;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (bpf_link__destroy(links[i]) < 0)
			err(1, "detach of the %u-th program", i);
	}
	bpf_object__close(object);
	return n;
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t number(const char *text)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > 100000000)
		errx(2, "no number: %s", text);
	return (uint32_t)n;
}

int main(int argc, char **argv)
{
	struct bytes file;
	uint64_t wall, cpu;
	uint32_t count, links = 0;

	if (argc != 3)
		errx(2, "usage: loadloop OBJECT COUNT");
	file = mapped(argv[1]);
	count = number(argv[2]);
	wall = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (uint32_t i = 0; i < count; i++)
		links += load_once(file);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	printf("%llu %llu %u\n", (unsigned long long)wall,
	       (unsigned long long)cpu, links);
	return 0;
}
